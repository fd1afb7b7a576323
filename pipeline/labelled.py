"""Read labelled answers: the project's own lines, CSV, and what Label Studio, doccano and Prodigy export.

Which format a record has is told by its content. Whatever it was, it comes out as :class:`Labelled` with its place, or
as a :class:`Refusal` with its place and every reason; nothing is dropped.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.corpus import Placed, explain
from pipeline.errors import InputError
from pipeline.exports import FORMATS, LISTS, SAME_TASK, SHORT, STRENGTHS, Fields, dicts, is_blank, kind_of, signal_id
from pipeline.readers import MAX_CHARACTERS, MAX_LINE_BYTES, Unreadable
from pipeline.records import AnnotatedSignal, Annotation, Label, NearMiss

KNOWN_KINDS = ".jsonl, .json, .csv"
_ABSENT = {
    "text": "no words in it",
    "question": "what was asked? add a column or --question TEXT",
    "round": "which round? add a column or --round NAME",
    "verdict": "none given; GOOD or BAD is wanted",
    "author": "who said it? add a column or --author NAME; the split goes by author",
}


class Labelled(BaseModel):
    """An answer with a verdict, as somebody hands it in: an exemplar that the corpus has not yet admitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str | None = Field(None, max_length=200)
    text: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    question: str = Field(min_length=1)
    round: Literal["product_sense", "behavioral", "analytical", "system_design"]
    verdict: Label
    strength: float = Field(ge=0, le=1, allow_inf_nan=False)
    author: str
    setting: Literal["everyday", "professional"]
    style: Literal["edited", "spoken", "asr"]
    scenario: str | None = None
    pair: str | None = None
    twin: Literal["near_miss", "dense_near_miss", "dense", "plain"] | None = None
    split: Literal["train", "test"] | None = None
    signals: tuple[AnnotatedSignal, ...] | None = Field(None, description="null: nobody looked for signals")
    near_misses: tuple[NearMiss, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    annotator: str | None = None

    @field_validator("author")
    @classmethod
    def _author_names_a_file(cls, value: str) -> str:
        if not re.fullmatch(r"[\w-]{1,100}", value):
            raise ValueError("letters, digits, _ and - only, for it names a file")
        return value

    @field_validator("text")
    @classmethod
    def _text_says_something(cls, value: str) -> str:
        if not re.search(r"\w", value):
            raise ValueError(_ABSENT["text"])
        return value


@dataclass(frozen=True)
class Defaults:
    """What a file lacks: told once for all its records."""

    author: str | None = None
    question: str | None = None
    round: str | None = None
    setting: str = "professional"
    style: str = "spoken"


@dataclass(frozen=True)
class Arrived:
    """A labelled answer and where it stands: ``file:line``, or ``file#number`` in a JSON list."""

    labelled: Labelled
    where: str


@dataclass(frozen=True)
class Refusal:
    """A record that was not taken, where it stands and why. Of a contradiction it holds both answers, to be shown."""

    where: str
    reasons: tuple[str, ...]
    pair: str | None = None
    both: tuple[Placed, Placed] | None = None

    def __str__(self) -> str:
        return f"{self.where}: {'; '.join(self.reasons)}"


def read_labelled(path: Path, defaults: Defaults) -> list[Arrived | Refusal]:
    """Every record of the file, in its order.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    read: list[Arrived | Refusal] = []
    for where, record in _records(path):
        if isinstance(record, Unreadable):
            read.append(Refusal(where, (str(record),)))
        elif not isinstance(record, dict):
            read.append(Refusal(where, (f"a JSON object is wanted, not {type(record).__name__}",)))
        else:
            read.append(_admit_one(record, where, defaults))
    return read


# --- the file ------------------------------------------------------------------------------------------------


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Each record with its place; an :class:`Unreadable` where there is none."""
    try:
        raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except FileNotFoundError:
        raise InputError("no such file", "Name the file that holds the labelled answers.", str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "Name another file.", str(path)) from None
    if not raw.strip():
        raise InputError("empty file", "Name the file that holds the labelled answers.", str(path))
    if b"\0" in raw[:8192]:
        raise InputError("binary file, not text", "Export it as UTF-8.", str(path))
    begins, kind = raw.lstrip()[:1], path.suffix.lower()
    if begins == b"[" and not _is_lines(raw):
        return _listed(raw, path)
    if begins == b"{" or kind in (".jsonl", ".ndjson"):
        one = _single(raw) if kind == ".json" else None
        return iter([(f"{path}#1", one)]) if one is not None else _lines(raw, path)
    if kind == ".csv":
        return _rows(raw, path)
    if kind == ".json":
        return _listed(raw, path)
    fact = f"unknown kind of file {kind or '(no ending)'!r}"
    raise InputError(fact, f"Export it as one of: {KNOWN_KINDS}.", str(path))


def _is_lines(raw: bytes) -> bool:
    """Whether a file that begins with a bracket holds one whole list a line all the same (each is refused)."""
    first, _, rest = raw.strip().partition(b"\n")
    return bool(rest) and not isinstance(_parsed(first), Unreadable)


def _parsed(raw: bytes) -> Any:
    """What the JSON says, or why it says nothing; the reason holds none of the text."""
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Unreadable(f"not valid UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if b"\n" in raw.strip() else ""
        return Unreadable(f"not valid JSON: {error.msg} at {line}column {error.colno}")
    except (RecursionError, ValueError) as error:
        deep = isinstance(error, RecursionError)
        return Unreadable("not valid JSON: nested too deeply" if deep else "not valid JSON: a number too long")


def _single(raw: bytes) -> Fields | None:
    """The one object a file holds over several lines, if that is what it holds."""
    found = _parsed(raw)
    return found if isinstance(found, dict) and b"\n" in raw.strip() else None


def _lines(raw: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(raw.splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", _parsed(line)


def _listed(raw: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    items = _parsed(raw)
    if isinstance(items, Unreadable):
        raise InputError(str(items), "Export it again, or mend it there.", str(path))
    if not isinstance(items, list):
        raise InputError("neither a list nor records of JSON", "Export it again.", str(path))
    if not items:
        raise InputError("an empty list", "Name the file that holds the labelled answers.", str(path))
    first: dict[str, int] = {}
    several: dict[int, list[Fields]] = {}
    for number, item in enumerate(items, 1):
        task = _task_key(item)
        at = first.setdefault(task, number) if task else number
        several.setdefault(at, []).append(item)
    for number, same in several.items():
        yield f"{path}#{number}", same[0] if len(same) == 1 else {SAME_TASK: same}


def _task_key(item: Any) -> str | None:
    """Names the task of a JSON-MIN item: each of its annotations is an item of its own there."""
    if isinstance(item, dict) and kind_of(item) == "label_studio_min" and "id" in item:
        return json.dumps([item["id"], item.get("text", item.get("answer"))])
    return None


def _rows(raw: bytes, path: Path) -> Iterator[tuple[str, Any]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    rows = csv.reader(io.StringIO(raw.decode("utf-8", errors="surrogateescape"), newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(rows)]
    except csv.Error as error:
        raise InputError(f"not valid CSV: {error}", "Mend its first line.", str(path)) from None
    if "text" not in columns and "answer" not in columns:
        found = ", ".join(columns).encode("utf-8", errors="replace").decode()
        raise InputError(f"no column 'text' (or 'answer'); columns found: {found}", "Name the columns.", str(path))
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise InputError(f"column {twice[0]!r} stands twice", "Delete one of the two.", str(path))
    while True:
        where = f"{path}:{rows.line_num + 1}"
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield where, Unreadable(f"not valid CSV: {error}")
        else:
            if row:
                yield where, _cells(columns, row)


def _cells(columns: list[str], row: list[str]) -> Fields | Unreadable:
    if len(row) > len(columns):
        return Unreadable("more cells than columns; quote cells that hold commas")
    if any("\udc80" <= ch <= "\udcff" for cell in row for ch in cell):
        return Unreadable("not valid UTF-8")
    fields: Fields = {name: cell for name, cell in zip(columns, row, strict=False) if cell.strip()}
    for name in LISTS:
        if name in fields:
            fields[name] = _parsed(fields[name].encode())
    return fields


# --- one record ----------------------------------------------------------------------------------------------


def _admit_one(record: Fields, where: str, defaults: Defaults) -> Arrived | Refusal:
    kind = kind_of(record)
    fields, problems = FORMATS[kind](record)
    pair = fields.get("pair")
    pair = str(pair).strip() if pair not in (None, "") else None
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Refusal(where, (*problems, "holds characters that are not valid Unicode"), pair)
    fields = _completed(fields, defaults)
    fields, unplaced = _with_places(fields)
    try:
        labelled = Labelled.model_validate(fields)
    except ValidationError as error:
        found = [_explained(e) for e in error.errors(include_input=False, include_url=False)]
        if problems and "verdict" not in fields:  # the reader has said already why there is none
            found = [text for text in found if text != f"verdict: {_ABSENT['verdict']}"]
        return Refusal(where, tuple([*problems, *found, *unplaced]), pair)
    if problems or unplaced:
        return Refusal(where, tuple([*problems, *unplaced]), pair)
    return Arrived(labelled, where)


def _explained(error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "missing" and len(error["loc"]) == 1:
        return f"{name}: {_ABSENT.get(name, 'it is absent')}"
    if error["type"] == "extra_forbidden" and name == "proposed":
        return "proposed: not labelled yet, only proposed; label it with `debrief corpus label`"
    return explain(error)


def _completed(fields: Fields, defaults: Defaults) -> Fields:
    """Blanks away, words in the one spelling, and what the file lacks from the defaults."""
    full = {name: value for name, value in fields.items() if not is_blank(value)}
    for name in SHORT:
        if isinstance(full.get(name), str | int) and not isinstance(full[name], bool):
            full[name] = str(full[name]).strip()
    for name in ("author", "question", "round", "setting", "style"):
        if name not in full and (told := getattr(defaults, name)) is not None:
            full[name] = told
    for name in ("round", "setting", "style", "twin", "split"):
        if isinstance(full.get(name), str):
            full[name] = re.sub(r"[\s-]+", "_", full[name].lower())
    if isinstance(full.get("id"), str):
        full["id"] = re.sub(r"[^\w-]+", "-", full["id"]).strip("-") or None
    for judged in [full, *dicts(full.get("annotations"))]:
        if isinstance(judged.get("verdict"), str):
            judged["verdict"] = judged["verdict"].strip().upper()
            if judged.get("strength") is None and judged["verdict"] in STRENGTHS:
                judged["strength"] = STRENGTHS[judged["verdict"]]
    if "strength" not in full:
        full["strength"] = 0.5  # there is no verdict: that is what will be said
    return full


def _with_places(fields: Fields) -> tuple[Fields, list[str]]:
    """The fields with every signal's offsets and words, and why some could not be had."""
    text = fields.get("text")
    if not isinstance(text, str):
        return fields, []
    problems: list[str] = []

    def placed(items: Any) -> Any:
        if not isinstance(items, list):
            return items
        found = [place(text, item) for item in items]
        problems.extend(p for p in found if isinstance(p, str))
        return [f for f in found if not isinstance(f, str)]

    fields = {**fields, **{name: placed(fields[name]) for name in ("signals", "near_misses") if name in fields}}
    if isinstance(fields.get("annotations"), list):
        fields["annotations"] = [
            {**a, "signals": placed(a["signals"])} if isinstance(a, dict) and "signals" in a else a
            for a in fields["annotations"]
        ]
    return fields, list(dict.fromkeys(problems))


def place(text: str, given: Any) -> Any:
    """A signal with offsets and words that agree, or why there is none as a string.

    Offsets count characters. Where they disagree with the words, they may count UTF-16 units, as JavaScript does;
    failing that, words that stand in the text once tell the place themselves.
    """
    if isinstance(given, str):
        given = {"id": given}
    if not isinstance(given, dict):
        return given  # not for us to say what it is: the schema does
    rest = {k: v for k, v in given.items() if k not in ("id", "signal", "start", "end", "text") and v is not None}
    given_name = given.get("id") if given.get("id") is not None else given.get("signal")
    if not isinstance(given_name, str) or not given_name.strip():
        return "a signal without a name"
    name = signal_id(given_name)
    start, end, words = _offset(given.get("start")), _offset(given.get("end")), given.get("text")
    if not isinstance(words, str) or not words:
        if start is None or end is None:
            return f"{name}: no words that show it; `debrief corpus label` proposes them"
        if not 0 <= start < end <= len(text):
            return f"{name}: text[{start}:{end}] is outside the answer, which has {len(text)} characters"
        words = text[start:end]
    else:
        found = _found(text, words, start, end)
        if isinstance(found, str):
            return f"{name}: {found}"
        start, end = found
    if not words.strip():
        return f"{name}: text[{start}:{end}] holds no words"
    return {**rest, "id": name, "start": start, "end": end, "text": words}


def _found(text: str, words: str, start: int | None, end: int | None) -> tuple[int, int] | str:
    """Where the words stand, or why that cannot be told."""
    if start is not None and end is not None and 0 <= start < end:
        if end <= len(text) and text[start:end] == words:
            return start, end
        units = text.encode("utf-16-le")
        before = units[: 2 * start].decode("utf-16-le", errors="ignore")
        if text[len(before) :].startswith(words) and 2 * end == len((before + words).encode("utf-16-le")):
            return len(before), len(before) + len(words)
    first = text.find(words)
    if first < 0:
        return "its words are not in the answer"
    if text.find(words, first + 1) >= 0:
        return "its words stand in the answer more than once; give start and end too"
    return first, first + len(words)


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
