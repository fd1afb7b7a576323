"""What the encoder is not shown: who, of which sex and where. Judgment must not depend on them.

Before an answer is encoded, each run of proper nouns becomes one placeholder and gendered words become neutral ones
(`neutral.yaml`). Evidence is quoted from the answer as it was given: every character of the neutral text knows where
in the answer it comes from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W\d_]{2,}(?:[-’'](?!s\b)[^\W\d_]+)*|\b[Ii]\b")
_STARTS = '.!?…:;\n"“”(—–-'  # a capital after one of these may only open a sentence


@dataclass(frozen=True)
class Neutral:
    """``text`` for the encoder; its character i comes from characters ``start[i]`` to ``end[i]`` of the answer."""

    text: str
    start: NDArray[np.int64]
    end: NDArray[np.int64]


@cache
def _book() -> tuple[str, dict[str, str], frozenset[str], frozenset[str]]:
    tree = yaml.safe_load(files("pipeline").joinpath("neutral.yaml").read_text(encoding="utf-8"))
    words = {word: instead for instead, group in tree["instead"].items() for word in group.split()}
    known = frozenset(name for group in tree["known"].values() for name in group.split())
    return tree["placeholder"], words, frozenset(tree["keep"].split()), known


def neutral(text: str) -> Neutral:
    """The answer without names, sexes and places."""
    placeholder, words, _, _ = _book()
    pieces: list[str] = []
    start: list[int] = []
    end: list[int] = []

    def give(piece: str, a: int, b: int, whole: bool) -> None:
        pieces.append(piece)
        start.extend([a] * len(piece) if whole else range(a, b))
        end.extend([b] * len(piece) if whole else range(a + 1, b + 1))

    at = 0
    for a, b, proper in _changes(text):
        give(text[at:a], at, a, whole=False)
        give(placeholder if proper else words[text[a:b].lower()], a, b, whole=True)
        at = b
    give(text[at:], at, len(text), whole=False)
    return Neutral("".join(pieces), np.array(start, dtype=np.int64), np.array(end, dtype=np.int64))


def proper_nouns(text: str) -> list[tuple[int, int]]:
    """Spans of names of people, places and companies; neighbouring ones are one span."""
    return [(a, b) for a, b, proper in _changes(text) if proper]


def _changes(text: str) -> list[tuple[int, int, bool]]:
    _, words, keep, known = _book()
    found = list(_WORD.finditer(text))
    named = {
        m.group()
        for m in found
        if _capital(m.group()) and not _opens(text, m.start()) and m.group().lower() not in keep | words.keys()
    }
    changes: list[tuple[int, int, bool]] = []
    for match in found:
        word, lower = match.group(), match.group().lower()
        if lower in words:
            changes.append((*match.span(), False))
        elif word in named or lower in known:
            last = changes[-1] if changes else None
            if last and last[2] and text[last[1] : match.start()] in (" ", ", ", " of ", "-"):
                changes[-1] = (last[0], match.end(), True)
            else:
                changes.append((*match.span(), True))
    return changes


def _capital(word: str) -> bool:
    return word[0].isupper() and not (len(word) > 1 and word.isupper())


def _opens(text: str, start: int) -> bool:
    before = text[:start].rstrip()
    return not before or before[-1] in _STARTS
