"""The labelled corpus: read it, check it, and hash it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import CorpusError, InputError
from pipeline.records import AnnotatedSignal, Exemplar

PAIR_LENGTH_RATIO = 1.15  # the longer twin has at most 15% more words (and one, for very short ones)
SHINGLE = 6  # words in a shingle for near-duplicate search
NEAR_DUPLICATE = 0.25  # Jaccard similarity of shingle sets from which two answers count as one; chosen, not validated


@dataclass(frozen=True)
class Placed:
    """An exemplar and the line it stands in."""

    exemplar: Exemplar
    where: str


@dataclass(frozen=True)
class Problem:
    """A broken rule: the place it is told of, and the places of all exemplars that break it."""

    where: str
    text: str
    concerns: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def read_corpus(folder: Path) -> list[Exemplar]:
    """All exemplars under ``folder``, in file-name and line order.

    Raises:
        CorpusError: any line breaks the rules; every problem is listed.
    """
    return [p.exemplar for p in read_placed(folder)]


def read_placed(folder: Path) -> list[Placed]:
    """The same with the place of each."""
    placed, problems = read_lines(folder)
    problems += find_problems(placed)
    if problems:
        raise CorpusError(problems)
    return placed


def read_lines(folder: Path) -> tuple[list[Placed], list[str]]:
    """Lines that parse, and a problem for each that does not."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise InputError("no *.jsonl files", "Name the folder that holds the exemplars.", str(folder))
    placed: list[Placed] = []
    problems: list[str] = []
    for path in files:
        for number, raw in enumerate(path.read_bytes().splitlines(), 1):
            if not raw.strip():
                continue
            where = f"{path}:{number}"
            try:
                placed.append(Placed(Exemplar.model_validate_json(raw), where))
            except ValidationError as error:
                problems += [f"{where}: {explain(e)}" for e in error.errors(include_input=False, include_url=False)]
    return placed, problems


def explain(error: object) -> str:
    """One pydantic error as ``field: message``, without the input (it may be an answer)."""
    assert isinstance(error, dict)
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


def find_problems(placed: Sequence[Placed]) -> list[str]:
    """Every broken rule that needs more than the schema: offsets, ids, pairs, scenarios, splits, copies."""
    return [str(problem) for problem in broken_rules(placed)] + near_duplicates(placed)


