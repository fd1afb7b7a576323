"""The verdict: a calibrated probability that is a monotone function of an answer's signals.

``logit = bias + sum over signals of weight[s] * rubric[round][s] * strength[s]``, weights at least 0 for positive
signals and at most 0 for negative ones, then Platt scaling with a slope that cannot be negative (Platt 1999).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from pipeline.params import VerdictParams
from pipeline.signals import POSITIVE, SIGNAL_IDS

Array = NDArray[np.float64]

SIGN = np.array([1.0 if s in POSITIVE else -1.0 for s in SIGNAL_IDS])


@dataclass(frozen=True)
class VerdictModel:
    """``weights`` (24,) signed, ``bias``; Platt's ``slope`` (>= 0), ``offset``; BORDERLINE is ``low <= p < high``."""

    weights: Array
    bias: float
    slope: float
    offset: float
    low: float
    high: float

    def p_good(self, strengths: Array, rubric: Array) -> Array:
        """Probability of GOOD.

        Args:
            strengths: (n, 24) or (24,), each 0 to 1.
            rubric: rubric weights of the answers' rounds, same shape, at least 0.
        """
        score = (strengths * rubric) @ self.weights + self.bias
        return np.asarray(expit(self.slope * score + self.offset))

    def with_prior(self, fitted: float, expected: float) -> VerdictModel:
        """The same for answers of which a share ``expected`` is GOOD, where it was ``fitted`` in training.

        Bayes' rule: the odds are multiplied by the ratio of the prior odds (Saerens et al. 2002, eq. 4).
        """
        return replace(self, offset=self.offset + float(logit(expected) - logit(fitted)))

    def verdict(self, p_good: float) -> str:
        """GOOD, BAD or BORDERLINE."""
        return "BORDERLINE" if self.low <= p_good < self.high else "GOOD" if p_good >= self.high else "BAD"


def answer_strengths(probabilities: NDArray[np.float32]) -> Array:
    """(n_sentences, 24) sentence probabilities to (24,): the strongest sentence of each signal; 0 without sentences."""
    if not len(probabilities):
        return np.zeros(len(SIGNAL_IDS))
    return np.asarray(probabilities.max(axis=0), dtype=np.float64)


def fit_weights(strengths: Array, rubric: Array, good: NDArray[np.bool_], params: VerdictParams) -> tuple[Array, float]:
    """Sign-constrained logistic regression (L-BFGS-B) with an L2 penalty on the weights.

    Args:
        strengths: (n, 24) out-of-fold signal strengths.
        rubric: (n, 24) rubric weights.
        good: (n,) verdicts.
        params: ``l2`` is the penalty per answer.

    Returns:
        Signed weights (24,) and the bias.
    """
    x = strengths * rubric * SIGN
    y = np.where(good, 1.0, -1.0)

    def loss(theta: Array) -> tuple[float, Array]:
        margin = y * (x @ theta[:-1] + theta[-1])
        pull = -y * expit(-margin) / len(y)
        value = np.logaddexp(0, -margin).mean() + params.l2 * (theta[:-1] ** 2).sum() / 2
        gradient = np.append(x.T @ pull + params.l2 * theta[:-1], pull.sum())
        return float(value), gradient

    size = len(SIGNAL_IDS)
    found = minimize(loss, np.zeros(size + 1), jac=True, method="L-BFGS-B", bounds=[(0, None)] * size + [(None, None)])
    return found.x[:-1] * SIGN, float(found.x[-1])


def fit_platt(scores: Array, good: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope (>= 0) and offset that turn scores into probabilities, on Platt's smoothed targets (Platt 1999, eq. 1)."""
    n_good, n_bad = int(good.sum()), int((~good).sum())
    target = np.where(good, (n_good + 1) / (n_good + 2), 1 / (n_bad + 2))

    def loss(theta: Array) -> float:
        z = theta[0] * scores + theta[1]
        return float((np.logaddexp(0, z) - target * z).mean())

    found = minimize(loss, np.array([1.0, 0.0]), method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return float(found.x[0]), float(found.x[1])


def choose_band(p_good: Array, good: NDArray[np.bool_], accuracy: float) -> tuple[float, float]:
    """The narrowest band around one half outside which at least ``accuracy`` of the verdicts are right.

    The band is symmetric in log-odds. Where no band does, the widest with ten answers outside it is taken.
    """
    doubt = np.abs(logit(np.clip(p_good, 1e-9, 1 - 1e-9)))
    right = (p_good >= 0.5) == good
    order = np.argsort(-doubt, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(share >= accuracy)
    kept = int(reached[-1]) if len(reached) else -1
    kept = max(kept, min(9, len(order) - 1))
    if kept == len(order) - 1:
        return 0.5, 0.5
    edge = float(expit(doubt[order[kept]]))
    return 1 - edge, edge
