"""Commands on the labelled exemplars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.shared import EXEMPLARS, checked_corpus, out, write_page

app = typer.Typer(help="The labelled exemplars.", no_args_is_help=True)

CorpusFolder = Annotated[Path, typer.Argument(help="Folder with the exemplars.")]


@app.command("check")
def corpus_check(folder: CorpusFolder = EXEMPLARS) -> None:
    """Validate the exemplars: all problems at once, each with its file and line."""
    _, measured = checked_corpus(folder)
    counts = measured["counts"]
    out.print(f"{counts['answers']} answers, {counts['pairs']} pairs, {counts['authors']} authors: no problems found.")


@app.command("stats")
def corpus_stats(
    folder: CorpusFolder = EXEMPLARS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    page: Annotated[Path | None, typer.Option("--page", help="Write a page of tables and plots (HTML).")] = None,
) -> None:
    """Show what the corpus holds, and what length or words alone give away."""
    from pipeline.corpus import read_corpus
    from pipeline.survey import survey
    from pipeline.terminal import survey_tables

    exemplars = read_corpus(folder)
    measured = survey(exemplars)
    if page:
        from pipeline.plots import corpus_pictures
        from pipeline.report import corpus_page

        write_page(page, corpus_page(measured, corpus_pictures(exemplars, measured)))
    if as_json:
        print(json.dumps(measured, indent=1))
    else:
        for table in survey_tables(measured):
            out.print(table)