def broken_rules(placed: Sequence[Placed]) -> list[Problem]:
    """The same without the search for near-duplicates."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for p in placed:
        first = seen.setdefault(p.exemplar.id, p.where)
        if first != p.where:
            problems.append(Problem(p.where, f"id {p.exemplar.id!r} is taken at {first}", (p.where,)))
        problems += [Problem(p.where, text, (p.where,)) for text in _span_problems(p.exemplar)]
    problems += _pair_problems(placed)
    problems += _side_problems(placed)
    return problems


def _span_problems(exemplar: Exemplar) -> Iterable[str]:
    everything: list[AnnotatedSignal] = [*exemplar.shown, *exemplar.near_misses]
    for annotation in exemplar.annotations:
        everything += annotation.signals
    for span in everything:
        if exemplar.text[span.start : span.end] != span.text:
            yield f"{span.id}: text[{span.start}:{span.end}] is not the quoted evidence"
    if exemplar.is_good == (exemplar.strength < 0.5):
        yield f"verdict {exemplar.verdict} with strength {exemplar.strength}"


def _pair_problems(placed: Sequence[Placed]) -> list[Problem]:
    pairs: dict[str, list[Placed]] = defaultdict(list)
    for p in placed:
        if p.exemplar.pair:
            pairs[p.exemplar.pair].append(p)
    problems = []
    for name, twins in pairs.items():
        where, concerns = twins[0].where, tuple(t.where for t in twins)
        if sorted(t.exemplar.verdict for t in twins) != ["BAD", "GOOD"]:
            text = f"pair {name!r} wants one GOOD and one BAD, has {len(twins)} answers"
            problems.append(Problem(where, text, concerns))
            continue
        one, two = (t.exemplar for t in twins)
        for field in ("question", "round", "author", "style", "scenario", "split", "setting", "twin"):
            if getattr(one, field) != getattr(two, field):
                problems.append(Problem(where, f"the twins of {name!r} differ in {field}", concerns))
        short, long = sorted((len(one.text.split()), len(two.text.split())))
        if long > PAIR_LENGTH_RATIO * short + 1:
            text = f"the twins of {name!r} have {short} and {long} words, more than 15% apart"
            problems.append(Problem(where, text, concerns))
    return problems


def _side_problems(placed: Sequence[Placed]) -> list[Problem]:
    """A scenario belongs to one pair or one answer; an author stands on one side of the split."""
    problems = []
    owner: dict[str, tuple[str, str]] = {}
    side: dict[str, tuple[str, str]] = {}
    for p in placed:
        e = p.exemplar
        unit = e.pair or e.id
        first_unit, first_where = owner.setdefault(e.scenario, (unit, p.where))
        if first_unit != unit:
            text = f"scenario {e.scenario!r} stands at {first_where} too, outside this pair"
            problems.append(Problem(p.where, text, (p.where,)))
        first_side, first_where = side.setdefault(e.author, (e.split, p.where))
        if first_side != e.split:
            text = f"author {e.author!r} is {e.split} here and {first_side} at {first_where}"
            problems.append(Problem(p.where, text, (p.where,)))
    return problems


def near_duplicates(placed: Sequence[Placed]) -> list[str]:
    """Answers of different scenarios that share too many runs of six words (Jaccard similarity of shingle sets)."""
    known = Shingles()
    found: list[tuple[int, int, str]] = []
    for at, p in enumerate(placed):
        found += [(other, at, f"{p.where}: {text}") for other, _, text in known.near(p)]
        known.add(p)
    return [text for _, _, text in sorted(found)]


class Shingles:
    """Exemplars by their runs of six words, so that one answer is compared with those that share any."""

    def __init__(self, placed: Iterable[Placed] = ()) -> None:
        self._placed: list[Placed] = []
        self._sizes: list[int] = []
        self._holders: dict[int, list[int]] = defaultdict(list)
        for p in placed:
            self.add(p)

    def add(self, placed: Placed) -> None:
        """Take one more to compare with."""
        shingles = shingles_of(placed.exemplar.text)
        for shingle in shingles:
            self._holders[shingle].append(len(self._placed))
        self._placed.append(placed)
        self._sizes.append(len(shingles))

    def near(self, placed: Placed) -> list[tuple[int, float, str]]:
        """Those of another scenario that are nearly this one, in the order they were added.

        Returns:
            (position, share of the runs shared, the problem in words) of each.
        """
        shingles = shingles_of(placed.exemplar.text)
        shared = Counter(holder for shingle in shingles for holder in self._holders.get(shingle, ()))
        near = []
        for at, n in sorted(shared.items()):
            other, share = self._placed[at], n / (len(shingles) + self._sizes[at] - n)
            if share >= NEAR_DUPLICATE and other.exemplar.scenario != placed.exemplar.scenario:
                text = f"nearly the answer at {other.where} ({share:.0%} of the runs of {SHINGLE} words shared)"
                near.append((at, share, text))
        return near


def shingles_of(text: str) -> set[int]:
    """Hashes of the runs of six words in a text; of all of it where it is shorter."""
    words = text.lower().split()
    return {hash(tuple(words[i : i + SHINGLE])) for i in range(max(1, len(words) - SHINGLE + 1))}


def corpus_hash(exemplars: Iterable[Exemplar]) -> str:
    """SHA-256 over the exemplars' content in id order: the same answers give the same hash in any file layout."""
    digest = hashlib.sha256()
    for exemplar in sorted(exemplars, key=lambda e: e.id):
        digest.update(json.dumps(exemplar.model_dump(mode="json"), sort_keys=True).encode())
    return digest.hexdigest()
