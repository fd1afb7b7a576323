"""What one record of labelled answers says, in each of the formats people bring.

The project's own fields, and the marks of Label Studio (its full export and JSON-MIN), doccano and Prodigy. Which it
is, is told by what the record holds. Foreign formats never take a verdict from a data column, for there it may be a
model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.readers import Unreadable
from pipeline.signals import SIGNALS

Fields = dict[str, Any]

STRENGTHS = {"GOOD": 0.75, "BAD": 0.25}  # where nobody gave one; chosen, not validated
SHORT = ("id", "round", "verdict", "author", "setting", "style", "scenario", "pair", "twin", "split", "annotator")
LISTS = ("signals", "near_misses", "annotations")
SAME_TASK = "\0several annotations of a task"
_COLUMNS = ("question", "strength", *(name for name in SHORT if name not in ("id", "verdict")))
_PRODIGY = ("accept", "reject", "ignore")
_SIGNAL_NAMES = {name: s.id for s in SIGNALS.values() for name in (s.id, re.sub(r"[\s-]+", "_", s.name.lower()))}


def signal_id(name: str) -> str:
    """The id of a signal named by its id or its plain name; the name itself where nobody knows it."""
    return _SIGNAL_NAMES.get(re.sub(r"[\s-]+", "_", name.strip().lower()), name.strip())


def is_blank(value: Any) -> bool:
    """Whether a field says nothing."""
    return value is None or (isinstance(value, str) and not value.strip())


def dicts(items: Any) -> list[Fields]:
    """Those items of a list that are objects."""
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def kind_of(record: Fields) -> str:
    """Which format a record has, told by what it holds."""
    if SAME_TASK in record:
        return "label_studio_min"
    if isinstance(record.get("data"), dict):
        return "label_studio"
    if "annotation_id" in record or "lead_time" in record or any(map(_labels_of, _items(record.values()))):
        return "label_studio_min"
    if "_task_hash" in record or "_input_hash" in record or ("text" in record and record.get("answer") in _PRODIGY):
        return "prodigy"
    if {"label", "labels", "entities", "cats"} & record.keys():
        return "doccano"
    return "native"


def _items(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield from value if isinstance(value, list) else [value]


def _native(record: Fields) -> tuple[Fields, list[str]]:
    """The project's own fields; ``answer`` stands for ``text``."""
    fields = dict(record)
    problems = []
    if "answer" in fields:
        answer = fields.pop("answer")
        if "text" in fields:
            problems.append("both 'answer' and 'text' are given; keep one")
        else:
            fields["text"] = answer
    for name in LISTS:
        if isinstance(fields.get(name), Unreadable):  # a cell of a table
            problems.append(f"{name}: {fields.pop(name)}")
    return fields, problems


@dataclass
class _Reading:
    """What one person marked in one answer, gathered mark by mark."""

    who: str | None = None
    strength: Any = None
    verdicts: set[str] = field(default_factory=set)
    signals: list[Fields] = field(default_factory=list)
    near_misses: list[Fields] = field(default_factory=list)
    looked: bool = False  # for signals

    def word(self, word: Any) -> None:
        """A label for the whole answer: a verdict, or a signal nobody showed; any other is not for us."""
        if not isinstance(word, str):
            return
        if word.strip().upper() in STRENGTHS:
            self.verdicts.add(word.strip().upper())
        elif signal_id(word) in SIGNALS:
            self.signals.append({"id": signal_id(word)})

    def span(self, label: Any, start: Any, end: Any, text: Any = None) -> None:
        """A label on some words; ``near:escalation:wished`` is a near miss and its kind."""
        found = {"start": start, "end": end, "text": text}
        if isinstance(label, str) and label.lower().startswith("near:"):
            _, name, *kind = (part.strip() for part in label.split(":", 2))
            self.near_misses.append({"id": name, **({"kind": kind[0].lower()} if kind else {}), **found})
        else:
            self.signals.append({"id": label, **found})

    def fields(self) -> tuple[Fields, list[str]]:
        """Its verdict, strength and signals, and what is wrong with them."""
        looked = self.looked or self.signals or self.near_misses
        fields: Fields = {"signals": self.signals if looked else None, "strength": self.strength}
        if len(self.verdicts) == 1:
            fields["verdict"] = next(iter(self.verdicts))
        problems = ["verdict: both GOOD and BAD are marked"] if len(self.verdicts) > 1 else []
        return fields, problems


