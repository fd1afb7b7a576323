import pytest
import yaml
from conftest import ROOT

from pipeline.errors import DebriefError
from pipeline.params import read_params
from pipeline.rubric import read_rubric
from pipeline.signals import NEGATIVE, POSITIVE, ROUNDS, SIGNAL_IDS


def test_unknown_and_impossible_parameters_are_refused(tmp_path):
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["heads"]["depth"] = 3
    tree["verdict"]["band_accuracy"] = 2
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(DebriefError) as caught:
        read_params(path)
    assert "heads.depth: Extra inputs are not permitted" in str(caught.value)
    assert "verdict.band_accuracy: Input should be less than or equal to 1" in str(caught.value)


def test_a_missing_file_says_where_to_run():
    with pytest.raises(DebriefError, match=r"nowhere.yaml is missing. Run this in the root of a debrief checkout."):
        read_params(ROOT / "nowhere.yaml")


def test_the_catalogue_is_the_codebook():
    text = (ROOT / "corpus/CODEBOOK.md").read_text()
    assert len(POSITIVE) == 18
    assert len(NEGATIVE) == 6
    for signal in SIGNAL_IDS:
        assert f"| `{signal}` |" in text


def test_the_shipped_rubric_speaks_of_every_signal_and_round():
    rubric = read_rubric()
    for round_ in ROUNDS:
        assert rubric.weights(round_).shape == (24,)
        for signal in SIGNAL_IDS:
            words = rubric.words(signal, round_)
            assert words.ask.endswith("?")
            assert words.advice


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["rounds"].pop("analytical"), "no round analytical"),
        (lambda t: t["signals"].pop("sizing"), "no words for sizing"),
        (
            lambda t: t["rounds"]["analytical"]["weights"].update(luck=1),
            "round analytical weighs unknown signals: luck",
        ),
        (lambda t: t["rounds"]["analytical"]["weights"].update(sizing=-1), "round analytical has a weight below 0"),
    ],
)
def test_a_rubric_that_breaks_the_rules_is_refused(tmp_path, change, message):
    tree = yaml.safe_load((ROOT / "pipeline/rubrics/tpm.yaml").read_text())
    change(tree)
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(DebriefError, match=message):
        read_rubric(str(path))
