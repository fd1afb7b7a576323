"""Cut an answer into sentences: character spans that cover its words in order.

Full stops cut first. A run that goes on without one (recogniser output, rambling speech) is cut by a
:class:`Splitter` that learnt from the corpus, its punctuation and case taken away, where people end their sentences.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import spacy
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from spacy.language import Language

from pipeline.errors import ModelError
from pipeline.params import SegmentParams

Sentence = tuple[int, int]  # start, end: character offsets, end exclusive

_WORD = re.compile(r"\S+")
_SCRAP = 3  # words; a shorter sentence ("Right. Yes.") is no sentence of its own


@cache
def tokenizer() -> Language:
    """The blank English pipeline every module shares: tokens only, no trained part."""
    nlp = spacy.blank("en")
    nlp.max_length = 10_000_000
    nlp.add_pipe("sentencizer", config={"punct_chars": [".", "!", "?", "…", ";", "\n", "。"]})
    return nlp


@dataclass(frozen=True)
class Splitter:
    """A logistic regression over hashed words around a gap: ``weights`` (buckets,) float32 and ``bias``."""

    weights: NDArray[np.float32]
    bias: float

    def log_odds(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Log-odds that a sentence ends after each word but the last; (n_words - 1,)."""
        if len(words) < 2:
            return np.zeros(0)
        return np.asarray(_hashed([words], len(self.weights)) @ self.weights + self.bias, dtype=np.float64)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({"weights": self.weights, "bias": np.array([self.bias])}, path)

    @classmethod
    def load(cls, path: Path) -> Splitter:
        """Read what :meth:`save` wrote."""
        try:
            stored = load_file(path)
        except FileNotFoundError:
            raise ModelError("no splitter", "Run `dvc repro split`.", str(path)) from None
        return cls(stored["weights"], float(stored["bias"][0]))


def fit_splitter(texts: Iterable[str], params: SegmentParams) -> Splitter:
    """Learn sentence ends from punctuated texts, read without punctuation and case."""
    from sklearn.linear_model import LogisticRegression

    read = [bare_sentences(text) for text in texts]
    features = _hashed([words for words, _ in read], params.buckets)
    ends = np.concatenate([ends[:-1] for _, ends in read if len(ends)])
    model = LogisticRegression(solver="liblinear", random_state=0).fit(features, ends)
    # half precision keeps the model small; round here, so that what is evaluated is what is kept
    weights = model.coef_[0].astype(np.float16).astype(np.float32)
    return Splitter(weights, float(model.intercept_[0]))


def bare_sentences(text: str) -> tuple[list[str], NDArray[np.bool_]]:
    """The words of a punctuated text without punctuation and case, and whether a sentence ends after each."""
    words: list[str] = []
    ends: list[bool] = []
    for sentence in tokenizer()(text).sents:
        inside = [bare for word in sentence.text.split() if (bare := _bare(word))]
        words += inside
        ends += [False] * (len(inside) - 1) + [True] * bool(inside)
    return words, np.array(ends, dtype=np.bool_)


def sentences(text: str, params: SegmentParams, splitter: Splitter | None = None) -> list[Sentence]:
    """Sentence spans of ``text``, in order and not overlapping; blank text has none.

    A run of more than ``params.max_words`` without a full stop is cut where the splitter is surest, so that no piece is
    longer; without a splitter it stays whole.
    """
    spans: list[Sentence] = []
    for sent in tokenizer()(text).sents:
        raw = sent.text
        start = sent.start_char + len(raw) - len(raw.lstrip())
        end = start + len(raw.strip())
        if end > start:
            spans.extend(_cut(text, start, end, params, splitter) if splitter else [(start, end)])
    return _join_scraps(text, spans)


def _cut(text: str, start: int, end: int, params: SegmentParams, splitter: Splitter) -> list[Sentence]:
    """The cut of highest total log-odds into pieces of at most ``max_words``, found by dynamic programming."""
    words = list(_WORD.finditer(text, start, end))
    n = len(words)
    if n <= params.max_words:
        return [(start, end)]
    gain = splitter.log_odds([_bare(w.group()) for w in words]) + params.ease
    best = np.full(n + 1, -np.inf)
    best[0] = 0.0
    back = np.zeros(n + 1, dtype=np.int64)
    for stop in range(1, n + 1):
        first = max(0, stop - params.max_words)
        lengths = stop - np.arange(first, stop)
        scores = best[first:stop] - params.short_penalty * (lengths < params.min_words)
        pick = int(scores.argmax())
        best[stop] = scores[pick] + (gain[stop - 1] if stop < n else 0.0)
        back[stop] = first + pick
    edges = [n]
    while edges[-1]:
        edges.append(int(back[edges[-1]]))
    edges.reverse()
    return [(words[a].start(), words[b - 1].end()) for a, b in pairwise(edges)]


def _bare(word: str) -> str:
    return word.strip(".,;:!?…\"'()[]“”‘’—–-").lower().replace("’", "'")


def _hashed(texts: Sequence[Sequence[str]], buckets: int):  # type: ignore[no-untyped-def]  # a scipy sparse matrix
    """One row for each gap between two words of a text: the words around it, alone and joined, hashed."""
    from sklearn.feature_extraction import FeatureHasher

    rows = (_around(words, gap) for words in texts for gap in range(len(words) - 1))
    return FeatureHasher(buckets, input_type="string", alternate_sign=False, dtype=np.float32).transform(rows)


def _around(words: Sequence[str], gap: int) -> list[str]:
    """Features of the gap after word number ``gap``: three words before it, three after."""
    a, b, c, d, e, f = (words[i] if 0 <= i < len(words) else "_" for i in range(gap - 2, gap + 4))
    alone = [f"-2{a}", f"-1{b}", f"0{c}", f"1{d}", f"2{e}", f"3{f}"]
    return [*alone, f"01 {c} {d}", f"12 {d} {e}", f"-10 {b} {c}", f"02 {c} {e}", f"123 {d} {e} {f}"]


def _join_scraps(text: str, spans: list[Sentence]) -> list[Sentence]:
    """Give a sentence of one or two words ("Right. Yes.") to the one after it, or at the end to the one before."""
    joined: list[Sentence] = []
    pending: int | None = None
    for start, end in spans:
        begin = start if pending is None else pending
        if len(text[begin:end].split()) < _SCRAP:
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
