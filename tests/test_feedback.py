import numpy as np
import pytest

from pipeline.feedback import missing_signals, reasons
from pipeline.records import Evidence, MissingSignal, ShownSignal
from pipeline.rubric import read_rubric
from pipeline.signals import NEGATIVE, POSITIVE, SIGNAL_IDS
from pipeline.verdict import SIGN, VerdictModel

RUBRIC = read_rubric()
VERDICT = VerdictModel(SIGN.copy(), -1.0, 1.0, 0.0, 0.4, 0.6)


def shown(signal, words, sure=0.9):
    piece = Evidence(start=0, end=len(words), text=words, source="model")
    polarity = "positive" if signal in POSITIVE else "negative"
    return ShownSignal(id=signal, polarity=polarity, confidence=sure, evidence=[piece])


def why(verdict, *signals, missing=()):
    return reasons(VERDICT, RUBRIC, "behavioral", verdict, list(signals), list(missing))


def test_a_bad_answer_says_what_speaks_against_it_first():
    lines = why("BAD", shown("resistance", "the owner refused"), shown("vague_claim", "a big success"))
    assert lines == [
        "BAD: claims an outcome or a virtue that nothing in the answer shows (“a big success”); "
        "but names who refused or disagreed and about what (“the owner refused”)."
    ]


def test_a_good_answer_says_what_speaks_for_it_first():
    lines = why("GOOD", shown("vague_claim", "a big success"), shown("resistance", "the owner refused"))
    assert lines[0].startswith("GOOD: names who refused")
    assert lines[0].endswith("; but claims an outcome or a virtue that nothing in the answer shows (“a big success”).")


def test_an_answer_that_shows_nothing_says_so():
    assert why("BORDERLINE") == [
        "BORDERLINE, a person should look: none of the signals this round looks for was found."
    ]


def test_what_is_absent_is_named_after_what_is_there():
    absent = MissingSignal(id="ownership", advice="a", ask="b", p_good_if_shown=0.9)
    assert why("BAD", shown("resistance", "she said no"), missing=[absent])[1] == "Not found: ownership."


def test_the_follow_up_question_takes_words_of_the_answer():
    forced = shown("forcing_action", "I stopped the van")
    strengths = np.zeros(len(SIGNAL_IDS))
    found = {m.id: m for m in missing_signals(VERDICT, RUBRIC, "behavioral", strengths, [forced])}
    assert found["cost_of_inaction"].ask == (
        "You say “I stopped the van”. Had you let it go, what would it have cost, and by when?"
    )
    bare = {m.id: m for m in missing_signals(VERDICT, RUBRIC, "behavioral", strengths, [])}
    assert "“" not in bare["cost_of_inaction"].ask


@pytest.mark.parametrize("signal", sorted(POSITIVE))
def test_every_signal_that_can_be_missing_can_be_asked_about(signal):
    assert any(RUBRIC.asked_about(signal, {other: "these words"}) for other in (*POSITIVE, *NEGATIVE))
