"""Choose the words that show a signal: the runs of tokens the adapted encoder reads as its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Evidence
from pipeline.rules import Proposal
from pipeline.segment import Sentence
from pipeline.signals import SIGNAL_IDS

MAX_PIECES = 2  # a signal is shown by its strongest words; more would be a wall of quotes
SHARE = 0.35  # a token belongs to a run when it is at least this share of the answer's surest token
GAP = 3  # tokens between two runs that are quoted as one
LEAST_WORDS = 3  # "no" or "so we" shows nothing to a reader
SCRAP = 2  # words of another sentence at the edge of a run that are left out
SECOND = 0.7  # a second piece must weigh at least this share of the first


@dataclass(frozen=True)
class TokenView:
    """``spans`` (n_tokens, 2) character offsets and ``probabilities`` (n_tokens, 24) of one answer's tokens."""

    spans: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def find_evidence(
    text: str,
    sentences: Sequence[Sentence],
    probabilities: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    proposals: Sequence[Proposal],
    tokens: TokenView,
) -> dict[str, list[Evidence]]:
    """Evidence of every signal that reaches its threshold, in catalogue order; pieces in text order.

    Args:
        text: the answer.
        sentences: its sentence spans.
        probabilities: (n_sentences, 24).
        thresholds: (24,).
        proposals: what the rules see; one that context does not void names its rule as the source of the words.
        tokens: what the encoder says of each token; without any, the surest sentence is quoted.
    """
    found: dict[str, list[Evidence]] = {}
    for column, signal in enumerate(SIGNAL_IDS):
        if not len(sentences) or probabilities[:, column].max() < thresholds[column]:
            continue
        spans = [_trimmed(text, s, sentences) for s in _runs(text, tokens.spans, tokens.probabilities[:, column])]
        if not spans:
            spans = [sentences[int(probabilities[:, column].argmax())]]
        found[signal] = [_piece(text, signal, span, proposals) for span in sorted(spans)]
    return found


def _runs(text: str, spans: NDArray[np.int64], sure: NDArray[np.float64]) -> list[Sentence]:
    """The heaviest runs of sure tokens as whole words, heaviest first."""
    if not len(sure):
        return []
    over = np.flatnonzero(sure >= SHARE * sure.max())
    ends = np.flatnonzero(np.diff(over) > GAP + 1)
    edges = zip(np.append(over[0], over[ends + 1]), np.append(over[ends], over[-1]), strict=True)
    heavy = sorted(((float(sure[a : b + 1].sum()), int(a), int(b)) for a, b in edges), reverse=True)
    chosen: list[Sentence] = []
    for weight, a, b in heavy:
        span = _whole_words(text, int(spans[a, 0]), int(spans[b, 1]))
        if len(text[slice(*span)].split()) >= LEAST_WORDS and weight >= SECOND * heavy[0][0]:
            chosen.append(span)
    return chosen[:MAX_PIECES]


def _whole_words(text: str, start: int, end: int) -> Sentence:
    while start and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    return start, end


def _trimmed(text: str, span: Sentence, sentences: Sequence[Sentence]) -> Sentence:
    """Without a word or two of a neighbouring sentence at either end: "fixed. We lost the weekend" begins at "We"."""
    start, end = span
    for (_, last), (first, _) in pairwise(sentences):  # where one sentence ends and the next begins
        if start < last < end and len(text[start:last].split()) <= SCRAP:
            start = first
        elif start < first < end and len(text[first:end].split()) <= SCRAP:
            end = last
    return (start, end) if len(text[start:end].split()) >= LEAST_WORDS else span


def _piece(text: str, signal: str, span: Sentence, proposals: Sequence[Proposal]) -> Evidence:
    start, end = span
    rules = [p for p in proposals if p.signal == signal and not p.void and p.start < end and p.end > start]
    source = f"rule:{max(rules, key=lambda p: (p.end - p.start, -p.start)).rule}" if rules else "model"
    return Evidence(start=start, end=end, text=text[start:end], source=source)
