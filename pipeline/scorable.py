"""Whether an answer can be judged at all: no guess is made about one that cannot."""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib import import_module

from pipeline.delivery import words_in

MIN_WORDS = 12  # chosen: fewer words hold no decision with its reason
MIN_ENGLISH = 0.25  # share of function words; spoken and written English lie between 0.35 and 0.65. Chosen.
MAX_REPEAT = 0.5  # share of all words that one word may have
_LANGUAGES = (
    "de",
    "fr",
    "es",
    "pt",
    "it",
    "nl",
    "sv",
    "da",
    "nb",
    "fi",
    "pl",
    "cs",
    "ro",
    "hu",
    "tr",
    "id",
    "vi",
)


@cache
def _stop_words(language: str) -> frozenset[str]:
    """SpaCy's list of a language's function words."""
    return frozenset(import_module(f"spacy.lang.{language}.stop_words").STOP_WORDS)


def unscorable_reason(text: str) -> str | None:
    """Why ``text`` cannot be judged, as a plain sentence; None if it can."""
    if not text.strip():
        return "The answer is empty."
    words = words_in(text)
    if len(words) < MIN_WORDS:
        plural = "" if len(words) == 1 else "s"
        return f"The answer is too short to judge: {len(words)} word{plural}, at least {MIN_WORDS} are needed."
    if Counter(words).most_common(1)[0][1] > MAX_REPEAT * len(words):
        return "The answer is gibberish: one word makes up most of it."
    english = _share(words, "en")
    letters = [ch for ch in text if ch.isalpha()]
    latin = sum(ch < "\u0250" for ch in letters) / max(1, len(letters))
    if latin < 0.5:
        return "The answer is not in English: most of its letters are not Latin."
    if english < MIN_ENGLISH:
        other = max(_share(words, language) for language in _LANGUAGES)
        if other > english:
            return "The answer is not in English."
        return "The answer is gibberish: hardly any English function words."
    return None


def _share(words: list[str], language: str) -> float:
    stop = _stop_words(language)
    return sum(word in stop or word.split("'")[0] in stop for word in words) / len(words)
