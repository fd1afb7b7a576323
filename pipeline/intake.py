"""Admit labelled answers to the corpus: each is taken or refused with its reasons, and what stands there stays.

The rules are those of `debrief corpus check`, so a corpus that was sound is sound after it grew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.corpus import Placed, Shingles, broken_rules, find_problems
from pipeline.errors import DebriefError
from pipeline.labelled import Arrived, Labelled, Refusal
from pipeline.records import AnnotatedSignal, Annotation, Exemplar, NearMiss
from pipeline.splits import side_of
from pipeline.survey import coverage, find_shortcuts, shortcuts

_WANTS_TWIN = re.compile(r"pair .* wants one GOOD and one BAD")


@dataclass(frozen=True)
class Admission:
    """What was taken and what was not, each in the order it came."""

    accepted: list[Exemplar]
    refused: list[Refusal]


def admit(arrived: Sequence[Arrived | Refusal], corpus: Sequence[Placed]) -> Admission:
    """Judge every record against the corpus and against those before it.

    A known author keeps the side of the split the corpus has; a new one gets it by hash of the name. Two answers of the
    file that are the same under two verdicts are both refused: which of them is right is for a person to say.
    """
    sides = {p.exemplar.author: p.exemplar.split for p in corpus}
    outcome: dict[int, Placed | Refusal] = {}
    for at, record in enumerate(arrived):
        outcome[at] = record if isinstance(record, Refusal) else _exemplar(record, sides)
    _refuse_copies(outcome, corpus)
    known, index = _Known(corpus), Shingles(corpus)
    units: dict[str | int, list[int]] = defaultdict(list)
    for at, one in outcome.items():
        pair = one.pair if isinstance(one, Refusal) else one.exemplar.pair
        units[pair or at].append(at)
    for rows in units.values():
        for at, refusal in _judge({at: outcome[at] for at in rows}, known, index).items():
            outcome[at] = refusal
        taken = [one for at in rows if isinstance(one := outcome[at], Placed)]
        for placed in taken:
            known.add(placed)
            index.add(placed)
    everything = list(outcome.values())
    accepted = [one.exemplar for one in everything if isinstance(one, Placed)]
    return Admission(accepted, [one for one in everything if isinstance(one, Refusal)])


def _exemplar(arrived: Arrived, sides: dict[str, Any]) -> Placed | Refusal:
    """The answer as the corpus keeps it."""
    said = arrived.labelled
    side = sides.get(said.author) or side_of(said.author)
    if said.split and said.split != side:
        known = "the corpus has the author there" if said.author in sides else "the author's name decides it"
        text = f"split: it is {side}, for {known}; leave the field out"
        return Refusal(arrived.where, (text, *_own_problems(arrived, side)), said.pair)
    return Placed(_filled(said, side), arrived.where)


def _filled(said: Labelled, side: Any) -> Exemplar:
    fields = {name: getattr(said, name) for name in Exemplar.model_fields if name in Labelled.model_fields}
    id_ = said.id or f"{said.author}-{hashlib.sha256(said.text.encode()).hexdigest()[:8]}"
    annotations = said.annotations
    if said.annotator and not annotations:
        own = said.signals or ()
        annotations = (Annotation(annotator=said.annotator, verdict=said.verdict, strength=said.strength, signals=own),)
    scenario = said.scenario or f"{said.author}/{said.pair or id_}"
    made = {"id": id_, "split": side, "scenario": scenario, "annotations": annotations}
    return Exemplar.model_validate({**fields, **made})


def _own_problems(arrived: Arrived, side: Any) -> list[str]:
    """What is wrong with an answer whatever stands beside it."""
    alone = _filled(arrived.labelled, side).model_copy(update={"pair": None})
    return [problem.text for problem in broken_rules([Placed(alone, arrived.where)])]


# --- the same answer twice -----------------------------------------------------------------------------------


def same_words(text: str) -> str:
    """The letters and digits of a text: what is left when case, punctuation and white space do not count."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def _refuse_copies(outcome: dict[int, Placed | Refusal], corpus: Iterable[Placed]) -> None:
    """Refuse what repeats the corpus or the file; under another verdict it is a contradiction."""
    stands = {same_words(p.exemplar.text): p for p in corpus}
    groups: dict[str, list[tuple[int, Placed]]] = defaultdict(list)
    for at, one in outcome.items():
        if isinstance(one, Placed):
            groups[same_words(one.exemplar.text)].append((at, one))
    for key, group in groups.items():
        first = stands.get(key)
        for at, one in group:
            others = [first] if first else [other for _, other in group]
            if against := next((o for o in others if o.exemplar.verdict != one.exemplar.verdict), None):
                outcome[at] = _contradiction(one, against)
            elif others[0] is not one:
                text = f"duplicate of {others[0].exemplar.id!r} at {others[0].where}"
                outcome[at] = Refusal(one.where, (text,), one.exemplar.pair)


def _contradiction(one: Placed, other: Placed) -> Refusal:
    text = (
        f"{one.exemplar.verdict} here and {other.exemplar.verdict} at {other.where} ({other.exemplar.id!r}) "
        "for the same answer; decide which is right; change or delete the other"
    )
    return Refusal(one.where, (text,), one.exemplar.pair, (one, other))


# --- the rules of the corpus ---------------------------------------------------------------------------------


