"""Runs, registered versions and aliases in MLflow. The only module that imports mlflow."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DebriefError, ModelError
from pipeline.model import Model, load_model

NAME = "debrief"
_STORED = "data"  # where MLflow keeps the files of a model with a loader module
_TRY = "Check MLFLOW_TRACKING_URI, or name a model folder."


@dataclass(frozen=True)
class Version:
    """A registered version of the model, as `debrief models list` shows it."""

    number: str
    model: str
    corpus: str
    created: str
    aliases: tuple[str, ...]
    accuracy: float | None


def _mlflow() -> Any:
    """MLflow, pointed at ``MLFLOW_TRACKING_URI`` or at `mlflow.db` in this folder."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    try:
        import mlflow
    except ImportError:
        raise DebriefError("MLflow is not installed", "Install the extra: pip install 'debrief[train]'.") from None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{Path('mlflow.db').resolve()}")
    return mlflow


def register(folder: Path, params: dict[str, Any], tags: dict[str, str], artifacts: list[Path]) -> tuple[Version, bool]:
    """Log a run and register its model as ``challenger``; a model that is registered already is left as it is.

    Args:
        folder: the model folder, with its metrics.
        params: flat names to values.
        tags: what else to find the run by (git commit, lock hash).
        artifacts: files and folders to keep beside the model, such as plots.

    Returns:
        The version, and whether it is new.
    """
    model = load_model(folder)
    mlflow = _mlflow()
    client = mlflow.MlflowClient()
    with _reachable(mlflow):
        for known in versions():
            if known.model == model.version:
                return known, False
        mlflow.set_experiment(NAME)
        with mlflow.start_run(run_name=model.version, tags={**tags, **_stamp(model)}):
            mlflow.log_params(params)
            mlflow.log_metrics(dict(flat_figures(model.metrics)))
            for path in artifacts:
                if path.is_dir():
                    mlflow.log_artifacts(str(path), path.name)
                else:
                    mlflow.log_artifact(str(path))
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="pipeline.pyfunc",
                data_path=str(folder),
                signature=_signature(),
                pip_requirements=[f"debrief=={model.code}"],
                registered_model_name=NAME,
                tags=_stamp(model),
            )
        number = str(logged.registered_model_version)
        for key, value in _stamp(model).items():
            client.set_model_version_tag(NAME, number, key, value)
        client.set_registered_model_alias(NAME, "challenger", number)
    return next(v for v in versions() if v.number == number), True


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
    from datetime import UTC, datetime

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


def fetch(ref: str) -> Path:
    """The model folder behind ``models:/debrief/3`` or ``models:/debrief@champion``, downloaded if need be."""
    mlflow = _mlflow()
    try:
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=ref))
    except Exception as error:
        raise ModelError(f"MLflow has no {ref} ({_short(error)})", "See `debrief models list`.") from None
    for place in (folder / _STORED, folder):
        found = sorted(place.glob("*/manifest.json")) if place.is_dir() else []
        if found:
            return found[0].parent
    raise ModelError(f"{ref} holds no debrief model", "Name a version that `debrief models list` shows.")


class _reachable:  # noqa: N801  (used as a statement)
    """Turn what MLflow raises when its server or store is out of reach into one clear line."""

    def __init__(self, mlflow: Any) -> None:
        self._mlflow = mlflow

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and type(error).__module__.split(".")[0] in (
            "mlflow",
            "sqlalchemy",
            "requests",
            "urllib3",
        ):
            uri = self._mlflow.get_tracking_uri()
            raise DebriefError(f"MLflow at {uri} did not take it ({_short(error)})", _TRY) from None


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__


def _stamp(model: Model) -> dict[str, str]:
    tags = {"debrief.version": model.version, "debrief.corpus": model.corpus[:12], "debrief.code": model.code}
    accuracy = model.metrics.get("verdict", {}).get("accuracy", {}).get("value")
    return tags if accuracy is None else {**tags, "debrief.accuracy": str(accuracy)}


def flat_figures(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """``(dotted name, number)`` for every number in a nested metrics object; NaN and text are left out."""
    for key, value in tree.items():
        name = f"{prefix}{key}".replace("=", ".")
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


def describe(folder: Path) -> dict[str, Any]:
    """What a model folder says of itself, for `debrief models show`."""
    load_model(folder)  # refuse to describe what would not be used
    return {
        "manifest": json.loads((folder / "manifest.json").read_text("utf-8")),
        "metrics": json.loads((folder / "metrics.json").read_text("utf-8"))
        if (folder / "metrics.json").is_file()
        else {},
    }
