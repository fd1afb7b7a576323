"""How an answer was said. None of it counts towards the verdict."""

from __future__ import annotations

import re

from pipeline.records import Delivery

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_FILLER = re.compile(r"\b(?:u+m+|u+h+|e+rm*|h+m+|mm+|you know|i mean|sort of|kind of)\b", re.IGNORECASE)
_SINGULAR = frozenset(["i", "i'm", "i'd", "i'll", "i've", "im", "id", "ive", "me", "my", "mine", "myself"])
_PLURAL = frozenset(["we", "we're", "we'd", "we'll", "we've", "weve", "us", "our", "ours", "ourselves"])


def words_in(text: str) -> list[str]:
    """The words of ``text`` in lower case, numbers included, with straight apostrophes."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def delivery(text: str, seconds: float | None = None) -> Delivery:
    """Length, fillers, I against we, and pace where the time is known.

    ``fillers_per_100_words`` counts um, uh, er, hmm, "you know", "I mean", "sort of" and "kind of";
    ``first_person_singular_share`` is I / (I + we) over all their forms, null where there are neither.
    """
    words = words_in(text)
    count = len(words)
    singular = sum(word in _SINGULAR for word in words)
    plural = sum(word in _PLURAL for word in words)
    return Delivery(
        words=count,
        fillers_per_100_words=round(100 * len(_FILLER.findall(text)) / count, 1) if count else None,
        first_person_singular_share=round(singular / (singular + plural), 2) if singular + plural else None,
        words_per_minute=round(60 * count / seconds, 1) if seconds and count else None,
    )
