"""The command line: the only module that prints or exits. Heavy modules are imported where they are needed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pipeline.errors import CorpusError, DebriefError

if TYPE_CHECKING:
    from pipeline.model import Model
    from pipeline.records import Exemplar
    from pipeline.score import Scorer

app = typer.Typer(
    name="debrief",
    help="Read interview answers and say which judgment signals they show, with the words that show them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
corpus_app = typer.Typer(help="The labelled exemplars.", no_args_is_help=True)
models_app = typer.Typer(help="Model versions registered in MLflow.", no_args_is_help=True)
stage_app = typer.Typer(help="Stages of the DVC pipeline; dvc.yaml calls them.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")
app.add_typer(models_app, name="models")
app.add_typer(stage_app, name="stage")

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


class RoundName(StrEnum):
    """The four rounds."""

    product_sense = "product_sense"
    behavioral = "behavioral"
    analytical = "analytical"
    system_design = "system_design"


ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="REF", help="A model folder, or models:/debrief/3 in MLflow.")
]
RubricOption = Annotated[str, typer.Option("--rubric", help="A rubric that ships with debrief, or a YAML file.")]
RoundOption = Annotated[RoundName | None, typer.Option("--round", help="The round, where a record names none.")]
GoodRateOption = Annotated[
    float | None,
    typer.Option(min=0.01, max=0.99, help="Share of GOOD answers you expect; half of the exemplars are."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]


@app.command()
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

    loaded, scorer = _load(model, rubric, quiet, expected_good_rate)
    asked = [str(round_), rubric, loaded.version, report.value, str(expected_good_rate)]
    key = _digest([*_fingerprints(inputs), *asked])
    records = read_inputs(inputs)
    if round_:
        records = (_with_round(record, round_.value) for record in records)
    page = (
        None
        if report is ReportKind.none
        else BatchReport("html" if report is ReportKind.html else "markdown", loaded, rubric)
    )
    with _progress("scoring", None, quiet) as advance:
        summary = score_batch(records, scorer, out_dir, page, table.value, key, resume, advance)
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
        _say(f"{summary.rejected} rejected; see {out_dir / 'rejected.jsonl'}", quiet)
        raise typer.Exit(1)


@app.command()
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
    loaded, scorer = _load(model, rubric, quiet=False)
    said = scorer.score([answer])[0]
    if html:
        from pipeline.report import answer_page

        _write_page(html, answer_page(said, loaded))
    if as_json:
        print(said.result.to_json())
    elif not html:
        from pipeline.terminal import feedback_view

        out.print(feedback_view(said))


@app.command()
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
            _say(f"{record.file}{f':{record.line}' if record.line else ''}: {record.reason}", quiet=False)
    if not found:
        raise DebriefError("no answers found", "See the reasons above.")
    if rejected:
        raise typer.Exit(1)


# --- corpus --------------------------------------------------------------------------------------------------

CorpusFolder = Annotated[Path, typer.Argument(help="Folder with the exemplars.")]


@corpus_app.command("check")
def corpus_check(folder: CorpusFolder = EXEMPLARS) -> None:
    """Validate the exemplars: all problems at once, each with its file and line."""
    _, measured = _checked_corpus(folder)
    counts = measured["counts"]
    out.print(f"{counts['answers']} answers, {counts['pairs']} pairs, {counts['authors']} authors: no problems found.")


@corpus_app.command("stats")
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

        _write_page(page, corpus_page(measured, corpus_pictures(exemplars, measured)))
    if as_json:
        print(json.dumps(measured, indent=1))
    else:
        for table in survey_tables(measured):
            out.print(table)


# --- training ------------------------------------------------------------------------------------------------


@stage_app.command("check")
def stage_check() -> None:
    """Check the corpus and measure it: metrics/corpus.json."""
    _, measured = _checked_corpus(EXEMPLARS)
    _write_json(METRICS / "corpus.json", measured)


@stage_app.command("split")
def stage_split() -> None:
    """Learn where unpunctuated speech is cut: models/splitter.safetensors."""
    from pipeline.params import read_params
    from pipeline.segment import fit_splitter

    params = read_params()
    texts = [e.text for e in _corpus(EXEMPLARS) if e.split == "train" and e.style != "asr"]
    fit_splitter(texts, params.segment).save(SPLITTER)


@stage_app.command("adapt")
def stage_adapt(
    share: Annotated[float, typer.Option(help="Of each fold's answers, for a quick try.")] = 1.0,
    workers: Annotated[int, typer.Option(min=0, help="Trainings side by side; 0: one for each core.")] = 0,
    target: Annotated[Path, typer.Option("--out", help="Where the adapters go.")] = ADAPTERS,
) -> None:
    """Fine-tune the encoder, once for each fold of authors and once for all: models/adapters."""
    from pipeline.adapt import adapt_all, steps
    from pipeline.params import read_params
    from pipeline.segment import Splitter, sentences

    params, splitter = read_params(), Splitter.load(SPLITTER)
    every = max(1, round(1 / share))
    exemplars = [e for e in _corpus(EXEMPLARS) if e.split == "train"][::every]
    cuts = [sentences(e.text, params.segment, splitter) for e in exemplars]
    # each answer is read by every fold's training but its own, and by that of all; long ones go through in two windows,
    # so the total is known to within a few
    total = params.adapt.folds * steps(len(exemplars), params.adapt)
    with _progress("fine-tuning", total, quiet=False) as advance:
        adapters = adapt_all(exemplars, cuts, params, workers or os.cpu_count() or 1, advance)
    adapters.save(target)


@stage_app.command("featurize")
def stage_featurize() -> None:
    """Encode and describe every sentence of the corpus: data/features.npz."""
    from pipeline.adapt import Adapters
    from pipeline.encode import TransformerEncoder
    from pipeline.params import read_params
    from pipeline.segment import Splitter
    from pipeline.train import Encoders, featurize

    params, exemplars, adapters = read_params(), _corpus(EXEMPLARS), Adapters.load(ADAPTERS)
    folds = [adapters.held_out[e.author] if e.split == "train" else -1 for e in exemplars]
    encoders = Encoders(
        held_out=[TransformerEncoder(params.encoder, adapter) for adapter in adapters.folds],
        whole=TransformerEncoder(params.encoder, adapters.whole),
        plain=TransformerEncoder(params.encoder),
    )
    with _progress("encoding", 4 * len(exemplars), quiet=False) as advance:
        data, ngrams = featurize(exemplars, folds, params, Splitter.load(SPLITTER), encoders, advance)
    data.save(FEATURES)
    ngrams.save(NGRAMS)
    _say(f"{len(data.ids)} answers, {len(data.owner)} sentences, {data.features.shape[1]} features", quiet=False)


@stage_app.command("evaluate")
def stage_evaluate() -> None:
    """Cross-validate by author: metrics/evaluation.json, metrics/robustness.json and plots/*.csv."""
    import csv

    from pipeline.adapt import Adapters
    from pipeline.encode import TransformerEncoder
    from pipeline.evaluate import evaluate, robustness
    from pipeline.features import BLOCKS
    from pipeline.ngrams import NgramReaders
    from pipeline.params import read_params
    from pipeline.robust import DISTURBANCES
    from pipeline.segment import Splitter

    params = read_params()
    data, exemplars = _features()
    with _progress("evaluating", params.adapt.folds + len(BLOCKS) + 4, quiet=False) as advance:
        metrics, tables, fits = evaluate(data, exemplars, params, advance)
    _write_json(METRICS / "evaluation.json", metrics)
    kept = [(e, int(f)) for e, f in zip(exemplars, data.fold, strict=True) if e.split == "train"]
    encoders = [TransformerEncoder(params.encoder, adapter) for adapter in Adapters.load(ADAPTERS).folds]
    readers = NgramReaders.load(NGRAMS).folds
    total = (len(DISTURBANCES) + 1) * params.evaluate.robust_answers
    with _progress("disturbing", total, quiet=False) as advance:
        figures = robustness(
            fits,
            encoders,
            readers,
            [e for e, _ in kept],
            [f for _, f in kept],
            params,
            Splitter.load(SPLITTER),
            advance,
        )
    _write_json(METRICS / "robustness.json", figures)
    PLOTS.mkdir(exist_ok=True)
    for name, rows in tables.items():
        with (PLOTS / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@stage_app.command("test")
def stage_test(
    authors: Annotated[str | None, typer.Option(help="Train on these authors only, such as e01,e02.")] = None,
    target: Annotated[Path, typer.Option("--out", help="Where the figures go.")] = METRICS / "test.json",
) -> None:
    """Measure on the held-out test authors. Not part of the pipeline: looked at once, at the end."""
    from pipeline.corpus import corpus_hash
    from pipeline.evaluate import evaluate_test
    from pipeline.params import read_params

    data, exemplars = _features()
    if authors:
        wanted = set(authors.split(","))
        rows = [i for i, e in enumerate(exemplars) if e.split == "test" or e.author in wanted]
        data, exemplars = data.take(rows), [exemplars[i] for i in rows]
    figures = evaluate_test(data, exemplars, read_params())
    _write_json(target, {"corpus": corpus_hash(exemplars)[:12], **figures})


@stage_app.command("curve")
def stage_curve() -> None:
    """Draw the learning curve: metrics/learning_curve.json. Not part of the pipeline: it fine-tunes for a while."""
    from pipeline.adapt import Adapters
    from pipeline.corpus import corpus_hash
    from pipeline.curve import curve_steps, learning_curve
    from pipeline.params import read_params
    from pipeline.segment import Splitter

    params, exemplars = read_params(), _corpus(EXEMPLARS)
    train = [e for e in exemplars if e.split == "train"]
    with _progress("fine-tuning", curve_steps(train, params), quiet=False) as advance:
        rows = learning_curve(train, Adapters.load(ADAPTERS), params, Splitter.load(SPLITTER), advance)
    _write_json(METRICS / "learning_curve.json", {"corpus": corpus_hash(exemplars)[:12], "by_authors": rows})


@stage_app.command("fit")
def stage_fit() -> None:
    """Fit on the train authors: models/current."""
    from dataclasses import replace

    from pipeline.adapt import Adapters
    from pipeline.encode import find_encoder, weights_hash
    from pipeline.ngrams import NgramReaders
    from pipeline.params import read_params
    from pipeline.segment import Splitter
    from pipeline.train import fit

    params = read_params()
    data, exemplars = _features()
    metrics = json.loads((METRICS / "evaluation.json").read_text(encoding="utf-8"))
    encoder_hash = weights_hash(find_encoder(params.encoder.source))
    adapter, splitter = Adapters.load(ADAPTERS).whole, Splitter.load(SPLITTER)
    ngrams = NgramReaders.load(NGRAMS).whole
    model = replace(fit(data, exemplars, params, encoder_hash, adapter, ngrams, splitter), metrics=metrics)
    model.save(CURRENT)
    _say(f"model {model.version} in {CURRENT}", quiet=False)


@stage_app.command("card")
def stage_card() -> None:
    """Write models/MODEL_CARD.md from the metrics."""
    from pipeline.model import load_model
    from pipeline.report import model_card

    model = load_model(CURRENT)
    robustness = json.loads((METRICS / "robustness.json").read_text(encoding="utf-8"))
    test_file = METRICS / "test.json"
    test = json.loads(test_file.read_text(encoding="utf-8")) if test_file.is_file() else None
    if test and test.get("corpus") != model.corpus[:12]:
        test = None  # measured on another corpus
    Path("models/MODEL_CARD.md").write_text(model_card(model, robustness, test), encoding="utf-8")


@app.command()
def retrain(
    force: Annotated[bool, typer.Option("--force", help="Run every stage, also those that are up to date.")] = False,
) -> None:
    """Reproduce the pipeline and register the model in MLflow as challenger."""
    from pipeline.params import read_params
    from pipeline.plots import draw
    from pipeline.track import flat_figures, register

    params = read_params()
    # the stages call `debrief`: let them find this one, also where no environment is activated
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    words = [sys.executable, "-m", "dvc", "repro", *(["--force"] if force else [])]
    ran = subprocess.run(words, stdout=sys.stderr, env={**os.environ, "PATH": path}, check=False)
    if ran.returncode:
        raise DebriefError("dvc repro failed", "Its own message stands above.")
    tree = params.model_dump()
    flat = {name: value for name, value in flat_figures(tree)} | {"encoder.source": params.encoder.source}
    lock = Path("dvc.lock")
    tags = {
        **_git_tags(),
        "debrief.dvc_lock": _digest([lock.read_text("utf-8")]) if lock.is_file() else "none",
    }
    _say("registering in MLflow …", quiet=False)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary) / "pictures"
        draw(PLOTS, pictures)
        version, new = register(CURRENT, flat, tags, [PLOTS, METRICS, pictures])
    state = "registered as" if new else "was registered before as"
    out.print(f"model {version.model} {state} version {version.number} ({', '.join(version.aliases) or 'no alias'})")


@models_app.command("list")
def models_list() -> None:
    """All registered versions, newest first."""
    from rich.table import Table

    from pipeline.track import versions

    table = Table()
    for column in ("version", "aliases", "model", "corpus", "accuracy", "created (UTC)"):
        table.add_column(column)
    rows = versions()
    for v in rows:
        accuracy = "–" if v.accuracy is None else f"{v.accuracy:.3f}"
        table.add_row(v.number, ", ".join(v.aliases), v.model, v.corpus, accuracy, v.created)
    if not rows:
        raise DebriefError("no version of debrief is registered", "Run `debrief retrain`.")
    out.print(table)


@models_app.command("show")
def models_show(
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="A folder or models:/ name.")] = None,
) -> None:
    """What a model says of itself, and what was measured of it, as JSON."""
    from pipeline.track import describe

    print(json.dumps(describe(_model_folder(ref)), indent=1))


# --- shared --------------------------------------------------------------------------------------------------


def _model_folder(ref: str | None) -> Path:
    from pipeline.model import default_model

    if ref is None:
        return default_model()
    if ref.startswith("models:/"):
        from pipeline.track import fetch

        return fetch(ref)
    return Path(ref)


def _load(ref: str | None, rubric: str, quiet: bool, expected_good_rate: float | None = None) -> tuple[Model, Scorer]:
    from pipeline.model import load_model
    from pipeline.rubric import read_rubric

    bar = read_rubric(rubric)
    model = load_model(_model_folder(ref))
    from pipeline.encode import TransformerEncoder
    from pipeline.score import Scorer

    encoder = TransformerEncoder(model.encoder, model.adapter)
    _say("loading the encoder …", quiet or not err.is_terminal)
    return model, Scorer(model, encoder, bar, expected_good_rate)


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


def _corpus(folder: Path) -> list[Exemplar]:
    from pipeline.corpus import read_corpus

    return read_corpus(folder)


def _checked_corpus(folder: Path) -> tuple[list[Exemplar], dict[str, Any]]:
    """The corpus and its measures; every problem found is in the error."""
    from pipeline.survey import coverage, find_shortcuts, survey

    exemplars = _corpus(folder)
    measured = survey(exemplars)
    problems = coverage(exemplars) + find_shortcuts(measured["shortcuts"])
    if problems:
        raise CorpusError(problems)
    return exemplars, measured


def _features() -> Any:
    from pipeline.train import Featurized

    data, exemplars = Featurized.load(FEATURES), _corpus(EXEMPLARS)
    if data.ids != tuple(e.id for e in exemplars):
        raise DebriefError("the features are of another corpus", "Run `dvc repro`.", str(FEATURES))
    return data, exemplars


def _write_json(path: Path, tree: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree, indent=1) + "\n", encoding="utf-8")


def _write_page(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DebriefError(f"cannot write it ({error.strerror})", "Name another file.", str(path)) from None
    _say(f"page written to {path}", quiet=False)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _git_tags() -> dict[str, str]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    return {
        "git.commit": git("rev-parse", "HEAD") or "none",
        "git.dirty": str(bool(git("status", "--porcelain"))),
    }


@contextmanager
def _progress(what: str, total: int | None, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on standard error for people; nothing in a pipe or when quiet."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda n: bar.advance(task, n)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        err.print(text, highlight=False, markup=False, soft_wrap=True)


def _fail(error: DebriefError) -> NoReturn:
    if isinstance(error, CorpusError):
        for problem in error.problems:
            _say(problem, quiet=False)
    _say(f"debrief: {error}", quiet=False)
    raise SystemExit(2)


def main() -> None:
    """Entry point: a user's mistake is one line and exit code 2, never a traceback."""
    try:
        app()
    except DebriefError as error:
        _fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
