"""Commands on model versions: retrain and `debrief models`."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.shared import CURRENT, METRICS, PLOTS, model_folder, out, read_json, say, write_page
from pipeline.errors import DebriefError

if TYPE_CHECKING:
    from pipeline.compare import Comparison
    from pipeline.params import PromoteParams
    from pipeline.track import Made, Version

app = typer.Typer(help="Model versions registered in MLflow.", no_args_is_help=True)

DEFAULT = Path("models/default")
CARD = Path("models/MODEL_CARD.md")
AFTER_ADAPT = ("check", "featurize", "evaluate", "fit", "card")  # stages that need no fine-tuning
REF = "A folder, champion, challenger, a version number, or models:/debrief/3."

RefArgument = Annotated[str | None, typer.Argument(metavar="[REF]", help=REF)]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stands in the history.")]


def retrain(
    force: Annotated[bool, typer.Option("--force", help="Run every stage, also those that are up to date.")] = False,
    keep_adapters: Annotated[
        bool,
        typer.Option("--keep-adapters", help="Leave the fine-tuned encoder as it is and fit all the rest: minutes."),
    ] = False,
) -> None:
    """Reproduce the pipeline and register the model in MLflow as challenger."""
    # the stages call `debrief`: let them find this one, also where no environment is activated
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    words = [sys.executable, "-m", "dvc", "repro", *(["--force"] if force else [])]
    if keep_adapters:
        words += ["--single-item", *AFTER_ADAPT]
    progress_to = 2  # standard error: what DVC prints is progress, not data
    ran = subprocess.run(words, stdout=progress_to, env={**os.environ, "PATH": path}, check=False)
    if ran.returncode:
        raise DebriefError("dvc repro failed", "Its own message stands above.")
    _register(CURRENT)


@app.command("register")
def models_register(
    folder: Annotated[Path, typer.Argument(help="The model folder that `dvc repro` left.")] = CURRENT,
) -> None:
    """Log and register a trained model as challenger: what `retrain` does last, for when MLflow was away."""
    _register(folder)


def _register(folder: Path) -> None:
    from pipeline.plots import draw
    from pipeline.track import register

    say("registering in MLflow …", quiet=False)
    with tempfile.TemporaryDirectory() as temporary:
        pictures, packages = Path(temporary) / "pictures", Path(temporary) / "packages.txt"
        draw(PLOTS, METRICS / "learning_curve.json", pictures)
        version, new = register(folder, _made(folder, pictures, packages))
    state = "registered as" if new else "was registered before as"
    out.print(f"model {version.model} {state} version {version.number} ({', '.join(version.aliases) or 'no alias'})")
    if new:
        say("next: debrief models compare champion challenger; debrief models promote", quiet=False)


def _made(folder: Path, pictures: Path, packages_file: Path) -> Made:
    """All there is to say of a trained model beside the folder itself."""
    from pipeline.evaluate import headline
    from pipeline.lineage import lineage, packages
    from pipeline.model import load_model
    from pipeline.params import read_params
    from pipeline.track import Made, flat_figures

    params, model = read_params(), load_model(folder)
    corpus = read_json(METRICS / "corpus.json")
    installed = packages()
    packages_file.write_text("".join(f"{name}=={number}\n" for name, number in installed.items()), encoding="utf-8")
    metrics = {**model.metrics, "corpus": {k: corpus[k] for k in ("counts", "shortcuts", "agreement")}}
    if {"baselines", "robustness"} <= metrics.keys():  # under the names that DVC experiments have too
        metrics |= headline(metrics, metrics["robustness"])
    for name in ("test", "learning_curve"):
        path = METRICS / f"{name}.json"
        if path.is_file() and (measured := read_json(path)).get("corpus") == model.corpus[:12]:
            metrics[name] = measured
    files = [Path(name) for name in ("params.yaml", "dvc.yaml", "dvc.lock")]
    return Made(
        params={**dict(flat_figures(params.model_dump())), "encoder.source": params.encoder.source},
        tags={
            **lineage(),
            **{f"package.{name}": number for name, number in installed.items()},
            "corpus.sha256": model.corpus,
            **{f"corpus.{k}": str(corpus["counts"][k]) for k in ("answers", "pairs", "authors", "test_authors")},
        },
        metrics=metrics,
        artifacts=[p for p in (PLOTS, METRICS, pictures, CARD, packages_file, *files) if p.exists()],
        card=CARD.read_text(encoding="utf-8") if CARD.is_file() else "",
        by=_user(),
    )


@app.command("list")
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


@app.command("show")
def models_show(ref: RefArgument = None) -> None:
    """What a model says of itself, and what was measured of it, as JSON."""
    from pipeline.track import describe

    print(json.dumps(describe(model_folder(ref)), indent=1))


@app.command("compare")
def models_compare(
    old: Annotated[str, typer.Argument(help=REF)] = "champion",
    new: Annotated[str, typer.Argument(help=REF)] = "challenger",
    html: Annotated[Path | None, typer.Option("--html", help="Write a page, with the text of changed answers.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Say what is better and what is worse in NEW than in OLD, on the same held-out answers."""
    from pipeline.promotion import objections
    from pipeline.terminal import comparison_view

    rules = _rules()
    found = _compare(model_folder(old), model_folder(new), rules)
    against = objections(found, rules)
    if html:
        from pipeline.model import read_exemplars
        from pipeline.report import comparison_page

        write_page(html, comparison_page(found, against, read_exemplars(model_folder(new))))
    if as_json:
        print(found.to_json())
    else:
        out.print(comparison_view(found, against))


