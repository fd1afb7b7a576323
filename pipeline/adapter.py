"""What fine-tuning leaves behind: a low-rank update of the encoder's upper layers and two linear readers.

The update is merged into the encoder's weights when it is loaded (W + scale * up @ down, Hu et al. 2021), so it costs
nothing at scoring. The readers turn token vectors into what a token and what a sentence says of each signal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pipeline.errors import ModelError

Array = NDArray[np.float32]

PARTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)  # the linear maps of a BERT layer, all of them adapted


@dataclass(frozen=True)
class Adapter:
    """Half-precision arrays by name.

    ``layer.<i>.<part>.down`` (rank, in) and ``.up`` (out, rank), the scale already in ``up``; ``token.weight`` (24, d),
    ``token.bias`` (24,); ``sentence.weight`` (24, d), ``sentence.bias`` (24,), ``sentence.mix`` (24,).
    """

    arrays: Mapping[str, NDArray[np.float16]]

    @cached_property
    def sha256(self) -> str:
        """Hash over names and numbers."""
        digest = hashlib.sha256()
        for name, array in sorted(self.arrays.items()):
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def merge(self, network: Any) -> None:
        """Add the update to a BERT network's weights, in place.

        Raises:
            ModelError: the network has no such layer, or of another shape.
        """
        import torch

        modules = dict(network.named_modules())
        with torch.no_grad():
            for name in self.arrays:
                if not name.endswith(".down"):
                    continue
                place = name.removesuffix(".down")
                module = modules.get(f"encoder.{place}")
                down, up = self._wide(name), self._wide(f"{place}.up")
                if module is None or module.weight.shape != (len(up), down.shape[1]):
                    raise ModelError(
                        f"the adapter's {place} does not fit the encoder",
                        "Use the encoder it was trained with, or run `debrief retrain`.",
                    )
                module.weight += torch.from_numpy(up @ down)

    def read_tokens(self, hidden: Array) -> Array:
        """(n_tokens, d) token vectors to (n_tokens, 24) log-odds that a token is evidence of a signal."""
        return np.asarray(hidden @ self._wide("token.weight").T + self._wide("token.bias"), dtype=np.float32)

    def read_sentences(self, means: Array, tokens: Array, owner: NDArray[np.int64]) -> Array:
        """Log-odds that a sentence shows a signal.

        ``weight @ mean + bias + mix * log(mean over its tokens of exp(token log-odds))``: the mean vector says what the
        sentence is about, the soft maximum whether any run of tokens is evidence.

        Args:
            means: (n_sentences, d) mean token vectors.
            tokens: (n_tokens, 24) of :meth:`read_tokens`.
            owner: (n_tokens,) the sentence of each token.

        Returns:
            (n_sentences, 24) float32; a sentence without tokens has the bias alone.
        """
        n = len(means)
        top = float(tokens.max(initial=0.0))
        total = np.zeros((n, tokens.shape[1]), np.float64)
        np.add.at(total, owner, np.exp(np.maximum(tokens - top, -20.0)))
        count = np.bincount(owner, minlength=n)[:, None]
        soft = np.log(total / np.maximum(count, 1) + 1e-9) + top
        read = means @ self._wide("sentence.weight").T + self._wide("sentence.bias")
        return np.asarray(read + self._wide("sentence.mix") * np.where(count > 0, soft, 0.0), dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(a) for name, a in self.arrays.items()}, path)

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Read what :meth:`save` wrote."""
        try:
            return cls(load_file(path))
        except FileNotFoundError:
            raise ModelError("no adapter", "Run `dvc repro adapt`.", str(path)) from None
        except SafetensorError:
            raise ModelError("not a safetensors file", "Run `dvc repro adapt`.", str(path)) from None

    @cached_property
    def _readers(self) -> dict[str, Array]:
        return {k: v.astype(np.float32) for k, v in self.arrays.items() if not k.startswith("layer.")}

    def _wide(self, name: str) -> Array:
        return self._readers[name] if name in self._readers else self.arrays[name].astype(np.float32)
