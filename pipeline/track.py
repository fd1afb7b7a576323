"""Runs, registered versions, aliases and who held them, in MLflow.

MLflow moves an alias without a trace, so every move is written down first: an event, one tag of the registered model,
never changed again. ``champion`` is the version in use, ``challenger`` the newest that might replace it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pipeline.errors import DebriefError, ModelError
from pipeline.model import Model, load_model, read_manifest

NAME = "debrief"
CHAMPION, CHALLENGER = "champion", "challenger"
_EVENT = "debrief.event."
_ARTIFACTS = "artifacts"  # where MLflow keeps what a models-from-code model was logged with
_TRY = "Check that it runs and MLFLOW_TRACKING_URI names it, then try again."
_MAX_REASON = 1000  # characters; a tag holds 5,000
_AT_ONCE = 500  # metrics in one request; a server takes 1,000
_EXAMPLE = {
    "id": "example",
    "question": "Tell me about a time you disagreed with a plan.",
    "round": "behavioral",
    "answer": "The caterer wanted to keep both ovens on all night. I turned one off, because the bread could wait and "
    "the fuse could not; it cost us an hour at six in the morning, and nobody sat in the dark.",
}


@dataclass(frozen=True)
class Version:
    """A registered version of the model, as `debrief models list` shows it."""

    number: str
    model: str
    corpus: str
    created: str
    aliases: tuple[str, ...]
    accuracy: float | None


@dataclass(frozen=True)
class Event:
    """Something done to an alias: who, when, why; ``at`` is UTC in ISO 8601."""

    at: str
    action: Literal["register", "promote", "rollback"]
    version: str
    model: str
    by: str
    why: str
    forced: bool = False


@dataclass(frozen=True)
class Term:
    """How long a version was champion: from ``since`` to ``until`` (None: still is)."""

    version: str
    model: str
    since: str
    until: str | None
    action: str
    by: str
    why: str
    forced: bool


@dataclass(frozen=True)
class Made:
    """What to log of a model beside the folder itself."""

    params: dict[str, Any]
    tags: dict[str, str]
    metrics: dict[str, Any]
    artifacts: Sequence[Path]
    card: str
    by: str


# --- registering ---------------------------------------------------------------------------------------------


def register(folder: Path, made: Made) -> tuple[Version, bool]:
    """Log a run with the model and register it as ``challenger``; a model that is registered already stays as it is.

    The version comes last: when anything before it fails, nothing is registered, and what was logged of a failed try
    is deleted by the next.

    Returns:
        The version, and whether it is new.
    """
    model = load_model(folder)
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    with _reachable(mlflow, f"The model is safe in {folder}; register it later with `debrief models register`."):
        known = next((v for v in versions() if v.model == model.version), None)
        if known:
            _complete(client, known, made.by)
            return find_version(known.number), False
        _delete_failed(client, model)
        run_id, uri, model_id = _log(mlflow, client, folder, model, made)
        with contextlib.suppress(mlflow.MlflowException):  # it exists from the second version on
            client.create_registered_model(NAME)
        created = client.create_model_version(
            NAME, uri, run_id, tags=_stamp(model), description=made.card, model_id=model_id
        )
        version = find_version(str(created.version))
        _complete(client, version, made.by)
    return find_version(version.number), True


def _log(mlflow: Any, client: Any, folder: Path, model: Model, made: Made) -> tuple[str, str, str]:
    """One run with everything in it; its id, and the logged model's URI and id."""
    import pandas as pd

    mlflow.set_experiment(NAME)
    with mlflow.start_run(
        run_name=made.tags.get("dvc.exp") or model.version, tags={**made.tags, **_stamp(model)}
    ) as run:
        run_id = str(run.info.run_id)
        mlflow.log_params(made.params)
        figures = sorted(flat_figures(made.metrics))
        for start in range(0, len(figures), _AT_ONCE):
            mlflow.log_metrics(dict(figures[start : start + _AT_ONCE]))
        for path in made.artifacts:
            if path.is_dir():
                mlflow.log_artifacts(str(path), path.name)
            else:
                mlflow.log_artifact(str(path))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's own use of pandas and SQLAlchemy
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("served.py")),
                artifacts={"model": str(folder)},
                signature=_signature(),
                input_example=pd.DataFrame([_EXAMPLE]),
                pip_requirements=[f"debrief=={model.code}"],
                tags=_stamp(model),
            )
    return run_id, str(logged.model_uri), str(logged.model_id)


def _complete(client: Any, version: Version, by: str) -> None:
    """Write the event and set the alias, unless that was done before: a registration may have been cut short here."""
    if any(e.action == "register" and e.version == version.number for e in events()):
        return
    _write(client, "register", version, by, "trained")
    client.set_registered_model_alias(NAME, CHALLENGER, version.number)


