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


def read_corpus(folder: Path) -> list[Exemplar]:
    """All exemplars under ``folder``, in file-name and line order.

    Raises:
        CorpusError: any line breaks the rules; every problem is listed.
    """
    placed, problems = read_lines(folder)
    problems += find_problems(placed)
    if problems:
        raise CorpusError(problems)
    return [p.exemplar for p in placed]


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
    problems: list[str] = []
    seen: dict[str, str] = {}
    for p in placed:
        first = seen.setdefault(p.exemplar.id, p.where)
        if first != p.where:
            problems.append(f"{p.where}: id {p.exemplar.id!r} is taken at {first}")
        problems += [f"{p.where}: {text}" for text in _span_problems(p.exemplar)]
    problems += _pair_problems(placed)
    problems += _side_problems(placed)
    problems += near_duplicates(placed)
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


def _pair_problems(placed: Sequence[Placed]) -> list[str]:
    pairs: dict[str, list[Placed]] = defaultdict(list)
    for p in placed:
        if p.exemplar.pair:
            pairs[p.exemplar.pair].append(p)
    problems = []
    for name, twins in pairs.items():
        where = twins[0].where
        if sorted(t.exemplar.verdict for t in twins) != ["BAD", "GOOD"]:
            problems.append(f"{where}: pair {name!r} wants one GOOD and one BAD, has {len(twins)} answers")
            continue
        one, two = (t.exemplar for t in twins)
        for field in ("question", "round", "author", "style", "scenario", "split", "setting", "twin"):
            if getattr(one, field) != getattr(two, field):
                problems.append(f"{where}: the twins of {name!r} differ in {field}")
        short, long = sorted((len(one.text.split()), len(two.text.split())))
        if long > PAIR_LENGTH_RATIO * short + 1:
            problems.append(f"{where}: the twins of {name!r} have {short} and {long} words, more than 15% apart")
    return problems


def _side_problems(placed: Sequence[Placed]) -> list[str]:
    """A scenario belongs to one pair or one answer; an author stands on one side of the split."""
    problems = []
    owner: dict[str, tuple[str, str]] = {}
    side: dict[str, tuple[str, str]] = {}
    for p in placed:
        e = p.exemplar
        unit = e.pair or e.id
        first_unit, first_where = owner.setdefault(e.scenario, (unit, p.where))
        if first_unit != unit:
            problems.append(f"{p.where}: scenario {e.scenario!r} stands at {first_where} too, outside this pair")
        first_side, first_where = side.setdefault(e.author, (e.split, p.where))
        if first_side != e.split:
            problems.append(f"{p.where}: author {e.author!r} is {e.split} here and {first_side} at {first_where}")
    return problems


def near_duplicates(placed: Sequence[Placed]) -> list[str]:
    """Answers of different scenarios that share too many runs of six words (Jaccard similarity of shingle sets)."""
    holders: dict[int, list[int]] = defaultdict(list)
    sizes: list[int] = []
    for index, p in enumerate(placed):
        words = p.exemplar.text.lower().split()
        shingles = {hash(tuple(words[i : i + SHINGLE])) for i in range(max(1, len(words) - SHINGLE + 1))}
        sizes.append(len(shingles))
        for shingle in shingles:
            holders[shingle].append(index)
    shared: Counter[tuple[int, int]] = Counter()
    for indexes in holders.values():
        for a_at, a in enumerate(indexes):
            for b in indexes[a_at + 1 :]:
                if placed[a].exemplar.scenario != placed[b].exemplar.scenario:
                    shared[a, b] += 1
    return [
        f"{placed[b].where}: nearly the answer at {placed[a].where} "
        f"({n / (sizes[a] + sizes[b] - n):.0%} of the runs of {SHINGLE} words shared)"
        for (a, b), n in sorted(shared.items())
        if n / (sizes[a] + sizes[b] - n) >= NEAR_DUPLICATE
    ]


def corpus_hash(exemplars: Iterable[Exemplar]) -> str:
    """SHA-256 over the exemplars' content in id order: the same answers give the same hash in any file layout."""
    digest = hashlib.sha256()
    for exemplar in sorted(exemplars, key=lambda e: e.id):
        digest.update(json.dumps(exemplar.model_dump(mode="json"), sort_keys=True).encode())
    return digest.hexdigest()
