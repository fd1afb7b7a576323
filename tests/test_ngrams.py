import numpy as np

from pipeline.ngrams import NgramReader, cross_fit, fit_ngrams, pieces
from pipeline.params import NgramParams

PARAMS = NgramParams(buckets=4096, longest=2, C=5.0, positive_weight=3.0)
TEXTS = ["the owner refused to pay", "we met on monday", "she refused to sign", "we met again"] * 6


def labels(column=8):
    shown = np.zeros((len(TEXTS), 24), np.int8)
    shown[:, column] = ["refused" in t for t in TEXTS]
    return shown


def test_a_reader_learns_the_words_of_a_signal_and_nothing_of_the_others():
    said = fit_ngrams(TEXTS, labels(), PARAMS).logits("Then they refused. We met.", [(0, 18), (19, 26)])
    assert said[0, 8] > 0 > said[1, 8]
    assert np.allclose(said[:, 0], np.log(0.001))


def test_names_do_not_reach_it():
    reader = fit_ngrams(TEXTS, labels(), PARAMS)
    one, other = (reader.logits(t, [(0, len(t))]) for t in ("then Omar refused him", "then Maria refused her"))
    assert np.array_equal(one, other)
    assert pieces("Then Omar left. Then Ann did.", [(0, 15), (16, 29)]) == ["Then Sam left.", "Then Sam did."]


def test_a_reader_comes_back_as_it_was_saved(tmp_path):
    reader = fit_ngrams(TEXTS, labels(), PARAMS)
    reader.save(tmp_path / "n.safetensors")
    text = "the owner refused to pay"
    assert np.array_equal(
        NgramReader.load(tmp_path / "n.safetensors").logits(text, [(0, 24)]), reader.logits(text, [(0, 24)])
    )


def test_no_reader_is_fitted_on_the_fold_it_reads_nor_any_on_test_authors():
    folds = np.array([0, 1, 2, -1] * 6)
    shown = np.zeros((len(TEXTS), 24), np.int8)
    shown[:, 0], shown[:, 1] = folds == 0, folds == -1
    readers = cross_fit(TEXTS, shown, folds, np.ones(len(TEXTS), bool), PARAMS)
    assert not readers.of(0).weights[0].any()
    assert readers.of(1).weights[0].any()
    assert not readers.of(-1).weights[1].any()