def _delete_failed(client: Any, model: Model) -> None:
    """Delete runs of a model that has no version: they are of tries that failed."""
    experiment = client.get_experiment_by_name(NAME)
    if experiment:
        for run in client.search_runs([experiment.experiment_id], f"tags.`debrief.version` = '{model.version}'"):
            client.delete_run(run.info.run_id)


def log_experiment(name: str, rev: str, params: dict[str, Any], metrics: dict[str, Any]) -> bool:
    """Log a DVC experiment (a sweep's try, without a model) as a run of its name; whether it was not there yet."""
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    with _reachable(mlflow):
        mlflow.set_experiment(NAME)
        experiment = client.get_experiment_by_name(NAME)
        if client.search_runs([experiment.experiment_id], f"tags.`dvc.rev` = '{rev}'", max_results=1):
            return False
        with mlflow.start_run(run_name=name, tags={"dvc.exp": name, "dvc.rev": rev}):
            mlflow.log_params(params)
            mlflow.log_metrics(dict(flat_figures(metrics)))
    return True


# --- versions ------------------------------------------------------------------------------------------------


def versions() -> list[Version]:
    """All registered versions, newest first."""
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    with _reachable(mlflow):
        found = client.search_model_versions(f"name='{NAME}'")
        aliases: dict[str, list[str]] = {}
        if found:
            for alias, number in client.get_registered_model(NAME).aliases.items():
                aliases.setdefault(str(number), []).append(alias)
    rows = [
        Version(
            number=str(v.version),
            model=v.tags.get("debrief.version", ""),
            corpus=v.tags.get("debrief.corpus", ""),
            created=datetime.fromtimestamp(v.creation_timestamp / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
            aliases=tuple(sorted(aliases.get(str(v.version), []))),
            accuracy=float(v.tags["debrief.accuracy"]) if "debrief.accuracy" in v.tags else None,
        )
        for v in found
    ]
    return sorted(rows, key=lambda v: -int(v.number))


def find_version(name: str) -> Version:
    """The version with this number or alias.

    Raises:
        ModelError: there is none.
    """
    known = versions()
    for version in known:
        if name == version.number or name in version.aliases:
            return version
    have = ", ".join(f"{v.number}{''.join(f' ({a})' for a in v.aliases)}" for v in known) or "none"
    raise ModelError(f"MLflow has no version {name!r} of {NAME}", f"Registered: {have}.")


def holder(alias: str) -> Version | None:
    """The version that holds an alias, or None."""
    return next((v for v in versions() if alias in v.aliases), None)


def fetch(ref: str) -> Path:
    """The model folder behind ``models:/debrief/3`` or ``models:/debrief@champion``; read, never run.

    A copy from a server is kept in the user's cache folder by content hash, so it is downloaded once.
    """
    mlflow = _mlflow()
    name, _, wanted = ref.removeprefix("models:/").replace("@", "/").partition("/")
    if name != NAME or not wanted:
        raise ModelError(f"{ref!r} is no version of {NAME}", f"Write models:/{NAME}@champion or models:/{NAME}/3.")
    version = find_version(wanted)
    kept = _cache() / version.model
    if version.model and (kept / "manifest.json").is_file():
        return kept
    with tempfile.TemporaryDirectory() as temporary:
        with _reachable(mlflow):
            uri = f"models:/{NAME}/{version.number}"
            got = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=temporary))
        found = sorted(got.glob(f"{_ARTIFACTS}/*/manifest.json"))
        if not found:
            raise ModelError(f"{ref} holds no debrief model", "Name a version that `debrief models list` shows.")
        if load_model(found[0].parent).version != version.model:
            raise ModelError(f"{ref} does not hold the model it is registered as", "Register it anew.")
        return keep(found[0].parent, kept)


