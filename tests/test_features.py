import numpy as np
import pytest

from pipeline.encode import Encoded
from pipeline.features import BLOCKS, columns_without, feature_names, gold_labels, sentence_features
from pipeline.rules import Proposal, propose
from pipeline.signals import ROUNDS, SIGNAL_IDS

TEXT = "The owner refused to pay. We never escalated it to the director."
CUT = [(0, 25), (26, 64)]


def encoded(sentence, token):
    spans = np.array([(0, 3), (4, 9), (26, 28)])
    return Encoded(np.zeros(2), np.zeros((2, 2)), np.array(sentence), np.array(token), spans)


def rows():
    said = np.array([np.arange(24.0), np.arange(24.0)[::-1]])
    tokens = np.array([np.full(24, -20.0), np.full(24, -1.0), np.full(24, 2.0)])
    return sentence_features(encoded(said, tokens), CUT, np.full((2, 24), 0.5), propose(TEXT), "analytical")


def column(name):
    return rows()[:, feature_names().index(name)].tolist()


def test_every_column_has_a_name_and_every_block_is_there():
    assert rows().shape == (2, len(feature_names()))
    assert {name.partition(".")[0] for name in feature_names()} == set(BLOCKS)


def test_a_sentence_knows_its_own_tokens_and_what_stands_elsewhere():
    first = SIGNAL_IDS[0]
    assert column(f"sentence.{first}") == [0, 23]
    assert column(f"elsewhere.{first}") == [23, 0]
    assert column(f"token.{first}") == [-1, 2]
    assert column(f"ngram.{first}") == [0.5, 0.5]


def test_rules_position_and_round():
    assert column("rule.resistance") == [1, 0]
    assert column("rule.escalation") == [0, 0]  # context voids it
    assert column("position.first") == [1, 0]
    assert column("position.last") == [0, 1]
    assert [column(f"round.{r}") for r in ROUNDS] == [[float(r == "analytical")] * 2 for r in ROUNDS]


def test_log_odds_have_a_floor_and_one_sentence_has_nothing_elsewhere():
    alone = encoded([np.full(24, -30.0)], np.full((3, 24), -30.0))
    features = sentence_features(alone, [(0, 64)], np.full((1, 24), -9), [], "behavioral")
    blocks = 4 * len(SIGNAL_IDS)
    assert set(features[0, :blocks].tolist()) == {-8.0}


def test_leaving_a_block_out_leaves_the_rest():
    kept = columns_without("rule")
    assert [n for n in feature_names() if not n.startswith("rule.")] == [feature_names()[i] for i in kept]


@pytest.mark.parametrize(
    ("span", "wanted"),
    [((0, 25), [1, 0]), ((20, 40), [0, 1]), ((5, 64), [1, 1]), ((23, 27), [1, 0])],
)
def test_a_sentence_carries_a_signal_when_it_holds_half_of_the_evidence(span, wanted):
    labels = gold_labels(CUT, [("escalation", *span)])
    assert labels[:, SIGNAL_IDS.index("escalation")].tolist() == wanted


def test_a_proposal_marks_each_sentence_it_touches():
    across = Proposal(rule="x-01", signal="sizing", start=10, end=30, void=None)
    features = sentence_features(
        encoded(np.zeros((2, 24)), np.zeros((3, 24))), CUT, np.zeros((2, 24)), [across], "behavioral"
    )
    assert features[:, feature_names().index("rule.sizing")].tolist() == [1, 1]
