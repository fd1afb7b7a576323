"""The command line: the only package that prints or exits. Heavy modules are imported where they are needed."""

from __future__ import annotations

from typing import NoReturn

import typer

from pipeline.cli import answers, corpus, models, stages
from pipeline.cli.shared import say
from pipeline.errors import CorpusError, DebriefError

app = typer.Typer(
    name="debrief",
    help="Read interview answers and say which judgment signals they show, with the words that show them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
for command in (answers.score, answers.feedback, answers.transcript, models.retrain):
    app.command()(command)
app.add_typer(corpus.app, name="corpus")
app.add_typer(models.app, name="models")
app.add_typer(stages.app, name="stage")


def _fail(error: DebriefError) -> NoReturn:
    if isinstance(error, CorpusError):
        for problem in error.problems:
            say(problem, quiet=False)
    say(f"debrief: {error}", quiet=False)
    raise SystemExit(2)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2, never a traceback."""
    try:
        app()
    except DebriefError as error:
        _fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