def _columns(*sources: Any) -> Fields:
    """The known columns, from the first source that has each; no verdict: there it may be a model's."""
    found: Fields = {}
    for source in sources:
        if isinstance(source, dict):
            for name in _COLUMNS:
                if not is_blank(source.get(name)):
                    found.setdefault(name, source[name])
            if isinstance(source.get("id"), str):  # a number is the tool's own
                found.setdefault("id", source["id"])
    return found


def _with_reading(columns: Fields, reading: _Reading) -> tuple[Fields, list[str]]:
    fields, problems = reading.fields()
    told = {name: value for name, value in fields.items() if value is not None}
    who = {"annotator": reading.who} if reading.who else {}
    return {**columns, **told, **who, "near_misses": reading.near_misses}, problems


# Label Studio


def _label_studio(task: Fields) -> tuple[Fields, list[str]]:
    """A task of a full export. What its predictions say is a model's word and no label."""
    data = task["data"]
    columns = {**_columns(data), "text": data.get("text", data.get("answer"))}
    if not is_blank(data.get("id")):
        columns["id"] = data["id"]
    given = dicts(task.get("annotations") or task.get("completions"))
    readings = []
    for number, annotation in enumerate(given, 1):
        if annotation.get("was_cancelled"):
            continue
        reading = _Reading(_annotator(annotation.get("completed_by")) or f"annotator-{number}")
        for mark in dicts(annotation.get("result")):
            if isinstance(mark.get("value"), dict):
                _take(reading, mark.get("from_name"), mark["value"])
        readings.append(reading)
    if not readings:
        if given:
            return columns, ["skipped in Label Studio"]
        guessed = "; what a model predicted is no label" if task.get("predictions") else ""
        return columns, [f"nobody labelled it in Label Studio{guessed}"]
    return _merged(columns, readings)


def _label_studio_min(record: Fields) -> tuple[Fields, list[str]]:
    """An item of a JSON-MIN export, or all items of one task."""
    items: list[Fields] = record.get(SAME_TASK, [record])
    columns = {**_columns(*items), "text": items[0].get("text", items[0].get("answer"))}
    columns.pop("annotator", None)
    columns.pop("strength", None)
    readings = []
    for number, item in enumerate(items, 1):
        reading = _Reading(_annotator(item.get("annotator")) or f"annotator-{number}")
        for name, value in item.items():
            if name in ("text", "answer", "predictions", "id") or (name in _COLUMNS and name != "strength"):
                continue
            reading.looked |= name in ("label", "labels", "signals") and isinstance(value, list)
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    _take(reading, name, part)
                elif name == "strength":
                    reading.strength = part
                else:
                    reading.word(part)
        readings.append(reading)
    return _merged(columns, readings)


def _take(reading: _Reading, name: Any, value: Fields) -> None:
    """One mark of Label Studio: labels on words, a choice, or the strength."""
    if labels := _labels_of(value):
        place = value["globalOffsets"] if isinstance(value.get("globalOffsets"), dict) else value
        for label in labels:
            reading.span(label, place.get("start"), place.get("end"), value.get("text"))
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else [choices]:
        reading.word(choice)
    if name == "strength" and value.get("number") is not None:
        reading.strength = value["number"]
    if name == "strength" and isinstance(rating := value.get("rating"), int | float):
        reading.strength = round((rating - 0.5) / 5, 4)  # the middle of each fifth


