"""Which round an answer belongs to, where nobody says: from its question, or else from the answer itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.signals import ROUNDS

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class RoundPredictor:
    """Two softmax regressions, each (4, d + 1) float32, bias last: over question vectors and over answer vectors."""

    question: Matrix
    answer: Matrix

    def predict(self, vector: Matrix, from_question: bool) -> tuple[str, float]:
        """The likeliest round and its probability for one unit vector (d,)."""
        weights = self.question if from_question else self.answer
        score = weights[:, :-1] @ vector + weights[:, -1]
        share = np.exp(score - score.max())
        share /= share.sum()
        best = int(share.argmax())
        return ROUNDS[best], float(share[best])


def fit_rounds(questions: Matrix, answers: Matrix, rounds: list[str]) -> RoundPredictor:
    """Fit both regressions on (n, d) unit vectors and their round names."""
    return RoundPredictor(_fit(questions, rounds), _fit(answers, rounds))


def _fit(vectors: Matrix, rounds: list[str]) -> Matrix:
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros((len(ROUNDS), vectors.shape[1] + 1), np.float32)
    weights[:, -1] = -30.0  # a round nobody showed is not predicted
    model = LogisticRegression(C=10, max_iter=1000).fit(vectors, rounds)
    coef, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
        coef, bias = np.vstack([-coef, coef]) / 2, np.hstack([-bias, bias]) / 2
    for row, name in enumerate(model.classes_):
        weights[ROUNDS.index(name)] = np.append(coef[row], bias[row])
    return weights
