"""Sentence features: the encoder's view of a sentence in its answer, what the rules see, and where it stands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.encode import Encoded
from pipeline.rules import Proposal
from pipeline.segment import Sentence
from pipeline.signals import SIGNAL_IDS

Matrix = NDArray[np.float32]

_POSITION = ("position.first", "position.last", "position.share")


def feature_names(dim: int) -> list[str]:
    """Names of the columns of :func:`sentence_features` for an encoder of ``dim`` dimensions."""
    return [
        *(f"context.{i}" for i in range(dim)),
        *(f"rule.{signal}" for signal in SIGNAL_IDS),
        *(f"void.{signal}" for signal in SIGNAL_IDS),
        *_POSITION,
    ]


def sentence_features(encoded: Encoded, sentences: Sequence[Sentence], proposals: Sequence[Proposal]) -> Matrix:
    """Features of one answer's sentences.

    Returns:
        (n_sentences, d + 51) float32: the sentence vector (unit length), for each signal whether a rule
        proposes evidence that counts (0 or 1) and evidence that context voids (0 or 1), and position (first,
        last, share of the answer already read, 0 to 1).
    """
    n = len(sentences)
    flags = np.zeros((n, 2 * len(SIGNAL_IDS)), np.float32)
    for proposal in proposals:
        column = SIGNAL_IDS.index(proposal.signal) + (len(SIGNAL_IDS) if proposal.void else 0)
        for row, (start, end) in enumerate(sentences):
            if proposal.start < end and proposal.end > start:
                flags[row, column] = 1
    position = np.zeros((n, 3), np.float32)
    if n:
        position[0, 0] = position[-1, 1] = 1
        position[:, 2] = np.arange(n) / n
    return np.hstack([encoded.sentences, flags, position])


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