def keep(folder: Path, target: Path) -> Path:
    """Copy a model folder so that ``target`` is whole at any moment: the old one, or the new one."""
    read_manifest(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh, old = (target.with_name(f".{target.name}.{what}-{uuid4().hex[:8]}") for what in ("new", "old"))
    fresh.mkdir()
    for file in sorted(folder.iterdir()):
        if file.is_file():
            shutil.copy(file, fresh / file.name)
    if target.exists():
        target.replace(old)
    try:
        fresh.replace(target)
    except OSError:  # another process was first
        shutil.rmtree(fresh)
    if old.exists():
        shutil.rmtree(old)
    return target


def describe(folder: Path) -> dict[str, Any]:
    """What a model folder says of itself, for `debrief models show`."""
    model = load_model(folder)  # refuse to describe what would not be used
    return {"manifest": read_manifest(folder).model_dump(mode="json"), "metrics": model.metrics}


# --- champion and history ------------------------------------------------------------------------------------


def promote(version: Version, by: str, why: str, forced: bool = False) -> None:
    """Make a version champion, and say so in the history."""
    _move(version, "promote", by, why, forced)


def rollback(by: str, why: str) -> tuple[Version, Version]:
    """Give ``champion`` back to the version that held it before; ``(who had it, who has it now)``.

    Raises:
        DebriefError: nobody held it before.
    """
    now = holder(CHAMPION)
    held = _stack(events())
    if now is None or len(held) < 2:
        raise DebriefError("there is no champion before this one", "See `debrief models history`.")
    before = find_version(held[-2])
    _move(before, "rollback", by, why)
    return now, before


def _move(version: Version, action: Literal["promote", "rollback"], by: str, why: str, forced: bool = False) -> None:
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    with _reachable(mlflow):
        # the event first: a move without a trace could not be told from one, an event without its move can
        _write(client, action, version, by, why, forced)
        client.set_registered_model_alias(NAME, CHAMPION, version.number)
        if CHALLENGER in version.aliases:
            client.delete_registered_model_alias(NAME, CHALLENGER)


def events() -> list[Event]:
    """Everything done to the aliases, oldest first, read from MLflow alone."""
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    with _reachable(mlflow):
        found = client.search_registered_models(f"name='{NAME}'")
    tags = found[0].tags if found else {}
    return [Event(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(_EVENT)]


def history() -> list[Term]:
    """Who held ``champion`` from when to when, oldest first.

    Where the alias is not on the version of the last event (moved by hand, or a move that was cut short), a last term
    says so.
    """
    moves = [e for e in events() if e.action != "register"]
    ends = [e.at for e in moves[1:]] + [None]
    terms = [
        Term(e.version, e.model, e.at, until, e.action, e.by, e.why, e.forced)
        for e, until in zip(moves, ends, strict=True)
    ]
    now = holder(CHAMPION)
    last = terms[-1].version if terms else None
    if (now.number if now else None) != last:
        what = "alias moved outside debrief, or a move was cut short"
        terms.append(
            Term(now.number if now else "–", now.model if now else "–", "?", None, "unknown", "?", what, False)
        )
    return terms


def _stack(told: Sequence[Event]) -> list[str]:
    """Champions that a rollback would go back through, the present one last."""
    held: list[str] = []
    for event in told:
        if event.action == "promote":
            held.append(event.version)
        elif event.action == "rollback" and held:
            held.pop()
    return held


def _write(client: Any, action: Any, version: Version, by: str, why: str, forced: bool = False) -> None:
    now = datetime.now(UTC)
    event = Event(
        now.isoformat(timespec="milliseconds"), action, version.number, version.model, by, why[:_MAX_REASON], forced
    )
    key = f"{_EVENT}{now.strftime('%Y%m%dT%H%M%S.%f')}.{uuid4().hex[:4]}"
    client.set_registered_model_tag(NAME, key, json.dumps(asdict(event), ensure_ascii=False))


# --- MLflow itself -------------------------------------------------------------------------------------------


def _mlflow() -> Any:
    """MLflow, pointed at ``MLFLOW_TRACKING_URI`` or at `mlflow.db` in this folder."""
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_LOGGING_LEVEL": "ERROR",
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError:
        raise DebriefError("MLflow is not installed", "Install the extra: pip install 'debrief[train]'.") from None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{Path('mlflow.db').resolve()}")
    return mlflow


@contextlib.contextmanager
def _reachable(mlflow: Any, next_step: str = _TRY) -> Iterator[None]:
    """Turn what MLflow raises when its server or store is out of reach into one clear line."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("mlflow", "sqlalchemy", "requests", "urllib3"):
            raise
        uri = mlflow.get_tracking_uri()
        raise DebriefError(f"MLflow at {uri} did not take it ({_short(error)})", next_step) from None


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__


def _cache() -> Path:
    """Where copies of registered models are kept (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "debrief" / "models"


def _stamp(model: Model) -> dict[str, str]:
    tags = {"debrief.version": model.version, "debrief.corpus": model.corpus[:12], "debrief.code": model.code}
    accuracy = model.metrics.get("verdict", {}).get("accuracy", {}).get("value")
    return tags if accuracy is None else {**tags, "debrief.accuracy": str(accuracy)}


def flat_figures(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """``(dotted name, number)`` for every number in a nested metrics object; NaN and text are left out.

    Characters that MLflow does not take in a metric's name are left out of it.
    """
    for key, value in tree.items():
        name = f"{prefix}{re.sub(r'[^A-Za-z0-9_ ./-]', '', key.replace('=', '.'))}"
        if isinstance(value, dict):
            yield from flat_figures(value, f"{name}.")
        elif isinstance(value, int | float) and value == value:
            yield name, float(value)


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    from pipeline.pyfunc import COLUMNS

    optional = [ColSpec("string", name, required=False) for name in ("id", "question", "round")]
    return ModelSignature(
        inputs=Schema([ColSpec("string", "answer"), *optional]),
        outputs=Schema([ColSpec("double" if c == "p_good" else "string", c) for c in COLUMNS]),
    )
