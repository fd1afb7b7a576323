"""Commands on model versions: retrain and `debrief models`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.shared import CURRENT, METRICS, PLOTS, digest, model_folder, out, say
from pipeline.errors import DebriefError

app = typer.Typer(help="Model versions registered in MLflow.", no_args_is_help=True)


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
        "debrief.dvc_lock": digest([lock.read_text("utf-8")]) if lock.is_file() else "none",
    }
    say("registering in MLflow …", quiet=False)
    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary) / "pictures"
        draw(PLOTS, pictures)
        version, new = register(CURRENT, flat, tags, [PLOTS, METRICS, pictures])
    state = "registered as" if new else "was registered before as"
    out.print(f"model {version.model} {state} version {version.number} ({', '.join(version.aliases) or 'no alias'})")


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
def models_show(
    ref: Annotated[str | None, typer.Argument(metavar="[REF]", help="A folder or models:/ name.")] = None,
) -> None:
    """What a model says of itself, and what was measured of it, as JSON."""
    from pipeline.track import describe

    print(json.dumps(describe(model_folder(ref)), indent=1))


def _git_tags() -> dict[str, str]:
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    return {
        "git.commit": git("rev-parse", "HEAD") or "none",
        "git.dirty": str(bool(git("status", "--porcelain"))),
    }