def _labels_of(value: Any) -> list[Any]:
    found = (value.get("labels") or value.get("hypertextlabels")) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _annotator(who: Any) -> str | None:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return str(who) if isinstance(who, str | int) and str(who).strip() else None


def _merged(columns: Fields, readings: list[_Reading]) -> tuple[Fields, list[str]]:
    """One record of what several people marked: the last word of each; all must agree on the verdict."""
    people = list({reading.who: reading for reading in readings}.values())
    fields, problems = _with_reading(columns, people[0])
    verdicts = list(dict.fromkeys(v for person in people for v in sorted(person.verdicts)))
    if len(people) == 1:
        return fields, problems
    if len(verdicts) > 1:
        fields.pop("verdict", None)
        return fields, [f"annotators disagree: {verdicts[0]} and {verdicts[1]}; settle it first"]
    if unjudged := [str(person.who) for person in people[:2] if not person.verdicts]:
        return fields, [f"verdict: annotator {who} gave none" for who in unjudged]
    readings_of = [{"annotator": p.who, **p.fields()[0]} for p in people[:2]]
    fields["annotations"] = [{**r, "signals": r["signals"] or []} for r in readings_of]
    fields.pop("annotator", None)
    return fields, problems


# doccano


def _doccano(record: Fields) -> tuple[Fields, list[str]]:
    """A line of doccano: spans as lists or objects, verdicts as plain words."""
    reading = _Reading()
    for name in ("label", "labels", "entities"):
        marks = record.get(name)
        marks = marks if isinstance(marks, list) else [] if marks is None else [marks]
        for mark in marks:
            if isinstance(mark, dict):
                start, end = (mark.get(f"{side}_offset", mark.get(side)) for side in ("start", "end"))
                reading.span(mark.get("label"), start, end, mark.get("text"))
            elif isinstance(mark, list) and len(mark) >= 3:
                reading.span(mark[2], mark[0], mark[1])
            elif isinstance(mark, list):
                reading.span(None, None, None)
            else:
                reading.word(mark)
        only_words = bool(marks) and all(isinstance(mark, str) for mark in marks)
        reading.looked |= isinstance(record.get(name), list) and not only_words
    cats = record.get("cats")
    if isinstance(cats, dict):
        cats = [word for word, value in cats.items() if value]
    for word in cats if isinstance(cats, list) else [cats]:
        reading.word(word)
    columns = {**_columns(record, record.get("meta")), "text": record.get("text", record.get("data"))}
    return _with_reading(columns, reading)


# Prodigy


def _prodigy(record: Fields) -> tuple[Fields, list[str]]:
    """A line of Prodigy, where ``answer`` is what the annotator did with the task."""
    reading = _Reading(_annotator(record.get("_annotator_id")) or _annotator(record.get("_session_id")))
    spans = record.get("spans")
    reading.looked = isinstance(spans, list)
    for span in dicts(spans):
        reading.span(span.get("label"), span.get("start"), span.get("end"), span.get("text"))
    reading.word(record.get("label"))
    names = {str(option.get("id")): option.get("text") for option in dicts(record.get("options"))}
    accepted = record.get("accept")
    for choice in accepted if isinstance(accepted, list) else [accepted]:
        known = isinstance(choice, str) and (choice.strip().upper() in STRENGTHS or signal_id(choice) in SIGNALS)
        reading.word(choice if known or not isinstance(choice, str | int) else names.get(str(choice)))
    columns = {**_columns(record, record.get("meta")), "text": record.get("text")}
    fields, problems = _with_reading(columns, reading)
    said = record.get("answer")
    if said != "accept":
        words = {"reject": "rejected in Prodigy", "ignore": "ignored in Prodigy"}
        problems = [words.get(said, "not answered in Prodigy") if isinstance(said, str) else "not answered in Prodigy"]
    return fields, problems


FORMATS = {
    "native": _native,
    "label_studio": _label_studio,
    "label_studio_min": _label_studio_min,
    "doccano": _doccano,
    "prodigy": _prodigy,
}
