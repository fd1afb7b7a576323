"""Sentence features: what the adapted encoder reads in it and elsewhere, what the rules see, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.encode import Encoded
from pipeline.rules import Proposal
from pipeline.segment import Sentence
from pipeline.signals import ROUNDS, SIGNAL_IDS

Matrix = NDArray[np.float32]

_POSITION = ("first", "last", "share")
_FLOOR = -8.0  # log-odds below this say nothing more, and outliers pull on the heads

BLOCKS = {
    "sentence": SIGNAL_IDS,
    "token": SIGNAL_IDS,
    "elsewhere": SIGNAL_IDS,
    "ngram": SIGNAL_IDS,
    "rule": SIGNAL_IDS,
    "position": _POSITION,
    "round": ROUNDS,
}  # blocks of columns in their order, so that one can be left out


def feature_names() -> list[str]:
    """Names of the columns of :func:`sentence_features`, such as ``rule.sizing``."""
    return [f"{block}.{name}" for block, names in BLOCKS.items() for name in names]


def columns_without(block: str) -> NDArray[np.int64]:
    """Columns of all blocks but one."""
    return np.array([i for i, name in enumerate(feature_names()) if not name.startswith(f"{block}.")])


def sentence_features(
    encoded: Encoded, sentences: Sequence[Sentence], ngrams: Matrix, proposals: Sequence[Proposal], round_: str
) -> Matrix:
    """Features of one answer's sentences.

    Returns:
        (n_sentences, 127) float32: for each signal the log-odds that the sentence shows it, the highest log-odds of
        any of its tokens, the highest log-odds of any other sentence, and the log-odds of its n-grams (all at least
        -8); whether a rule proposes evidence that context does not void (0 or 1); position (first, last, share of the
        answer already read, 0 to 1); and the round (0 or 1 each).
    """
    n = len(sentences)
    tokens = np.full((n, len(SIGNAL_IDS)), _FLOOR, np.float32)
    starts = np.array([start for start, _ in sentences])
    if n and len(encoded.tokens):
        owner = np.clip(np.searchsorted(starts, encoded.tokens[:, 0], side="right") - 1, 0, n - 1)
        np.maximum.at(tokens, owner, encoded.token_logits)
    flags = np.zeros((n, len(SIGNAL_IDS)), np.float32)
    for proposal in proposals:
        for row, (start, end) in enumerate(sentences):
            if not proposal.void and proposal.start < end and proposal.end > start:
                flags[row, SIGNAL_IDS.index(proposal.signal)] = 1
    position = np.zeros((n, len(_POSITION)), np.float32)
    if n:
        position[0, 0] = position[-1, 1] = 1
        position[:, 2] = np.arange(n) / n
    logits = np.maximum(encoded.sentence_logits, _FLOOR)
    asked = np.tile(np.array([r == round_ for r in ROUNDS], np.float32), (n, 1))
    return np.hstack([logits, tokens, _elsewhere(logits), np.maximum(ngrams, _FLOOR), flags, position, asked])


def _elsewhere(logits: Matrix) -> Matrix:
    """The highest log-odds of any other sentence of the answer, (n_sentences, 24); the floor where there is none."""
    if len(logits) < 2:
        return np.full_like(logits, _FLOOR)
    second, first = np.sort(logits, axis=0)[-2:]
    return np.where(logits == first, second, first)


def gold_labels(sentences: Sequence[Sentence], spans: Sequence[tuple[str, int, int]]) -> NDArray[np.int8]:
    """Which sentence shows which signal.

    A sentence carries a signal when it holds at least half of the evidence, or the evidence half of it.

    Args:
        sentences: the answer's sentence spans.
        spans: ``(signal, start, end)`` of each annotated piece of evidence.

    Returns:
        (n_sentences, 24) int8 of 0 and 1.
    """
    labels = np.zeros((len(sentences), len(SIGNAL_IDS)), np.int8)
    for signal, start, end in spans:
        overlaps = [max(0, min(end, e) - max(start, s)) for s, e in sentences]
        for row, (s, e) in enumerate(sentences):
            if 2 * overlaps[row] >= min(end - start, e - s) and overlaps[row] > 0:
                labels[row, SIGNAL_IDS.index(signal)] = 1
        if overlaps and max(overlaps) > 0:
            labels[int(np.argmax(overlaps)), SIGNAL_IDS.index(signal)] = 1
    return labels
