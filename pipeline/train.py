"""From exemplars to a model: featurize once, cross-fit the heads, fit the verdict on what they say out of fold."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.corpus import corpus_hash
from pipeline.encode import Encoder
from pipeline.features import gold_labels, sentence_features
from pipeline.heads import Heads, fit_heads
from pipeline.model import Model, Shown
from pipeline.params import HeadParams, Params
from pipeline.records import Exemplar
from pipeline.rounds import fit_rounds
from pipeline.rubric import Rubric, read_rubric
from pipeline.rules import propose
from pipeline.segment import sentences
from pipeline.signals import SIGNAL_IDS
from pipeline.verdict import VerdictModel, answer_strengths, choose_band, fit_platt, fit_weights

LEAST_SURE = 0.2  # chosen, not validated


@dataclass(frozen=True)
class Featurized:
    """The corpus as arrays, sentences of one exemplar next to each other.

    ``owner`` (n_sentences,) is the exemplar's row, ``spans`` (n_sentences, 2) its character offsets, ``features``
    (n_sentences, F) float32, ``labels`` (n_sentences, 24) 0 or 1, ``answers`` and ``questions`` (n_exemplars, d).
    """

    ids: tuple[str, ...]
    owner: NDArray[np.int64]
    spans: NDArray[np.int64]
    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    answers: NDArray[np.float32]
    questions: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write one compressed .npz without pickled objects."""
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {k: v for k, v in vars(self).items() if k != "ids"}
        np.savez(path, ids=np.array(json.dumps(self.ids)), **arrays)

    @classmethod
    def load(cls, path: Path) -> Featurized:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = {k: stored[k] for k in stored.files}
        return cls(ids=tuple(json.loads(str(arrays.pop("ids")))), **arrays)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Featurized:
        """The same for some exemplars only, in the order of ``rows``."""
        rows = np.asarray(rows, dtype=np.int64)
        where = [np.flatnonzero(self.owner == row) for row in rows]
        picked = np.concatenate(where) if where else np.zeros(0, np.int64)
        owner = np.repeat(np.arange(len(rows)), [len(w) for w in where])
        return Featurized(
            tuple(self.ids[row] for row in rows),
            owner,
            self.spans[picked],
            self.features[picked],
            self.labels[picked],
            self.answers[rows],
            self.questions[rows],
        )

    def strengths(self, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sentence probabilities (n_sentences, 24) to answer strengths (n_exemplars, 24)."""
        return np.array([answer_strengths(probabilities[self.owner == row]) for row in range(len(self.ids))])


def featurize(
    exemplars: Sequence[Exemplar],
    params: Params,
    encoder: Encoder,
    advance: Callable[[int], None] | None = None,
) -> Featurized:
    """Segment, encode and describe every sentence of the corpus."""
    cuts = [sentences(e.text, params.segment) for e in exemplars]
    encoded = encoder.encode([e.text for e in exemplars], cuts, advance)
    questions = [e.question for e in exemplars]
    asked = encoder.encode(questions, [[(0, len(q))] for q in questions], advance)
    blocks, labels = [], []
    for exemplar, cut, vectors in zip(exemplars, cuts, encoded, strict=True):
        blocks.append(sentence_features(vectors, cut, propose(exemplar.text)))
        labels.append(gold_labels(cut, [(s.id, s.start, s.end) for s in exemplar.signals]))
    return Featurized(
        ids=tuple(e.id for e in exemplars),
        owner=np.repeat(np.arange(len(cuts)), [len(c) for c in cuts]),
        spans=np.array([span for cut in cuts for span in cut], dtype=np.int64).reshape(-1, 2),
        features=np.vstack(blocks),
        labels=np.vstack(labels),
        answers=np.vstack([e.answer for e in encoded]),
        questions=np.vstack([e.answer for e in asked]),
    )


def author_folds(authors: Sequence[str], folds: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Train and held-out rows; no author, and so no scenario and no pair, stands on both sides."""
    from sklearn.model_selection import GroupKFold

    splitter = GroupKFold(n_splits=min(folds, len(set(authors))))
    return list(splitter.split(np.zeros(len(authors)), groups=list(authors)))


def out_of_fold(data: Featurized, authors: Sequence[str], params: HeadParams, folds: int) -> NDArray[np.float32]:
    """Sentence probabilities (n_sentences, 24), each from heads that never saw the answer's author."""
    probabilities = np.zeros((len(data.owner), len(SIGNAL_IDS)), np.float32)
    for train, held in author_folds(authors, folds):
        inside = np.isin(data.owner, train)
        heads = fit_heads(data.features[inside], data.labels[inside], params)
        outside = np.isin(data.owner, held)
        probabilities[outside] = heads.probabilities(data.features[outside])
    return probabilities


@dataclass(frozen=True)
class Fitted:
    """All that is learnt of signals and verdict."""

    heads: Heads
    thresholds: NDArray[np.float64]
    verdict: VerdictModel


def fit_stack(data: Featurized, exemplars: Sequence[Exemplar], params: Params, rubric: Rubric, folds: int) -> Fitted:
    """Heads on all of ``data``; thresholds and verdict on out-of-fold strengths, so they know the heads' errors."""
    authors = [e.author for e in exemplars]
    strengths = data.strengths(out_of_fold(data, authors, params.heads, folds))
    good = np.array([e.is_good for e in exemplars])
    weights = np.array([rubric.weights(e.round) for e in exemplars])
    signed, bias = fit_weights(strengths, weights, good, params.verdict)
    raw = VerdictModel(signed, bias, 1.0, 0.0, 0.5, 0.5)
    scores = (strengths * weights) @ signed + bias
    slope, offset = fit_platt(scores, good)
    calibrated = VerdictModel(raw.weights, raw.bias, slope, offset, 0.5, 0.5)
    low, high = choose_band(calibrated.p_good(strengths, weights), good, params.verdict.band_accuracy)
    return Fitted(
        heads=fit_heads(data.features, data.labels, params.heads),
        thresholds=best_thresholds(strengths, shown_matrix(exemplars)),
        verdict=VerdictModel(signed, bias, slope, offset, low, high),
    )


def shown_matrix(exemplars: Sequence[Exemplar]) -> NDArray[np.bool_]:
    """(n, 24): whether an exemplar is annotated with a signal."""
    return np.array([[e.shows(s) for s in SIGNAL_IDS] for e in exemplars])


def best_thresholds(strengths: NDArray[np.float64], shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each signal the strength from which calling it shown has the highest F1; one half where nobody shows it.

    At least ``LEAST_SURE``: a rare signal's best F1 may lie lower, but nobody wants feedback on a one in ten chance.
    """
    thresholds = np.full(shown.shape[1], 0.5)
    grid = np.arange(LEAST_SURE, 0.96, 0.01)
    for column in range(shown.shape[1]):
        truth = shown[:, column]
        if not truth.any():
            continue
        called = strengths[:, column][None, :] >= grid[:, None]
        f1 = 2 * (called & truth).sum(axis=1) / (called.sum(axis=1) + truth.sum())
        thresholds[column] = grid[int(f1.argmax())]
    return thresholds


def fit(data: Featurized, exemplars: Sequence[Exemplar], params: Params, encoder_hash: str) -> Model:
    """The model, fitted on the ``train`` split of the corpus only."""
    rows = [i for i, e in enumerate(exemplars) if e.split == "train"]
    part, kept = data.take(rows), [exemplars[i] for i in rows]
    fitted = fit_stack(part, kept, params, read_rubric(), params.heads.folds)
    return Model(
        corpus=corpus_hash(exemplars),
        encoder=params.encoder.model_copy(update={"sha256": encoder_hash}),
        segment=params.segment,
        heads=fitted.heads,
        thresholds=fitted.thresholds,
        verdict=fitted.verdict,
        rounds=fit_rounds(part.questions, part.answers, [e.round for e in kept]),
        exemplars=tuple(Shown(e.id, e.verdict, e.round, e.question, e.text) for e in kept),
        vectors=part.answers.astype(np.float16),
    )
