"""What the words of a sentence alone say of each signal: one logistic regression a signal over hashed word n-grams.

The encoder reads meaning and misses set phrases that mark a signal ("on the other hand", "by Friday"); these do not.
They only feed the heads, beside everything else, and like the adapters they are cross-fitted: no author's words are
read by weights that were fitted on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pipeline.errors import ModelError
from pipeline.neutral import neutral
from pipeline.params import NgramParams
from pipeline.segment import Sentence

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class NgramReader:
    """``weights`` (24, buckets) float32, rounded to half precision; ``bias`` (24,) float32; ``longest`` in words."""

    weights: Matrix
    bias: Matrix
    longest: int

    def logits(self, text: str, sentences: Sequence[Sentence]) -> Matrix:
        """(n_sentences, 24) log-odds that a sentence shows a signal."""
        if not sentences:
            return np.zeros((0, len(self.bias)), np.float32)
        counted = _counted(pieces(text, sentences), self.weights.shape[1], self.longest)
        return np.asarray(counted @ self.weights.T + self.bias, dtype=np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is stored of it."""
        return {"weights": self.weights.astype(np.float16), "bias": self.bias, "longest": np.array([self.longest])}

    @classmethod
    def of(cls, arrays: dict[str, NDArray[Any]]) -> NgramReader:
        """From what :meth:`arrays` gave."""
        return cls(arrays["weights"].astype(np.float32), arrays["bias"], int(arrays["longest"][0]))

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({k: np.ascontiguousarray(v) for k, v in self.arrays().items()}, path)

    @classmethod
    def load(cls, path: Path) -> NgramReader:
        """Read what :meth:`save` wrote."""
        try:
            return cls.of(load_file(path))
        except FileNotFoundError:
            raise ModelError("no n-gram reader", "Run `dvc repro ngrams`.", str(path)) from None


def pieces(text: str, sentences: Sequence[Sentence]) -> list[str]:
    """The sentences' words without names and sexes."""
    return [neutral(text[start:end]).text for start, end in sentences]


def fit_ngrams(texts: Sequence[str], labels: NDArray[np.int8], params: NgramParams) -> NgramReader:
    """Fit on sentences.

    Args:
        texts: sentences as :func:`pieces` gives them.
        labels: (n_sentences, 24) of 0 and 1.
        params: sizes and rates. A signal that no sentence shows gets zero weights and log-odds of one in a thousand.
    """
    from sklearn.linear_model import LogisticRegression

    counted = _counted(texts, params.buckets, params.longest)
    weights = np.zeros((labels.shape[1], params.buckets), np.float32)
    bias = np.full(labels.shape[1], np.log(0.001), np.float32)
    for column in range(labels.shape[1]):
        if 0 < labels[:, column].sum() < len(labels):
            model = LogisticRegression(
                C=params.C, solver="liblinear", class_weight={0: 1.0, 1: params.positive_weight}, random_state=0
            ).fit(counted, labels[:, column])
            # half precision keeps the model small; round here, so that what is evaluated is what is kept
            weights[column] = model.coef_[0].astype(np.float16)
            bias[column] = model.intercept_[0]
    return NgramReader(weights, bias, params.longest)


@dataclass(frozen=True)
class NgramReaders:
    """One reader for each fold, which never saw the fold's authors, and one of all train authors."""

    folds: tuple[NgramReader, ...]
    whole: NgramReader

    def of(self, fold: int) -> NgramReader:
        """The reader for answers of a fold; -1 are the test authors, whom none saw."""
        return self.folds[fold] if fold >= 0 else self.whole

    def save(self, folder: Path) -> None:
        """Write one safetensors file each."""
        for number, reader in enumerate(self.folds):
            reader.save(folder / f"fold-{number}.safetensors")
        self.whole.save(folder / "full.safetensors")

    @classmethod
    def load(cls, folder: Path) -> NgramReaders:
        """Read what :meth:`save` wrote."""
        folds = sorted(folder.glob("fold-*.safetensors"))
        return cls(tuple(map(NgramReader.load, folds)), NgramReader.load(folder / "full.safetensors"))


def cross_fit(
    texts: Sequence[str],
    labels: NDArray[np.int8],
    folds: NDArray[np.int64],
    known: NDArray[np.bool_],
    params: NgramParams,
) -> NgramReaders:
    """Fit on all sentences but those of each fold, and on all; sentences of fold -1 are never fitted on.

    Args:
        texts: sentences as :func:`pieces` gives them.
        labels: (n_sentences, 24) of 0 and 1.
        folds: (n_sentences,) the fold that holds each out.
        known: (n_sentences,) whether the labels mean anything.
        params: sizes and rates.
    """

    def fit(rows: NDArray[np.bool_]) -> NgramReader:
        return fit_ngrams([texts[i] for i in np.flatnonzero(rows).tolist()], labels[rows], params)

    known = known & (folds >= 0)
    return NgramReaders(tuple(fit(known & (folds != fold)) for fold in range(int(folds.max()) + 1)), fit(known))


def _counted(texts: Sequence[str], buckets: int, longest: int) -> Any:
    """(n, buckets) sparse rows of unit length: which n-grams are there."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=buckets,
        ngram_range=(1, longest),
        binary=True,
        alternate_sign=False,
        token_pattern=r"(?u)\b\w+\b",
        dtype=np.float32,
    )
    return vectorizer.transform(texts)
