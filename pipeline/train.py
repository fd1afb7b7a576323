"""From exemplars to a model: featurize once, cross-fit the heads, fit the verdict on what they say out of fold.

Features of a train author's answers come from the adapter that never saw the author, those of the test authors from
the adapter of all train authors, as they will in use.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.adapter import Adapter
from pipeline.corpus import corpus_hash
from pipeline.encode import Encoder
from pipeline.errors import DebriefError
from pipeline.features import gold_labels, sentence_features
from pipeline.heads import Heads, fit_heads
from pipeline.model import Model, Shown
from pipeline.ngrams import NgramReader, NgramReaders, cross_fit, pieces
from pipeline.params import HeadParams, Params
from pipeline.records import Exemplar
from pipeline.rounds import fit_rounds
from pipeline.rubric import Rubric, read_rubric
from pipeline.rules import propose
from pipeline.segment import Splitter, sentences
from pipeline.signals import SIGNAL_IDS
from pipeline.verdict import VerdictModel, answer_strengths, choose_band, fit_platt, fit_weights

LEAST_SURE = 0.28  # of 0.2, 0.25, 0.28 and 0.3 the lowest that called at most 15% of near misses, leave-author-out


@dataclass(frozen=True)
class Featurized:
    """The corpus as arrays, sentences and tokens of one exemplar next to each other.

    ``owner`` (n_sentences,) and ``token_owner`` (n_tokens,) are exemplars' rows; ``spans`` (n_sentences, 2) and
    ``tokens`` (n_tokens, 2) character offsets; ``features`` (n_sentences, F) float32, ``labels`` (n_sentences, 24) 0 or
    1, ``token_logits`` (n_tokens, 24) float16. ``fold`` (n_exemplars,) is the adapter that held the author out, -1 for
    test authors; ``annotated`` (n_exemplars,) whether the labels are known. ``answers`` and ``questions``
    (n_exemplars, d) are vectors of the whole adapter; ``plain_answers`` (n_exemplars, d) and ``plain_sentences``
    (n_sentences, d) those of the encoder as it came, for baselines.
    """

    ids: tuple[str, ...]
    fold: NDArray[np.int64]
    annotated: NDArray[np.bool_]
    owner: NDArray[np.int64]
    spans: NDArray[np.int64]
    features: NDArray[np.float32]
    labels: NDArray[np.int8]
    token_owner: NDArray[np.int64]
    tokens: NDArray[np.int64]
    token_logits: NDArray[np.float16]
    answers: NDArray[np.float32]
    questions: NDArray[np.float32]
    plain_answers: NDArray[np.float32]
    plain_sentences: NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write one .npz without pickled objects."""
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
        sentence, owner = _taken(self.owner, rows)
        token, token_owner = _taken(self.token_owner, rows)
        return Featurized(
            ids=tuple(self.ids[row] for row in rows),
            fold=self.fold[rows],
            annotated=self.annotated[rows],
            owner=owner,
            spans=self.spans[sentence],
            features=self.features[sentence],
            labels=self.labels[sentence],
            token_owner=token_owner,
            tokens=self.tokens[token],
            token_logits=self.token_logits[token],
            answers=self.answers[rows],
            questions=self.questions[rows],
            plain_answers=self.plain_answers[rows],
            plain_sentences=self.plain_sentences[sentence],
        )

    def strengths(self, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Sentence probabilities (n_sentences, 24) to answer strengths (n_exemplars, 24)."""
        return np.array([answer_strengths(probabilities[self.owner == row]) for row in range(len(self.ids))])


def _taken(owner: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places whose owner is one of ``rows``, in their order, and the new owners."""
    places = [np.flatnonzero(owner == row) for row in rows]
    return np.concatenate(places or [np.zeros(0, np.int64)]), np.repeat(np.arange(len(rows)), [len(p) for p in places])


@dataclass(frozen=True)
class Encoders:
    """Who reads what: ``held_out`` one for each fold of train authors, ``whole`` the adapted one of use, ``plain``."""

    held_out: Sequence[Encoder]
    whole: Encoder
    plain: Encoder


def featurize(
    exemplars: Sequence[Exemplar],
    folds: Sequence[int],
    params: Params,
    splitter: Splitter,
    encoders: Encoders,
    advance: Callable[[int], None] | None = None,
) -> tuple[Featurized, NgramReaders]:
    """Segment, encode and describe every sentence of the corpus; ``folds`` are as in :class:`Featurized`."""
    cuts = [sentences(e.text, params.segment, splitter) for e in exemplars]
    texts = [e.text for e in exemplars]
    whole = encoders.whole.encode(texts, cuts, advance)
    read = list(whole)  # by the whole adapter where no fold holds the author out
    for fold, reader in enumerate(encoders.held_out):
        rows = [i for i, f in enumerate(folds) if f == fold]
        for row, said in zip(
            rows, reader.encode([texts[i] for i in rows], [cuts[i] for i in rows], advance), strict=True
        ):
            read[row] = said
    plain = encoders.plain.encode(texts, cuts, advance)
    questions = [e.question for e in exemplars]
    asked = encoders.whole.encode(questions, [[(0, len(q))] for q in questions], advance)
    labels = [
        gold_labels(cut, [(s.id, s.start, s.end) for s in e.shown]) for cut, e in zip(cuts, exemplars, strict=True)
    ]
    owner = np.repeat(np.arange(len(cuts)), [len(c) for c in cuts])
    words = [piece for text, cut in zip(texts, cuts, strict=True) for piece in pieces(text, cut)]
    annotated = np.array([e.annotated for e in exemplars])
    ngrams = cross_fit(words, np.vstack(labels), np.array(folds)[owner], annotated[owner], params.ngrams)
    features = [
        sentence_features(said, cut, ngrams.of(fold).logits(e.text, cut), propose(e.text), e.round)
        for said, cut, fold, e in zip(read, cuts, folds, exemplars, strict=True)
    ]
    data = Featurized(
        ids=tuple(e.id for e in exemplars),
        fold=np.array(folds, dtype=np.int64),
        annotated=annotated,
        owner=owner,
        spans=np.array([span for cut in cuts for span in cut], dtype=np.int64).reshape(-1, 2),
        features=np.vstack(features),
        labels=np.vstack(labels),
        token_owner=np.repeat(np.arange(len(read)), [len(said.tokens) for said in read]),
        tokens=np.vstack([said.tokens for said in read]),
        token_logits=np.vstack([said.token_logits for said in read]).astype(np.float16),
        answers=np.vstack([said.answer for said in whole]),
        questions=np.vstack([said.answer for said in asked]),
        plain_answers=np.vstack([said.answer for said in plain]),
        plain_sentences=np.vstack([said.sentences for said in plain]),
    )
    return data, ngrams


def author_folds(authors: Sequence[str], folds: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Train and held-out rows; no author, and so no scenario and no pair, stands on both sides."""
    from sklearn.model_selection import GroupKFold

    if len(set(authors)) < 2:
        raise DebriefError(
            "one author alone is left to learn from",
            "Add exemplars of more authors, or lower adapt.folds in params.yaml.",
        )
    splitter = GroupKFold(n_splits=min(folds, len(set(authors))))
    return list(splitter.split(np.zeros(len(authors)), groups=list(authors)))


def out_of_fold(data: Featurized, authors: Sequence[str], params: HeadParams, folds: int) -> NDArray[np.float32]:
    """Sentence probabilities (n_sentences, 24), each from heads that never saw the answer's author."""
    probabilities = np.zeros((len(data.owner), len(SIGNAL_IDS)), np.float32)
    for train, held in author_folds(authors, folds):
        inside = np.isin(data.owner, train) & data.annotated[data.owner]
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
    slope, offset = fit_platt((strengths * weights) @ signed + bias, good)
    verdict = VerdictModel(signed, bias, slope, offset, 0.5, 0.5)
    low, high = choose_band(verdict.p_good(strengths, weights), good, params.verdict.band_accuracy)
    known, inside = data.annotated, data.annotated[data.owner]
    return Fitted(
        heads=fit_heads(data.features[inside], data.labels[inside], params.heads),
        thresholds=best_thresholds(strengths[known], shown_matrix(exemplars)[known]),
        verdict=replace(verdict, low=low, high=high),
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


def fit(
    data: Featurized,
    exemplars: Sequence[Exemplar],
    params: Params,
    encoder_hash: str,
    adapter: Adapter,
    ngrams: NgramReader,
    splitter: Splitter,
) -> Model:
    """The model, fitted on the ``train`` split of the corpus only."""
    rows = [i for i, e in enumerate(exemplars) if e.split == "train"]
    part, kept = data.take(rows), [exemplars[i] for i in rows]
    fitted = fit_stack(part, kept, params, read_rubric(), params.heads.folds)
    return Model(
        corpus=corpus_hash(exemplars),
        encoder=params.encoder.model_copy(update={"sha256": encoder_hash}),
        adapter=adapter,
        ngrams=ngrams,
        segment=params.segment,
        splitter=splitter,
        heads=fitted.heads,
        thresholds=fitted.thresholds,
        verdict=fitted.verdict,
        rounds=fit_rounds(part.questions, part.answers, [e.round for e in kept]),
        exemplars=tuple(Shown(e.id, e.verdict, e.round, e.question, e.text) for e in kept),
        vectors=part.answers.astype(np.float16),
        good_rate=float(np.mean([e.is_good for e in kept])),
    )
