"""Read answers from files: tables (JSONL, CSV, Parquet), transcripts, folders of them, standard input.

Nothing is dropped: what a reader cannot turn into an :class:`Answer` comes out as a :class:`Rejection` with
its file, line and reason, and the rest of the file is read on.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from pipeline.corpus import explain
from pipeline.records import Answer, Rejection
from pipeline.transcripts import TRANSCRIPT_KINDS, read_transcript

Record = Answer | Rejection


class Unreadable(str):
    """Why a record has no fields; never holds the record itself."""


MAX_CHARACTERS = 100_000  # about two hours of speech; longer is not one answer
MAX_LINE_BYTES = 64_000_000
TABLE_KINDS = (".jsonl", ".ndjson", ".csv", ".parquet")
KINDS = TABLE_KINDS + TRANSCRIPT_KINDS


def read_inputs(inputs: Iterable[str], candidate: str | None = None) -> Iterator[Record]:
    """Every record of every input, in the order given; files of a folder by name.

    Ids are unique in what comes out: the second record with an id is rejected. ``-`` is JSONL on standard input.
    """
    first_place: dict[str, str] = {}
    for name in inputs:
        for where, record in _read_one(name, candidate):
            if isinstance(record, Answer):
                if record.id in first_place:
                    file, _, line = where.rpartition(":")
                    reason = f"duplicate id {record.id!r}, first at {first_place[record.id]}; give each answer its own"
                    yield Rejection(file=file, line=int(line), id=record.id, reason=reason)
                    continue
                first_place[record.id] = where
            yield record


def _read_one(name: str, candidate: str | None) -> Iterator[tuple[str, Record]]:
    if name == "-":
        yield from _read_jsonl(sys.stdin.buffer, "<stdin>", "stdin")
        return
    path = Path(name)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path)))
        if not files:
            yield _whole(path, "empty folder: no files in it")
        for file in files:
            yield from _read_file(file, candidate)
    else:
        yield from _read_file(path, candidate)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_file(path: Path, candidate: str | None) -> Iterator[tuple[str, Record]]:
    kind = path.suffix.lower()
    try:
        if kind not in KINDS:
            yield _whole(path, f"unknown kind of file {kind or '(no ending)'!r}; known: {', '.join(KINDS)}")
        elif path.stat().st_size == 0:
            yield _whole(path, "empty file")
        elif kind == ".parquet":
            yield from _read_parquet(path)
        else:
            with path.open("rb") as file:
                if b"\0" in file.read(8192):
                    yield _whole(path, "binary file, not text; export it as UTF-8")
                    return
                file.seek(0)
                if kind in (".jsonl", ".ndjson"):
                    yield from _read_jsonl(file, str(path), path.stem)
                elif kind == ".csv":
                    yield from _read_csv(file, path)
                else:
                    for line, fields in read_transcript(file.read(), path, candidate):
                        found = Unreadable(fields) if isinstance(fields, str) else fields
                        yield _record(found, str(path), line, path.stem)
    except FileNotFoundError:
        yield _whole(path, "no such file or folder")
    except PermissionError:
        yield _whole(path, "no permission to read it")
    except OSError as error:
        yield _whole(path, f"cannot be read: {error.strerror or type(error).__name__}")


def _whole(path: Path, reason: str) -> tuple[str, Record]:
    """A rejection of a file as a whole."""
    return str(path), Rejection(file=str(path), line=None, reason=reason)


def _record(fields: Any, file: str, line: int, stem: str) -> tuple[str, Record]:
    """Make an answer of one record's fields, or say why not. A record without an id is named by its line."""
    where = f"{file}:{line}"
    if isinstance(fields, Unreadable):
        return where, Rejection(file=file, line=line, reason=fields)
    if not isinstance(fields, dict):
        return where, Rejection(file=file, line=line, reason=f"a JSON object is wanted, not {type(fields).__name__}")
    if fields.get("id") in (None, ""):
        fields = {**fields, "id": f"{stem}-{line}"}
    given = str(fields["id"])[:200]
    try:
        answer = Answer.model_validate(fields)
    except ValidationError as error:
        reason = "; ".join(explain(e) for e in error.errors(include_input=False, include_url=False))
        return where, Rejection(file=file, line=line, id=given, reason=reason)
    if len(answer.text) > MAX_CHARACTERS:
        reason = f"answer of {len(answer.text):,} characters, the limit is {MAX_CHARACTERS:,}; split it by question"
        return where, Rejection(file=file, line=line, id=given, reason=reason)
    return where, answer


def _read_jsonl(file: BinaryIO, name: str, stem: str) -> Iterator[tuple[str, Record]]:
    number = 0
    for number, raw in enumerate(_lines(file), 1):
        if raw is None:
            yield _record(Unreadable(f"line longer than {MAX_LINE_BYTES:,} bytes"), name, number, stem)
        elif raw.strip():
            yield _record(_parse(raw), name, number, stem)
    if not number:
        yield name, Rejection(file=name, line=None, reason="empty input")


def _lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Lines of bounded length; None for one that is over it."""
    while raw := file.readline(MAX_LINE_BYTES):
        if len(raw) == MAX_LINE_BYTES and not raw.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield None
        else:
            yield raw


def _parse(raw: bytes) -> Any:
    """The object on a line, or why there is none."""
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Unreadable(f"not valid UTF-8 at byte {error.start}")
    except json.JSONDecodeError as error:
        return Unreadable(f"not valid JSON: {error.msg} at column {error.colno}")
    except RecursionError:
        return Unreadable("not valid JSON: nested too deeply")


def _read_csv(file: BinaryIO, path: Path) -> Iterator[tuple[str, Record]]:
    csv.field_size_limit(MAX_LINE_BYTES)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.DictReader(text)
    columns = [c for c in rows.fieldnames or [] if c]
    if "answer" not in columns and "text" not in columns:
        yield _whole(path, f"no column 'answer' (or 'text'); columns found: {', '.join(columns) or 'none'}")
        return
    line = 1
    try:
        for row in rows:
            start, line = line + 1, rows.line_num
            extra, row_fields = row.pop(None, None), dict(row)
            if extra is not None:
                yield _record(
                    Unreadable("more cells than columns; quote cells that hold commas"),
                    str(path),
                    start,
                    path.stem,
                )
            elif any(v is not None and any("\udc80" <= ch <= "\udcff" for ch in v) for v in row_fields.values()):
                yield _record(Unreadable("not valid UTF-8"), str(path), start, path.stem)
            else:
                yield _record({k: v for k, v in row_fields.items() if v is not None}, str(path), start, path.stem)
    except csv.Error as error:
        yield _record(Unreadable(f"not valid CSV: {error}"), str(path), rows.line_num, path.stem)


def _read_parquet(path: Path) -> Iterator[tuple[str, Record]]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        yield _whole(path, f"not a Parquet file: {str(error).splitlines()[0]}")
        return
    columns = table.schema_arrow.names
    if "answer" not in columns and "text" not in columns:
        yield _whole(path, f"no column 'answer' (or 'text'); columns found: {', '.join(columns)}")
        return
    number = 0
    try:
        for batch in table.iter_batches(batch_size=512):
            for row in batch.to_pylist():
                number += 1
                yield _record(
                    {k: v for k, v in row.items() if v is not None or k in ("answer", "text")},
                    str(path),
                    number,
                    path.stem,
                )
    except (pyarrow.ArrowException, OSError) as error:
        yield _record(Unreadable(f"cannot be read on: {type(error).__name__}"), str(path), number + 1, path.stem)
