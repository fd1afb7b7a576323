"""Commands on answers: score, feedback, transcript."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.shared import (
    GoodRateOption,
    ModelOption,
    QuietOption,
    RoundOption,
    RubricOption,
    digest,
    load,
    out,
    progress,
    say,
    write_page,
)
from pipeline.errors import DebriefError


class ReportKind(StrEnum):
    """What people read."""

    html = "html"
    markdown = "markdown"
    none = "none"


class TableFormat(StrEnum):
    """How results are written."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"


def score(
    inputs: Annotated[
        list[str],
        typer.Argument(metavar="INPUT...", help="Answers (.jsonl, .csv, .parquet), transcripts, folders, or -."),
    ],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder for the results.")],
    round_: RoundOption = None,
    rubric: RubricOption = "tpm",
    model: ModelOption = None,
    expected_good_rate: GoodRateOption = None,
    report: Annotated[ReportKind, typer.Option(help="The report for people.")] = ReportKind.markdown,
    table: Annotated[TableFormat, typer.Option("--format", help="A table beside results.jsonl.")] = TableFormat.jsonl,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the batch that was stopped here.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Score a batch of answers into a folder."""
    from pipeline.batch import score_batch
    from pipeline.readers import read_inputs
    from pipeline.report import BatchReport

    loaded, scorer = load(model, rubric, quiet, expected_good_rate)
    asked = [str(round_), rubric, loaded.version, report.value, str(expected_good_rate)]
    key = digest([*_fingerprints(inputs), *asked])
    records = read_inputs(inputs)
    if round_:
        records = (_with_round(record, round_.value) for record in records)
    page = (
        None
        if report is ReportKind.none
        else BatchReport("html" if report is ReportKind.html else "markdown", loaded, rubric)
    )
    origin = {
        "inputs": [name if name == "-" else str(Path(name).absolute()) for name in inputs],
        "round": round_.value if round_ else None,
        "rubric": rubric,
        "expected_good_rate": expected_good_rate,
        "model": loaded.version,
        "report": report.value,
        "format": table.value,
    }
    with progress("scoring", None, quiet) as advance:
        summary = score_batch(records, scorer, out_dir, page, table.value, key, resume, advance, origin)
    if not quiet:
        from pipeline.terminal import summary_table

        out.print(summary_table(summary))
        for path in summary.files:
            out.print(f"{path.name:15} {path}", soft_wrap=True, highlight=False)
    if not summary.scored:
        raise DebriefError(
            "no answer could be scored",
            f"See {out_dir / 'rejected.jsonl'} for each reason.",
            ", ".join(inputs),
        )
    if summary.rejected:
        say(f"{summary.rejected} rejected; see {out_dir / 'rejected.jsonl'}", quiet)
        raise typer.Exit(1)


def feedback(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT | FILE | -]", help="The answer, a text file, or standard input.")
    ] = "-",
    question: Annotated[str | None, typer.Option("--question", help="What was asked.")] = None,
    round_: RoundOption = None,
    rubric: RubricOption = "tpm",
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The record as one line of JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page for a browser.")] = None,
) -> None:
    """Say what one answer shows and what it lacks."""
    from pipeline.records import Answer

    spoken, name = _read_text(text)
    answer = Answer(id=name, text=spoken, question=question, round=round_.value if round_ else None)
    loaded, scorer = load(model, rubric, quiet=False)
    said = scorer.score([answer])[0]
    if html:
        from pipeline.report import answer_page

        write_page(html, answer_page(said, loaded))
    if as_json:
        print(said.result.to_json())
    elif not html:
        from pipeline.terminal import feedback_view

        out.print(feedback_view(said))


def transcript(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Whisper JSON or WebVTT.")],
    candidate: Annotated[
        str | None, typer.Option("--candidate", help="The candidate's name in the transcript.")
    ] = None,
) -> None:
    """Turn transcripts into answers, as JSONL on standard output."""
    from pipeline.readers import read_inputs
    from pipeline.records import Answer

    found = rejected = 0
    for record in read_inputs([str(f) for f in files], candidate):
        if isinstance(record, Answer):
            found += 1
            fields = record.model_dump(exclude_none=True, exclude={"extra", "text"})
            print(json.dumps({"answer": record.text, **fields, **record.extra}, ensure_ascii=False))
        else:
            rejected += 1
            say(f"{record.file}{f':{record.line}' if record.line else ''}: {record.reason}", quiet=False)
    if not found:
        raise DebriefError("no answers found", "See the reasons above.")
    if rejected:
        raise typer.Exit(1)


def _with_round(record: Any, round_: str) -> Any:
    from pipeline.records import Answer

    if isinstance(record, Answer) and record.round is None:
        return record.model_copy(update={"round": round_})
    return record


def _fingerprints(inputs: list[str]) -> Iterator[str]:
    """Names, sizes and times of all input files: a batch is resumed only over the files it began with."""
    for name in inputs:
        path = Path(name)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                stat = file.stat()
                yield f"{file} {stat.st_size} {stat.st_mtime_ns}"
        yield name


def _read_text(text: str) -> tuple[str, str]:
    """The answer and a name for it: from standard input, from a file if there is one by that name, or as given."""
    try:
        if text == "-":
            return sys.stdin.buffer.read().decode("utf-8"), "stdin"
        path = Path(text)
        if len(text) < 1000 and "\n" not in text and path.is_file():
            return path.read_bytes().decode("utf-8"), path.stem
    except UnicodeDecodeError as error:
        raise DebriefError(
            f"not valid UTF-8 at byte {error.start}", "Save it as UTF-8.", "-" if text == "-" else text
        ) from None
    except OSError:
        pass
    return text, "answer"
