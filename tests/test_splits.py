from collections import Counter

import pytest
from conftest import ROOT

from pipeline.corpus import read_corpus
from pipeline.splits import TEST_SHARE, fold_of, side_of


@pytest.mark.parametrize(("author", "side", "fold"), [("e01", "train", 1), ("p15", "train", 1), ("anna", "test", 3)])
def test_where_an_author_stands_never_changes(author, side, fold):
    """If these values change, every model's held-out figures are of other answers."""
    assert (side_of(author), fold_of(author, 4)) == (side, fold)


def test_about_an_eighth_of_the_authors_are_for_testing():
    sides = Counter(side_of(f"author-{i}") for i in range(4000))
    assert abs(sides["test"] / 4000 - TEST_SHARE) < 0.02


def test_folds_are_about_equally_likely():
    folds = Counter(fold_of(f"author-{i}", 4) for i in range(4000))
    assert sorted(folds) == [0, 1, 2, 3]
    assert min(folds.values()) > 900


def test_the_first_authors_fall_evenly_into_the_folds():
    train = [e for e in read_corpus(ROOT / "corpus/exemplars") if e.split == "train"]
    sizes = Counter(fold_of(e.author, 4) for e in train).values()
    assert max(sizes) - min(sizes) < 0.1 * len(train)
