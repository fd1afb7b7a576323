"""One model version: a folder of numbers and JSON, checked before anything in it is believed.

==================== ==========================================================================
`manifest.json`      versions, hashes, encoder, features, signals, thresholds, band (:class:`Manifest`)
`weights.safetensors` n-gram reader, heads, verdict weights, round predictor, splitter, exemplar vectors
`adapter.safetensors` what fine-tuning changed in the encoder
`exemplars.jsonl`    the exemplars behind `nearest`: id, verdict, round, question, text
`metrics.json`       what the evaluation measured; may be absent
`held_out.parquet`   what was said of each held-out answer (:mod:`pipeline.heldout`); may be absent
==================== ==========================================================================

Nothing in the folder is code and nothing is pickled, so loading it runs nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pipeline import __version__
from pipeline.adapter import Adapter
from pipeline.errors import ModelError
from pipeline.features import feature_names
from pipeline.heads import Heads
from pipeline.ngrams import NgramReader
from pipeline.params import EncoderParams, SegmentParams
from pipeline.records import ModelStamp
from pipeline.rounds import RoundPredictor
from pipeline.segment import Splitter
from pipeline.signals import ROUNDS, SIGNAL_IDS
from pipeline.verdict import VerdictModel

SCHEMA = "debrief.model/2"
_AGAIN = "Name another model, or make it anew with `debrief retrain`."
_FILES = ("weights.safetensors", "adapter.safetensors", "exemplars.jsonl")


class Manifest(BaseModel):
    """What a model folder says of itself."""

    model_config = ConfigDict(extra="forbid")

    model_schema: str = SCHEMA
    version: str
    corpus: str
    code: str
    encoder: EncoderParams
    adapter: str
    dim: int
    segment: SegmentParams
    splitter_bias: float
    signals: list[str]
    rounds: list[str]
    features: str
    thresholds: list[float]
    bias: float
    slope: float
    offset: float
    low: float
    high: float
    good_rate: float
    files: dict[str, str]


@dataclass(frozen=True)
class Shown:
    """An exemplar as the model keeps it, to be shown beside an answer."""

    id: str
    verdict: Literal["GOOD", "BAD"]
    round: str
    question: str
    text: str


@dataclass(frozen=True)
class Model:
    """Everything scoring needs apart from the encoder itself.

    ``vectors`` is (n_exemplars, d), unit rows; ``good_rate`` the share of GOOD answers it was fitted on.
    """

    corpus: str
    encoder: EncoderParams
    adapter: Adapter
    ngrams: NgramReader
    segment: SegmentParams
    splitter: Splitter
    heads: Heads
    thresholds: NDArray[np.float64]
    verdict: VerdictModel
    rounds: RoundPredictor
    exemplars: tuple[Shown, ...]
    vectors: NDArray[np.float16]
    good_rate: float
    metrics: dict[str, Any] = field(default_factory=dict)
    code: str = __version__

    @cached_property
    def version(self) -> str:
        """First twelve hexadecimal digits of a hash over everything that decides what the model says."""
        digest = hashlib.sha256(
            f"{self.corpus} {self.code} {self.encoder.sha256} {self.adapter.sha256} {self.segment}".encode()
        )
        for name, array in sorted(self._arrays().items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        digest.update(repr((self.thresholds.tolist(), self._scalars())).encode())
        return digest.hexdigest()[:12]

    @cached_property
    def stamp(self) -> ModelStamp:
        """What every result says about the model."""
        return ModelStamp(version=self.version, corpus=self.corpus[:12], code=self.code)

    def _scalars(self) -> dict[str, float]:
        v = self.verdict
        return {"bias": v.bias, "slope": v.slope, "offset": v.offset, "low": v.low, "high": v.high} | {
            "good_rate": self.good_rate,
            "splitter_bias": self.splitter.bias,
        }

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "heads.weights": self.heads.weights,
            "heads.bias": self.heads.bias,
            "verdict.weights": self.verdict.weights,
            "rounds.question": self.rounds.question,
            "rounds.answer": self.rounds.answer,
            "splitter": self.splitter.weights.astype(np.float16),  # it was rounded to these when it was fitted
            "exemplars": self.vectors,
            **{f"ngrams.{name}": array for name, array in self.ngrams.arrays().items()},
        }

    def save(self, folder: Path) -> None:
        """Write the folder; what it held before is overwritten."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({k: np.ascontiguousarray(v) for k, v in self._arrays().items()}, folder / "weights.safetensors")
        self.adapter.save(folder / "adapter.safetensors")
        lines = [json.dumps(vars(e), ensure_ascii=False) for e in self.exemplars]
        (folder / "exemplars.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        manifest = Manifest(
            version=self.version,
            corpus=self.corpus,
            code=self.code,
            encoder=self.encoder,
            adapter=self.adapter.sha256,
            dim=self.vectors.shape[1],
            segment=self.segment,
            signals=list(SIGNAL_IDS),
            rounds=list(ROUNDS),
            features=_features_hash(),
            thresholds=self.thresholds.tolist(),
            files={name: _hash(folder / name) for name in _FILES},
            **self._scalars(),
        )
        (folder / "manifest.json").write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        if self.metrics:
            (folder / "metrics.json").write_text(json.dumps(self.metrics, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """What a model folder says of itself; the files it names are not looked at.

    Raises:
        ModelError: there is no manifest, it cannot be read, or it is of another format than this program reads.
    """
    try:
        tree = json.loads((folder / "manifest.json").read_bytes())
        if isinstance(tree, dict) and tree.get("model_schema", SCHEMA) != SCHEMA:
            made = tree.get("code") or "an unknown version"
            raise ModelError(
                f"its format is {tree['model_schema']!r}, made by debrief {made}; "
                f"debrief {__version__} reads {SCHEMA!r}",
                f"Score with debrief {made}, or retrain on its exemplars with `debrief retrain`.",
                str(folder),
            )
        return Manifest.model_validate(tree)
    except FileNotFoundError:
        raise ModelError("no manifest.json: not a model folder", _AGAIN, str(folder)) from None
    except (ValidationError, ValueError, RecursionError, OSError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else type(error).__name__
        raise ModelError(f"manifest.json cannot be read ({reason})", _AGAIN, str(folder)) from None


def load_model(folder: Path) -> Model:
    """Read and check a model folder.

    Raises:
        ModelError: a file is missing, damaged or not the one the manifest names, or the model was made for other
            signals or features than this program's.
    """
    where, again = str(folder), _AGAIN
    manifest = read_manifest(folder)
    if tuple(manifest.signals) != SIGNAL_IDS or tuple(manifest.rounds) != ROUNDS:
        raise ModelError("the model knows other signals or rounds than this program", again, where)
    if manifest.features != _features_hash():
        raise ModelError("the model was fitted on other features than this program computes", again, where)
    for name in _FILES:
        if not (folder / name).is_file():
            raise ModelError(f"{name} is missing", again, where)
        if _hash(folder / name) != manifest.files.get(name):
            raise ModelError(f"{name} is not the file the manifest names (its hash differs)", again, where)
    try:
        arrays = load_file(folder / "weights.safetensors")
        model = Model(
            corpus=manifest.corpus,
            encoder=manifest.encoder,
            adapter=Adapter.load(folder / "adapter.safetensors"),
            segment=manifest.segment,
            ngrams=NgramReader.of(
                {name: arrays[f"ngrams.{name}"] for name in ("weights", "bias", "longest")},
            ),
            splitter=Splitter(arrays["splitter"].astype(np.float32), manifest.splitter_bias),
            heads=Heads(arrays["heads.weights"], arrays["heads.bias"]),
            thresholds=np.array(manifest.thresholds),
            verdict=VerdictModel(
                arrays["verdict.weights"],
                manifest.bias,
                manifest.slope,
                manifest.offset,
                manifest.low,
                manifest.high,
            ),
            rounds=RoundPredictor(arrays["rounds.question"], arrays["rounds.answer"]),
            exemplars=read_exemplars(folder),
            vectors=arrays["exemplars"],
            good_rate=manifest.good_rate,
            metrics=read_metrics(folder),
            code=manifest.code,
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"damaged ({type(error).__name__})", again, where) from None
    if model.version != manifest.version:
        raise ModelError(f"its content has version {model.version}, its manifest says {manifest.version}", again, where)
    return model


def default_model() -> Path:
    """The model that ships with the program: inside an installed package, or `models/default` of a checkout."""
    packaged = Path(__file__).parent / "default_model"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "models" / "default"


def read_exemplars(folder: Path) -> tuple[Shown, ...]:
    """The exemplars a model folder keeps."""
    lines = (folder / "exemplars.jsonl").read_text("utf-8").splitlines()
    return tuple(Shown(**json.loads(line)) for line in lines)


def read_metrics(folder: Path) -> dict[str, Any]:
    """What was measured of the model; empty where nothing was kept."""
    path = folder / "metrics.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}


def _features_hash() -> str:
    return hashlib.sha256("\n".join(feature_names()).encode()).hexdigest()


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
