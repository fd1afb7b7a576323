import numpy as np

from pipeline.evidence import TokenView, find_evidence
from pipeline.rules import Proposal
from pipeline.signals import SIGNAL_IDS

TEXT = "We met on Monday. The owner refused to pay, flatly. I stopped the van there and then."
CUT = [(0, 17), (18, 51), (52, 85)]
SIGNAL = "resistance"
COLUMN = SIGNAL_IDS.index(SIGNAL)
WORDS = [(i, i + len(w)) for i, w in ((TEXT.index(w), w) for w in TEXT.split())]


def evidence(sure, sentences=(0.0, 0.9, 0.0), proposals=(), words=WORDS):
    """``sure`` gives words of the answer their probability; the others have 0.01."""
    tokens = np.full((len(words), 24), 0.01)
    for row, (a, b) in enumerate(words):
        tokens[row, COLUMN] = sure.get(TEXT[a:b], 0.01)
    said = np.zeros((3, 24), np.float32)
    said[:, COLUMN] = sentences
    view = TokenView(np.array(words).reshape(-1, 2), tokens)
    found = find_evidence(TEXT, CUT, said, np.full(24, 0.5), proposals, view)
    return [(e.text, e.source) for e in found.get(SIGNAL, [])]


def test_a_run_of_sure_words_is_quoted_whole():
    assert evidence({"owner": 0.9, "refused": 0.8, "pay,": 0.7}) == [("owner refused to pay,", "model")]


def test_a_signal_under_its_threshold_is_not_shown():
    assert evidence({"owner": 0.9, "refused": 0.8, "pay,": 0.7}, sentences=(0, 0.4, 0)) == []


def test_a_rule_that_agrees_is_named():
    rule = Proposal(rule="res-01", signal=SIGNAL, start=22, end=42, void=None)
    void = Proposal(rule="res-02", signal=SIGNAL, start=18, end=51, void="negated")
    sure = {"owner": 0.9, "refused": 0.8, "pay,": 0.7}
    assert evidence(sure, proposals=[rule, void]) == [("owner refused to pay,", "rule:res-01")]


def test_a_second_run_must_weigh_nearly_as_much_as_the_first():
    sure = {"owner": 0.9, "refused": 0.9, "to": 0.9, "van": 0.7, "there": 0.7, "and": 0.7}
    assert evidence(sure) == [("owner refused to", "model"), ("van there and", "model")]
    assert evidence({**sure, "and": 0.3}) == [("owner refused to", "model")]


def test_without_a_run_to_quote_the_surest_sentence_is():
    assert evidence({"refused": 0.9}) == [("The owner refused to pay, flatly.", "model")]
    assert evidence({}, words=[]) == [("The owner refused to pay, flatly.", "model")]


def test_a_run_does_not_begin_or_end_with_scraps_of_its_neighbours():
    sure = {w: 0.9 for w in ("Monday.", "The", "owner", "refused", "to", "pay,", "flatly.", "I")}
    assert evidence(sure) == [("The owner refused to pay, flatly.", "model")]
