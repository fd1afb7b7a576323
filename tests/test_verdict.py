import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.params import VerdictParams
from pipeline.rubric import read_rubric
from pipeline.signals import NEGATIVE, POSITIVE, ROUNDS, SIGNAL_IDS
from pipeline.verdict import SIGN, VerdictModel, answer_strengths, choose_band, fit_platt, fit_weights

RNG = np.random.default_rng(0)


def random_fit(seed):
    rng = np.random.default_rng(seed)
    x = rng.random((80, 24))
    good = rng.random(80) < 0.5
    weights, bias = fit_weights(x, np.ones_like(x), good, VerdictParams(l2=0.01, band_accuracy=0.95))
    slope, offset = fit_platt(x @ weights + bias, good)
    return VerdictModel(weights, bias, slope, offset, 0.4, 0.6)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 23), st.sampled_from(ROUNDS))
def test_a_positive_signal_can_only_raise_and_a_negative_only_lower(seed, column, round_):
    model, rubric = random_fit(seed), read_rubric().weights(round_)
    strengths = np.random.default_rng(seed).random(24)
    more = strengths.copy()
    more[column] = 1.0
    change = float(model.p_good(more, rubric) - model.p_good(strengths, rubric))
    assert change >= 0 if SIGNAL_IDS[column] in POSITIVE else change <= 0


def test_signs_follow_polarity():
    assert [SIGNAL_IDS[i] for i in np.flatnonzero(SIGN < 0)] == list(NEGATIVE)


def test_weights_find_the_signal_that_decides():
    x = RNG.random((400, 24))
    good = x[:, 3] > 0.5
    weights, _ = fit_weights(x, np.ones_like(x), good, VerdictParams(l2=0.001, band_accuracy=0.95))
    assert int(np.argmax(weights)) == 3


def test_strength_is_the_strongest_sentence():
    p = np.array([[0.1] * 24, [0.7] * 24], np.float32)
    assert answer_strengths(p) == pytest.approx([0.7] * 24)
    assert answer_strengths(p[:0]).tolist() == [0.0] * 24


def test_band_leaves_the_sure_ones_outside():
    p = np.array([0.99, 0.98, 0.97, 0.03, 0.02, 0.01, 0.97, 0.98, 0.99, 0.02, 0.55, 0.45, 0.52, 0.48])
    good = np.array([1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1], bool)
    low, high = choose_band(p, good, 0.95)
    assert 0.55 < high <= 0.97
    assert low == pytest.approx(1 - high)


def test_no_band_where_everything_is_right():
    assert choose_band(np.array([0.9, 0.2, 0.6]), np.array([True, False, True]), 0.95) == (0.5, 0.5)


@pytest.mark.parametrize(("p", "verdict"), [(0.39, "BAD"), (0.4, "BORDERLINE"), (0.59, "BORDERLINE"), (0.6, "GOOD")])
def test_edges_of_the_band(p, verdict):
    assert VerdictModel(np.zeros(24), 0, 1, 0, 0.4, 0.6).verdict(p) == verdict


def test_a_stated_share_of_good_answers_moves_the_odds_by_bayes_rule():
    model, strengths = random_fit(1), RNG.random((5, 24))
    before = model.p_good(strengths, np.ones(24))
    after = model.with_prior(0.5, 0.2).p_good(strengths, np.ones(24))
    assert np.allclose(after / (1 - after), before / (1 - before) * 0.2 / 0.8)
    assert np.allclose(model.with_prior(0.3, 0.3).p_good(strengths, np.ones(24)), before)