@app.command("promote")
def models_promote(
    ref: Annotated[str, typer.Argument(help="challenger, or a version number.")] = "challenger",
    reason: ReasonOption = "",
    force: Annotated[bool, typer.Option("--force", help="Although rules stand against it; needs --reason.")] = False,
) -> None:
    """Make a version champion, unless it is worse than the one there is."""
    from pipeline.promotion import objections, robustness_objections
    from pipeline.track import CHAMPION, find_version, holder, promote

    if force and not reason.strip():
        raise DebriefError("--force needs a reason", 'Say why: --force --reason "...".')
    version, champion, rules = find_version(ref), holder(CHAMPION), _rules()
    if champion and champion.number == version.number:
        out.print(f"version {version.number} is champion already")
        return
    if champion:
        found = _compare(_folder_of(champion), _folder_of(version), rules)
        against, said = objections(found, rules), _in_short(found)
    else:
        robustness = _robustness(_folder_of(version))
        against, said = robustness_objections({}, robustness, rules), "the first champion"
    for sentence in against:
        say(f"- {sentence}", quiet=False)
    if against and not force:
        raise DebriefError(
            f"version {version.number} is not promoted: {len(against)} rule{'s' if len(against) > 1 else ''} of "
            "params.yaml stand against it",
            'To put it in use all the same: --force --reason "...".',
        )
    promote(version, _user(), "; ".join(part for part in (reason.strip(), said) if part), forced=bool(against))
    was = f", before it version {champion.number}" if champion else ""
    out.print(f"champion is now version {version.number} (model {version.model}){was}")
    say("next: debrief models refresh copies it to models/default", quiet=False)


@app.command("rollback")
def models_rollback(reason: ReasonOption = "") -> None:
    """Give champion back to the version that held it before."""
    from pipeline.track import rollback

    was, now = rollback(_user(), reason.strip() or "rolled back")
    out.print(f"champion is again version {now.number} (model {now.model}), no longer version {was.number}")


@app.command("history")
def models_history(as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Who was champion from when to when, and why; read from MLflow alone."""
    from dataclasses import asdict

    from pipeline.terminal import history_view
    from pipeline.track import history

    terms = history()
    if as_json:
        print(json.dumps([asdict(t) for t in terms], indent=1))
    elif not terms:
        raise DebriefError("no version was champion yet", "Run `debrief models promote`.")
    else:
        out.print(history_view(terms))


@app.command("refresh")
def models_refresh(
    ref: Annotated[str, typer.Argument(help=REF)] = "champion",
    target: Annotated[Path, typer.Option("--to", help="The folder to replace.")] = DEFAULT,
) -> None:
    """Copy the champion into models/default, which a fresh clone scores with."""
    from pipeline.model import load_model
    from pipeline.track import keep

    folder = model_folder(ref)
    model = load_model(folder)
    keep(folder, target)
    out.print(f"{target} is now model {model.version}")


@app.command("experiments")
def models_experiments() -> None:
    """Log every DVC experiment (`dvc exp run -S ...`) in MLflow as a run of its name; those there stay as they are."""
    from pipeline.lineage import experiments
    from pipeline.track import log_experiment

    found = experiments()
    if not found:
        raise DebriefError("DVC has no experiments of this commit", "Make some: dvc exp run -S heads.C=0.02.")
    logged = [e["name"] for e in found if log_experiment(e["name"], e["rev"], e["params"], e["metrics"])]
    out.print(f"{len(found)} experiments, {len(logged)} logged now{': ' if logged else ''}{', '.join(logged)}")


# --- shared --------------------------------------------------------------------------------------------------


def _rules() -> PromoteParams:
    """What params.yaml of this checkout says."""
    from pipeline.params import read_params

    return read_params().promote


def _compare(old: Path, new: Path, rules: PromoteParams) -> Comparison:
    from pipeline.compare import Side, compare

    say("comparing …", quiet=False)
    return compare(Side.read(old), Side.read(new), rules.interval)


def _folder_of(version: Version) -> Path:
    return model_folder(f"models:/debrief/{version.number}")


def _robustness(folder: Path) -> dict[str, Any]:
    """How far each disturbance moved the model's verdicts; empty where it was not measured."""
    from pipeline.model import read_metrics

    found: dict[str, Any] = read_metrics(folder).get("robustness", {}).get("by_disturbance", {})
    return found


def _in_short(found: Comparison) -> str:
    """The comparison in one line, for the history."""
    figures = (found.figure("accuracy"), found.figure("macro_f1"))
    said = [f"{d.title} {d.old:.3f} → {d.new:.3f} ({d.low:+.3f} to {d.high:+.3f})" for d in figures]
    return f"{', '.join(said)}, n = {found.answers}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user on this machine, as in some containers
        return "unknown"
