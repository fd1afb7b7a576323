"""Score a batch into a folder: streamed, in input order, resumable, never half a file under a final name.

While the batch runs, everything lies in `*.part` files and `progress.json` says how far they can be trusted; at the
end they get their final names in one step each. `batch.json` says beside the results what they were made from.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

from pipeline.errors import DebriefError
from pipeline.readers import Record
from pipeline.records import Answer, Feedback, Rejection
from pipeline.report import BatchReport
from pipeline.score import Scorer

CHUNK = 256  # records between two points from which a batch can be resumed
_PROGRESS = "progress.json"
ORIGIN = "batch.json"


@dataclass
class Summary:
    """Counts of a finished batch and where its files lie."""

    scored: int = 0
    rejected: int = 0
    by_round: dict[str, Counter[str]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def count(self, round_: str, verdict: str) -> None:
        """Add one scored answer."""
        self.scored += 1
        self.by_round.setdefault(round_, Counter())[verdict] += 1

    @property
    def verdicts(self) -> Counter[str]:
        """Answers by verdict, over all rounds."""
        return sum(self.by_round.values(), Counter())


def score_batch(
    records: Iterable[Record],
    scorer: Scorer,
    out: Path,
    report: BatchReport | None = None,
    extra_format: str = "jsonl",
    key: str = "",
    resume: bool = False,
    advance: Callable[[int], None] | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Summary:
    """Score every record and write `results.jsonl`, `rejected.jsonl` and what else is asked for into ``out``.

    Args:
        records: what the readers yield, in order.
        scorer: says what there is to say of each answer.
        out: folder, made if absent.
        report: writes the report for people, or None.
        extra_format: ``csv`` or ``parquet`` writes the same results as a table too.
        key: names this very batch (inputs, options and model).
        resume: go on with an unfinished batch of the same key, if there is one; otherwise start anew.
        advance: told of each finished record.
        origin: inputs, options and model, to be kept in `batch.json` beside the results.

    Raises:
        DebriefError: ``out`` cannot be written, or ``resume`` finds an unfinished batch of another key there.
    """
    parts = ["results.jsonl", "rejected.jsonl", *([report.file_name] if report else [])]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with _locked(out):
            summary = _stream(records, scorer, out, report, parts, key, resume, advance)
            for name in parts:
                if name == getattr(report, "file_name", None):
                    continue
                (out / f"{name}.part").replace(out / name)
                summary.files.append(out / name)
            if report:
                report.finish(out / f"{report.file_name}.part", out / report.file_name, summary, out / "rejected.jsonl")
                summary.files.append(out / report.file_name)
            _write_origin(out, origin)
            if extra_format != "jsonl":
                summary.files.append(write_table(out / "results.jsonl", out / f"results.{extra_format}"))
            (out / _PROGRESS).unlink(missing_ok=True)
    except OSError as error:
        if error.filename and not Path(str(error.filename)).is_relative_to(out):
            raise  # not about writing: a file of the program itself is missing
        reason = error.strerror or type(error).__name__
        raise DebriefError(f"cannot write here ({reason})", "Name another folder with --out.", str(out)) from None
    return summary


def _stream(
    records: Iterable[Record],
    scorer: Scorer,
    out: Path,
    report: BatchReport | None,
    parts: list[str],
    key: str,
    resume: bool,
    advance: Callable[[int], None] | None,
) -> Summary:
    summary = Summary()
    done = _resume(out, parts, key, summary) if resume else 0
    source = iter(records)
    for _ in islice(source, done):
        if advance:
            advance(1)
    files = {name: (out / f"{name}.part").open("a" if done else "w", encoding="utf-8", newline="\n") for name in parts}
    try:
        while chunk := list(islice(source, CHUNK)):
            scored = iter(scorer.score([r for r in chunk if isinstance(r, Answer)]))
            for record in chunk:
                if isinstance(record, Rejection):
                    summary.rejected += 1
                    files["rejected.jsonl"].write(record.model_dump_json() + "\n")
                else:
                    feedback = next(scored)
                    _write(feedback, files, report, summary)
                if advance:
                    advance(1)
            done += len(chunk)
            _save_progress(out, files, done, key, summary)
    finally:
        for file in files.values():
            file.close()
    return summary


def _write(feedback: Feedback, files: Mapping[str, IO[str]], report: BatchReport | None, summary: Summary) -> None:
    summary.count(feedback.result.round, feedback.result.verdict)
    files["results.jsonl"].write(feedback.result.to_json() + "\n")
    if report:
        files[report.file_name].write(report.section(feedback))


def _write_origin(out: Path, origin: Mapping[str, Any] | None) -> None:
    if origin is None:
        (out / ORIGIN).unlink(missing_ok=True)  # it would speak of another batch
        return
    fresh = out / f"{ORIGIN}.part"
    fresh.write_text(json.dumps({"schema": "debrief.batch/1", **origin}, indent=1) + "\n", encoding="utf-8")
    fresh.replace(out / ORIGIN)


def _save_progress(out: Path, files: Mapping[str, IO[str]], done: int, key: str, summary: Summary) -> None:
    sizes = {}
    for name, file in files.items():
        file.flush()
        os.fsync(file.fileno())
        sizes[name] = file.tell()
    state = {
        "key": key,
        "done": done,
        "sizes": sizes,
        "rejected": summary.rejected,
        "by_round": summary.by_round,
    }
    fresh = out / f"{_PROGRESS}.new"
    fresh.write_text(json.dumps(state), encoding="utf-8")
    fresh.replace(out / _PROGRESS)


def _resume(out: Path, parts: list[str], key: str, summary: Summary) -> int:
    """How many records are done; cuts the part files back to where they can be trusted."""
    path = out / _PROGRESS
    if not path.is_file():
        return 0
    state = json.loads(path.read_text(encoding="utf-8"))
    if state["key"] != key or set(state["sizes"]) != set(parts):
        raise DebriefError(
            "an unfinished batch of other inputs, options or another model lies here",
            "Repeat the command that began it, name another --out, or leave out --resume to start anew.",
            str(out),
        )
    for name, size in state["sizes"].items():
        part = out / f"{name}.part"
        if not part.exists():  # the batch was stopped while its files got their final names
            (out / name).replace(part)
        os.truncate(part, size)
    summary.rejected = state["rejected"]
    for round_, counts in state["by_round"].items():
        summary.by_round[round_] = Counter(counts)
    summary.scored = sum(sum(c.values()) for c in summary.by_round.values())
    return int(state["done"])


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """One batch a folder at a time; the lock goes with the process, however it ends."""
    import fcntl

    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DebriefError(
                "another debrief is writing here", "Wait for it, or name another --out.", str(out)
            ) from None
        yield


# --- the same results as a table -----------------------------------------------------------------------------


def table_row(result: dict[str, Any]) -> dict[str, Any]:
    """One result as flat columns; fields passed through keep their names unless a column has them."""
    row = {name: result[name] for name in ("id", "round", "round_source", "verdict", "p_good")}
    row["reasons"] = " ".join(result["reasons"])
    for polarity in ("positive", "negative"):
        row[polarity] = ";".join(s["id"] for s in result["signals"] if s["polarity"] == polarity)
    row["missing"] = ";".join(m["id"] for m in result["missing"])
    row["words"] = result["delivery"]["words"]
    row["model_version"] = result["model"]["version"]
    for name, value in (result.get("extra") or {}).items():
        row.setdefault(name, value if isinstance(value, str | int | float | bool | None) else json.dumps(value))
    return row


def write_table(results: Path, target: Path) -> Path:
    """Write `results.jsonl` as CSV or Parquet, by the ending of ``target``; whole or not at all."""
    fresh = target.with_name(target.name + ".part")
    with results.open(encoding="utf-8") as lines:
        rows = [table_row(json.loads(line)) for line in lines]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    if target.suffix == ".csv":
        with fresh.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows({k: inert(v) for k, v in row.items()} for row in rows)
    else:
        import pyarrow
        import pyarrow.parquet

        mixed = {c for c in columns if len({type(r[c]) for r in rows if r.get(c) is not None}) > 1}
        table = {c: [None if (v := r.get(c)) is None else str(v) if c in mixed else v for r in rows] for c in columns}
        pyarrow.parquet.write_table(pyarrow.table(table), fresh)
    fresh.replace(target)
    return target


def inert(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP: prefix an apostrophe to = + - @, tab, return)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
