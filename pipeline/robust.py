"""Say the same thing another way and see what becomes of the verdict.

Each disturbance changes what must not matter: names and sexes, punctuation, fillers, how numbers are written,
politeness, padding, saying it twice; or adds what must not help: the codebook's words without a deed. The words stand
in `robust.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import yaml
from num2words import num2words

from pipeline.neutral import proper_nouns
from pipeline.records import Answer, Exemplar
from pipeline.score import Scorer

_NUMBER = re.compile(r"(?<![\w.,:/-])\d{1,6}(?![\w.,:/-]*\d)")


@cache
def _book() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(files("pipeline").joinpath("robust.yaml").read_text(encoding="utf-8"))
    return tree


def swapped(text: str, rng: np.random.Generator) -> str:
    """Names of people, places and companies for others, and each sex for the other."""
    book = _book()
    lower = text == text.lower()
    given: dict[str, str] = {}
    out, at = [], 0
    for start, end in proper_nouns(text):
        name = text[start:end]
        if name not in given:
            pick = str(rng.choice(book["names"]))
            given[name] = pick.lower() if lower else pick
        out += [text[at:start], given[name]]
        at = end
    return _replace_words("".join([*out, text[at:]]), book["sexes"])


def bare(text: str, rng: np.random.Generator) -> str:
    """Lower case without punctuation, as a recogniser writes."""
    return " ".join(re.sub(r"[^\w\s'’%$€£-]|(?<!\w)-|-(?!\w)", " ", text.lower()).split())


def filled(text: str, rng: np.random.Generator) -> str:
    """A filler after about every twelfth word."""
    words = text.split()
    for place in range(len(words) - 1, 0, -1):
        if rng.random() < 1 / 12:
            words.insert(place, str(rng.choice(_book()["fillers"])))
    return " ".join(words)


def spelled(text: str, rng: np.random.Generator) -> str:
    """Whole numbers in words."""
    return _NUMBER.sub(lambda m: num2words(int(m.group())), text)


def polite(text: str, rng: np.random.Generator) -> str:
    """A polite opening and closing."""
    return f"{rng.choice(_book()['openings'])} {text} {rng.choice(_book()['closings'])}"


def padded(text: str, rng: np.random.Generator) -> str:
    """Three sentences that say nothing, between the answer's own."""
    ends = [m.end() for m in re.finditer(r"[.!?](?=\s)", text)] or [len(text)]
    for pad in rng.choice(_book()["padding"], 3, replace=False):
        place = int(rng.choice(ends))
        text = f"{text[:place]} {pad}{text[place:]}"
        ends = [e + len(pad) + 1 if e > place else e for e in ends]
    return text


def doubled(text: str, rng: np.random.Generator) -> str:
    """The same answer twice over."""
    return f"{text} {text}"


def stuffed(text: str, rng: np.random.Generator) -> str:
    """The codebook's words at the end."""
    return f"{text} {rng.choice(_book()['stuffing'])}"


DISTURBANCES: dict[str, Callable[[str, np.random.Generator], str]] = {
    "swapped": swapped,
    "bare": bare,
    "filled": filled,
    "spelled": spelled,
    "polite": polite,
    "padded": padded,
    "doubled": doubled,
    "stuffed": stuffed,
}
BAD_ONLY = frozenset({"stuffed"})  # what must not help is tried where it would


@dataclass(frozen=True)
class Disturbed:
    """One answer before and after: p(GOOD), None where it cannot be scored, and the three-way verdict."""

    name: str
    before: float | None
    after: float | None
    verdict_before: str
    verdict_after: str


def disturb(
    scorer: Scorer,
    exemplars: Sequence[Exemplar],
    seed: int,
    advance: Callable[[int], None] | None = None,
) -> list[Disturbed]:
    """Score answers as they are and after each disturbance that changes them."""
    before = {f.answer.id: f.result for f in scorer.score([_answer(e, e.text) for e in exemplars], advance)}
    found = []
    for number, (name, change) in enumerate(DISTURBANCES.items()):
        chosen = []
        for e in exemplars:
            if name in BAD_ONLY and e.is_good:
                continue
            rng = np.random.default_rng([seed, number, *e.id.encode()])
            text = change(e.text, rng)
            if text != e.text:
                chosen.append(_answer(e, text))
        for after in scorer.score(chosen, advance):
            was, now = before[after.answer.id], after.result
            found.append(Disturbed(name, was.p_good, now.p_good, was.verdict, now.verdict))
    return found


def robustness_figures(found: Sequence[Disturbed]) -> dict[str, dict[str, float | int]]:
    """For each disturbance: n, mean and 95th percentile of the change in p(GOOD), and shares of changed verdicts.

    ``flips`` is the share whose p(GOOD) crosses one half or that can no longer be scored, ``raised_to_good`` the share
    of three-way verdicts that become GOOD, ``verdict_changes`` the share that become anything else.
    """
    table: dict[str, dict[str, float | int]] = {}
    for name in DISTURBANCES:
        rows = [d for d in found if d.name == name and d.before is not None]
        if not rows:
            continue
        before = np.array([d.before for d in rows], dtype=np.float64)
        after = np.array([np.nan if d.after is None else d.after for d in rows], dtype=np.float64)
        change = np.abs(after - before)
        raised = [d.verdict_after == "GOOD" != d.verdict_before for d in rows]
        table[name] = {
            "n": len(rows),
            "mean_change": round(float(np.nanmean(change)), 4),
            "p95_change": round(float(np.nanquantile(change, 0.95)), 4),
            "mean_shift": round(float(np.nanmean(after - before)), 4),
            "flips": round(float((((after >= 0.5) != (before >= 0.5)) | np.isnan(after)).mean()), 4),
            "raised_to_good": round(float(np.mean(raised)), 4),
            "verdict_changes": round(float(np.mean([d.verdict_after != d.verdict_before for d in rows])), 4),
        }
    return table


def _answer(exemplar: Exemplar, text: str) -> Answer:
    return Answer(id=exemplar.id, text=text, question=exemplar.question, round=exemplar.round)


def _replace_words(text: str, instead: dict[str, str]) -> str:
    def give(match: re.Match[str]) -> str:
        word = match.group()
        other = instead.get(word.lower())
        return word if other is None else other.capitalize() if word[0].isupper() else other

    return re.sub(r"[A-Za-z]+", give, text)
