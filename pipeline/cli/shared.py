"""What several commands share: where things lie, options, messages and progress."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.errors import CorpusError, DebriefError

if TYPE_CHECKING:
    from pipeline.model import Model
    from pipeline.records import Exemplar
    from pipeline.score import Scorer

out = Console()
err = Console(stderr=True)

EXEMPLARS = Path("corpus/exemplars")
SPLITTER = Path("models/splitter.safetensors")
ADAPTERS = Path("models/adapters")
FEATURES = Path("data/features.npz")
NGRAMS = Path("data/ngrams")
CURRENT = Path("models/current")
METRICS = Path("metrics")
PLOTS = Path("plots")
_IN_MLFLOW = re.compile(r"champion|challenger|\d+")
JUDGED = Path("data/held_out.parquet")


class RoundName(StrEnum):
    """The four rounds."""

    product_sense = "product_sense"
    behavioral = "behavioral"
    analytical = "analytical"
    system_design = "system_design"


ModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="REF", help="A folder, or in MLflow: champion, challenger, models:/debrief/3."),
]
RubricOption = Annotated[str, typer.Option("--rubric", help="A rubric that ships with debrief, or a YAML file.")]
RoundOption = Annotated[RoundName | None, typer.Option("--round", help="The round, where a record names none.")]
GoodRateOption = Annotated[
    float | None,
    typer.Option(min=0.01, max=0.99, help="Share of GOOD answers you expect; half of the exemplars are."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]


def model_folder(ref: str | None) -> Path:
    from pipeline.model import default_model

    if ref is None:
        return default_model()
    if ref.startswith("models:/") or (_IN_MLFLOW.fullmatch(ref) and not Path(ref).exists()):
        from pipeline.track import fetch

        return fetch(ref if ":" in ref else f"models:/debrief/{ref}")
    return Path(ref)


def load(ref: str | None, rubric: str, quiet: bool, expected_good_rate: float | None = None) -> tuple[Model, Scorer]:
    from pipeline.model import load_model
    from pipeline.rubric import read_rubric

    bar = read_rubric(rubric)
    model = load_model(model_folder(ref))
    from pipeline.encode import TransformerEncoder
    from pipeline.score import Scorer

    encoder = TransformerEncoder(model.encoder, model.adapter)
    say("loading the encoder …", quiet or not err.is_terminal)
    return model, Scorer(model, encoder, bar, expected_good_rate)


def read_exemplars(folder: Path) -> list[Exemplar]:
    from pipeline.corpus import read_corpus

    return read_corpus(folder)


def checked_corpus(folder: Path) -> tuple[list[Exemplar], dict[str, Any]]:
    """The corpus and its measures; every problem found is in the error."""
    from pipeline.survey import coverage, find_shortcuts, survey

    exemplars = read_exemplars(folder)
    measured = survey(exemplars)
    problems = coverage(exemplars) + find_shortcuts(measured["shortcuts"])
    if problems:
        raise CorpusError(problems)
    return exemplars, measured


def read_features() -> Any:
    from pipeline.train import Featurized

    data, exemplars = Featurized.load(FEATURES), read_exemplars(EXEMPLARS)
    if data.ids != tuple(e.id for e in exemplars):
        raise DebriefError("the features are of another corpus", "Run `dvc repro`.", str(FEATURES))
    return data, exemplars


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of the project's own."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def write_json(path: Path, tree: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def write_page(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DebriefError(f"cannot write it ({error.strerror})", "Name another file.", str(path)) from None
    say(f"page written to {path}", quiet=False)


def digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextmanager
def progress(what: str, total: int | None, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error for people; nothing in a pipe or when quiet."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


def say(text: str, quiet: bool) -> None:
    if not quiet:
        err.print(text, highlight=False, markup=False, soft_wrap=True)
