"""Cut an answer into sentences: character spans that cover its words in order."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

import spacy
from spacy.language import Language

from pipeline.params import SegmentParams

Sentence = tuple[int, int]  # start, end: character offsets, end exclusive

# A clause may start at one of these when a run has no full stop (recogniser output, rambling speech).
# Strong starters are cut at first; weak ones only where no strong one is near.
_STRONG = frozenset(
    ["so", "but", "because", "then", "otherwise", "anyway", "also", "although", "though", "however", "instead"]
)
_WEAK = frozenset(
    [
        "and",
        "which",
        "when",
        "if",
        "or",
        "where",
        "while",
        "until",
        "after",
        "before",
        "that",
        "i",
        "we",
        "they",
        "he",
        "she",
        "it",
    ]
)


@cache
def tokenizer() -> Language:
    """The blank English pipeline every module shares: tokens only, no trained part."""
    nlp = spacy.blank("en")
    nlp.max_length = 10_000_000
    nlp.add_pipe("sentencizer", config={"punct_chars": [".", "!", "?", "…", ";", "\n", "。"]})
    return nlp


def sentences(text: str, params: SegmentParams) -> list[Sentence]:
    """Sentence spans of ``text``, in order and not overlapping; blank text has none.

    Full stops end a sentence; a run longer than ``params.max_words`` is cut before a word that opens a
    clause, so that recogniser output without punctuation has sentences too.
    """
    spans: list[Sentence] = []
    for sent in tokenizer()(text).sents:
        raw = sent.text
        start = sent.start_char + len(raw) - len(raw.lstrip())
        end = start + len(raw.strip())
        if end > start:
            spans.extend(_cut(text, start, end, params))
    return _join_scraps(text, spans)


def _cut(text: str, start: int, end: int, params: SegmentParams) -> list[Sentence]:
    words = list(re.finditer(r"\S+", text[start:end]))
    if len(words) <= params.max_words:
        return [(start, end)]
    cuts: list[int] = []
    first = 0
    while len(words) - first > params.max_words:
        low, high = first + params.min_words, min(first + params.max_words, len(words) - params.min_words)
        candidates = range(low, max(high, low) + 1)
        strong = [i for i in candidates if _bare(words[i]) in _STRONG]
        weak = [i for i in candidates if _bare(words[i]) in _WEAK]
        # the last starter in reach keeps the pieces long enough to be read in context
        first = strong[0] if strong else weak[-1] if weak else max(high, low)
        cuts.append(first)
    edges = [0, *cuts, len(words)]
    return [(start + words[a].start(), start + words[b - 1].end()) for a, b in pairwise(edges)]


def _bare(word: re.Match[str]) -> str:
    return word.group().strip(",.;:\"'()").lower()


def _join_scraps(text: str, spans: list[Sentence]) -> list[Sentence]:
    """Give a sentence of one or two words ("Right. Yes.") to the one after it, or at the end to the one before."""
    joined: list[Sentence] = []
    pending: int | None = None
    for start, end in spans:
        begin = start if pending is None else pending
        if len(text[begin:end].split()) < 3:
            pending = begin
            continue
        joined.append((begin, end))
        pending = None
    if pending is not None:
        if joined:
            joined[-1] = (joined[-1][0], spans[-1][1])
        else:
            joined.append((pending, spans[-1][1]))
    return joined
