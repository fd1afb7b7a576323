"""Choose the words that show a signal: a rule's own span where one counts, else the sentence the model saw it in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Evidence
from pipeline.rules import Proposal
from pipeline.segment import Sentence
from pipeline.signals import SIGNAL_IDS

MAX_PIECES = 2  # a signal is shown by its strongest sentences; more would be a wall of quotes


def find_evidence(
    text: str,
    sentences: Sequence[Sentence],
    probabilities: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    proposals: Sequence[Proposal],
) -> dict[str, list[Evidence]]:
    """Evidence of every signal that reaches its threshold, in catalogue order; pieces in text order.

    Args:
        text: the answer.
        sentences: its sentence spans.
        probabilities: (n_sentences, 24).
        thresholds: (24,).
        proposals: what the rules see; those that context voids are not used.
    """
    found: dict[str, list[Evidence]] = {}
    for column, signal in enumerate(SIGNAL_IDS):
        over = [row for row in range(len(sentences)) if probabilities[row, column] >= thresholds[column]]
        best = sorted(over, key=lambda row: (-float(probabilities[row, column]), row))[:MAX_PIECES]
        pieces: dict[tuple[int, int], Evidence] = {}
        for row in best:
            piece = _piece(text, signal, sentences[row], proposals)
            pieces[piece.start, piece.end] = piece
        if pieces:
            found[signal] = [pieces[key] for key in sorted(pieces)]
    return found


def _piece(text: str, signal: str, sentence: Sentence, proposals: Sequence[Proposal]) -> Evidence:
    start, end = sentence
    inside = [p for p in proposals if p.signal == signal and not p.void and p.start < end and p.end > start]
    if not inside:
        return Evidence(start=start, end=end, text=text[start:end], source="model")
    longest = max(inside, key=lambda p: (p.end - p.start, -p.start))
    return Evidence(
        start=longest.start,
        end=longest.end,
        text=text[longest.start : longest.end],
        source=f"rule:{longest.rule}",
    )
