"""Whether a run of words counts: not negated, wished, advised, or somebody else's act.

After ConText (Harkema et al. 2009): a cue opens a scope forward or backward from itself, a terminating
word or the clause's edge closes it, and a pseudo cue ("not only") opens none. Cues are data in
`rules/context.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml
from spacy.tokens import Span

INSIDE = 3  # a cue may also stand this far inside the run ("i did not take it up"); chosen, not validated


@dataclass(frozen=True)
class Cue:
    """Words that void what stands in their scope; ``reach`` is the scope's length in tokens."""

    words: tuple[str, ...]
    kind: str
    direction: str  # "forward" or "backward"
    reach: int


@dataclass(frozen=True)
class ContextBook:
    """Cues by kind, words that end a scope, words that look like cues, and what voids which signal."""

    cues: tuple[Cue, ...]
    terminate: frozenset[str]
    pseudo: tuple[tuple[str, ...], ...]
    speaker: frozenset[str]
    others: frozenset[str]
    voids: dict[str, frozenset[str]]


@cache
def context_book() -> ContextBook:
    """Read `rules/context.yaml`."""
    tree = yaml.safe_load(files("pipeline").joinpath("rules/context.yaml").read_text(encoding="utf-8"))
    cues = tuple(
        Cue(tuple(words.split()), kind, group["direction"], group["reach"])
        for kind, groups in tree["cues"].items()
        for group in groups
        for words in group["words"]
    )
    return ContextBook(
        cues,
        frozenset(tree["terminate"].split()),
        tuple(tuple(words.split()) for words in tree["pseudo"]),
        frozenset(tree["speaker"].split()),
        frozenset(tree["others"].split()),
        {signal: frozenset(kinds) for signal, kinds in tree["voids"].items()},
    )


def void_reason(span: Span, signal: str, meant: frozenset[str] = frozenset()) -> str | None:
    """The near-miss kind that voids ``span`` as evidence of ``signal``, or None if it counts.

    ``meant`` are words the rule itself asks for ("nobody would sign"): inside the span they are no cue.
    """
    book = context_book()
    kinds = book.voids.get(signal, frozenset())
    words = [token.lower_ for token in span.doc]
    for cue in book.cues:
        if cue.kind in kinds and _in_scope(words, span, cue, book, meant):
            return cue.kind
    if "other_person" in kinds and _actor_is_other(words, span, book, meant):
        return "other_person"
    return None


def _in_scope(words: list[str], span: Span, cue: Cue, book: ContextBook, meant: frozenset[str]) -> bool:
    size = len(cue.words)
    if cue.direction == "forward":
        # the cue may stand before the span or among its first words, after subject and auxiliary
        last = min(span.start + min(INSIDE, cue.reach), span.end - size)
        places = range(max(0, span.start - cue.reach - size), max(span.start, last) + 1)
    else:
        places = range(span.end, min(len(words) - size, span.end + cue.reach) + 1)
    for at in places:
        if tuple(words[at : at + size]) != cue.words or _is_pseudo(words, at, size, book):
            continue
        if span.start <= at < span.end and meant.issuperset(cue.words):
            continue
        between = words[at + size : span.start] if cue.direction == "forward" else words[span.end : at]
        if not any(word in book.terminate for word in between):
            return True
    return False


def _is_pseudo(words: list[str], at: int, size: int, book: ContextBook) -> bool:
    return any(
        tuple(words[start : start + len(pseudo)]) == pseudo
        for pseudo in book.pseudo
        for start in range(max(0, at - len(pseudo) + size), at + 1)
        if start + len(pseudo) >= at + size
    )


def _actor_is_other(words: list[str], span: Span, book: ContextBook, meant: frozenset[str]) -> bool:
    """Whether the nearest subject word before or in the span, within its clause, is not the speaker."""
    for at in range(min(span.start + 1, len(words) - 1), max(-1, span.start - 9), -1):
        word = words[at]
        if word in book.speaker:
            return False
        if word in book.others and (at < span.start or (at == span.start and word not in meant)):
            return True
        if at < span.start and word in book.terminate:
            return False
    return False