class _Known:
    """Exemplars by all that another can clash with, so that a rule is asked of few and not of all."""

    def __init__(self, placed: Iterable[Placed]) -> None:
        self._by: dict[tuple[str, str], list[Placed]] = defaultdict(list)
        for p in placed:
            self.add(p)

    def add(self, placed: Placed) -> None:
        for key in self._keys(placed.exemplar):
            self._by[key].append(placed)

    def beside(self, exemplar: Exemplar) -> list[Placed]:
        """Those of the same id, pair or scenario."""
        return [p for key in self._keys(exemplar) for p in self._by.get(key, ())]

    def _keys(self, exemplar: Exemplar) -> list[tuple[str, str]]:
        pair = [("pair", exemplar.pair)] if exemplar.pair else []
        return [("id", exemplar.id), *pair, ("scenario", exemplar.scenario)]


def _judge(unit: dict[int, Placed | Refusal], known: _Known, index: Shingles) -> dict[int, Refusal]:
    """Why members of one pair, or one single answer, cannot be taken; of a pair both or none are."""
    fresh = [one for one in unit.values() if isinstance(one, Placed)]
    lost = [one.where for one in unit.values() if isinstance(one, Refusal)]
    beside = {p.where: p for one in fresh for p in known.beside(one.exemplar)}
    told: dict[str, list[str]] = defaultdict(list)
    for problem in broken_rules([*beside.values(), *fresh]):
        for where in problem.concerns:
            told[where].append(problem.text)
    for placed in fresh:
        if near := index.near(placed):
            told[placed.where].append(max(near, key=lambda found: found[1])[2])
    refused = [one.where for one in fresh if told[one.where]]
    refusals = {}
    for at, one in unit.items():
        if not refused or isinstance(one, Refusal):
            continue
        others = [where for where in [*lost, *refused] if where != one.where]
        reasons = [text for text in told[one.where] if not (lost and _WANTS_TWIN.match(text))]
        if others and (not reasons or len(reasons) < len(told[one.where])):
            reasons.append(f"its twin was refused ({others[0]})")
        refusals[at] = Refusal(one.where, tuple(reasons), one.exemplar.pair)
    return refusals


# --- into the files ------------------------------------------------------------------------------------------


def line_of(exemplar: Exemplar) -> str:
    """One line of the corpus, keys in the order of the lines that are there."""
    fields = exemplar.model_dump(mode="json")
    if exemplar.signals is not None:
        fields["signals"] = [_span(s) for s in exemplar.signals]
    fields["near_misses"] = [_span(m) for m in exemplar.near_misses]
    fields["annotations"] = [
        {**a.model_dump(mode="json"), "signals": [_span(s) for s in a.signals]} for a in exemplar.annotations
    ]
    return json.dumps(fields, ensure_ascii=False)


def _span(span: AnnotatedSignal) -> dict[str, Any]:
    kind = {"kind": span.kind} if isinstance(span, NearMiss) else {}
    return {"id": span.id, **kind, "start": span.start, "end": span.end, "text": span.text}


def append(accepted: Sequence[Exemplar], folder: Path) -> list[Path]:
    """Add the exemplars to the file of their author, each file whole or not at all; returns the files.

    Raises:
        DebriefError: the folder cannot be written. No file is changed unless all could be written.
    """
    by_author: dict[str, list[Exemplar]] = defaultdict(list)
    for exemplar in accepted:
        by_author[exemplar.author].append(exemplar)
    written: list[tuple[Path, Path]] = []
    try:
        for author, some in by_author.items():
            target = (folder / f"{author}.jsonl").resolve()
            fresh = target.with_name(f".{target.name}.part")
            written.append((fresh, target))
            before = target.read_bytes() if target.exists() else b""
            gap = b"" if not before or before.endswith(b"\n") else b"\n"
            with fresh.open("wb") as file:
                file.write(before + gap + "".join(f"{line_of(e)}\n" for e in some).encode())
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, fresh)
        for fresh, target in written:
            fresh.replace(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DebriefError(f"cannot write here ({reason})", "Name another folder with --to.", str(folder)) from None
    finally:
        for fresh, _ in written:
            fresh.unlink(missing_ok=True)
    return [folder / target.name for _, target in written]


# --- what the corpus is then ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outlook:
    """The corpus with what was accepted: counts and shortcuts before and now, and what the check has to say."""

    counts: tuple[dict[str, int], dict[str, int]]
    shortcuts: tuple[dict[str, Any], dict[str, Any]]
    problems: list[str]


def look_ahead(corpus: Sequence[Placed], accepted: Sequence[Exemplar], metrics: Path) -> Outlook:
    """What `debrief corpus check` finds once ``accepted`` are in; ``metrics`` may hold the shortcuts from before."""
    before = [p.exemplar for p in corpus]
    now = [*before, *accepted]
    placed = [*corpus, *(Placed(e, f"{e.author}.jsonl, {e.id}") for e in accepted)]
    counts = _counts(before), _counts(now)
    told = _shortcuts_from(metrics, counts[0]) or (shortcuts(before) if before else {})
    measured = shortcuts(now)
    problems = find_problems(placed) + coverage(now) + find_shortcuts(measured)
    return Outlook(counts, (told, measured), problems)


def _counts(exemplars: Sequence[Exemplar]) -> dict[str, int]:
    verdicts = Counter(e.verdict for e in exemplars)
    return {
        "answers": len(exemplars),
        "good": verdicts["GOOD"],
        "annotated": sum(e.annotated for e in exemplars),
        "pairs": len({e.pair for e in exemplars if e.pair}),
        "authors": len({e.author for e in exemplars}),
    }


def _shortcuts_from(metrics: Path, counts: dict[str, int]) -> dict[str, Any] | None:
    """The figures of a committed survey, if it is one of these answers."""
    try:
        stored = json.loads(metrics.read_text(encoding="utf-8"))
        same = all(stored["counts"][name] == counts[name] for name in ("answers", "good", "pairs", "authors"))
        return dict(stored["shortcuts"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
