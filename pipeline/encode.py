"""Turn answers into vectors: one encoder pass an answer, token vectors pooled per sentence.

A sentence read inside its answer tells more than the sentence alone, so the encoder sees whole answers (in
windows of whole sentences where they are long), without names and sexes, and its token vectors are averaged over each
sentence. With an adapter it also says, for each token and each sentence, how surely it is evidence of a signal.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.adapter import Adapter
from pipeline.errors import ModelError
from pipeline.neutral import neutral
from pipeline.params import EncoderParams
from pipeline.segment import Sentence
from pipeline.signals import SIGNAL_IDS

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of one answer; all float32 but the spans.

    ``answer`` (d,) and ``sentences`` (n_sentences, d) are vectors of unit length. ``sentence_logits`` (n_sentences, 24)
    and ``token_logits`` (n_tokens, 24) are log-odds of each signal, zeros without an adapter; ``tokens`` (n_tokens, 2)
    are the tokens' character offsets in the answer, int64.
    """

    answer: Vectors
    sentences: Vectors
    sentence_logits: Vectors
    token_logits: Vectors
    tokens: NDArray[np.int64]


class Encoder(Protocol):
    """Anything that turns answers and their sentence spans into vectors."""

    @property
    def sha256(self) -> str:
        """Hash of the weights: two encoders with the same hash give the same vectors."""
        ...

    def encode(
        self,
        texts: Sequence[str],
        sentences: Sequence[Sequence[Sentence]],
        advance: Callable[[int], None] | None = None,
    ) -> list[Encoded]:
        """Encode answers in the order given; ``advance`` is told of each finished batch of windows."""
        ...


@dataclass
class Window:
    """A run of an answer's tokens that goes through the encoder at once."""

    answer: int
    ids: list[int]
    sentence: NDArray[np.int64]  # sentence index of each token
    spans: NDArray[np.int64]  # (n_tokens, 2) character offsets of each token


class TransformerEncoder:
    """A sentence-transformers model loaded from disk, never from the network, its weights hash-checked."""

    def __init__(self, params: EncoderParams, adapter: Adapter | None = None) -> None:
        self._params = params
        self._adapter = adapter
        self._folder = find_encoder(params.source)
        self._sha256 = weights_hash(self._folder)
        if params.sha256 is not None and self._sha256 != params.sha256:
            raise ModelError(
                f"the encoder's weights have hash {self._sha256[:12]}..., wanted {params.sha256[:12]}...",
                "Install the encoder this model was trained with, or retrain with the one at hand.",
                str(self._folder),
            )
        self._network: Any = None
        self._tokenizer: Any = None

    @property
    def sha256(self) -> str:
        """Hash of ``model.safetensors``."""
        return self._sha256

    def encode(
        self,
        texts: Sequence[str],
        sentences: Sequence[Sequence[Sentence]],
        advance: Callable[[int], None] | None = None,
    ) -> list[Encoded]:
        """Encode answers; see :class:`Encoder`. An answer without sentences gets zero vectors and no tokens."""
        self.load()
        windows = [w for i, (t, s) in enumerate(zip(texts, sentences, strict=True)) for w in self.windows(i, t, s)]
        hidden: list[Vectors] = [np.zeros(0, np.float32)] * len(windows)
        # longest first: a batch then pads little, and the largest need of memory comes at once
        order = sorted(range(len(windows)), key=lambda i: -len(windows[i].ids))
        at = 0
        while at < len(order):
            width = len(windows[order[at]].ids) + 2
            batch = order[at : at + max(1, self._params.batch_tokens // width)]
            for i, states in zip(batch, self._forward([windows[i] for i in batch]), strict=True):
                hidden[i] = states
            at += len(batch)
            if advance:
                advance(len(batch))
        mine: list[list[int]] = [[] for _ in texts]
        for i, window in enumerate(windows):
            mine[window.answer].append(i)
        return [
            self._read(len(cut), [windows[i] for i in own], [hidden[i] for i in own])
            for cut, own in zip(sentences, mine, strict=True)
        ]

    def _read(self, n_sentences: int, windows: Sequence[Window], hidden: Sequence[Vectors]) -> Encoded:
        """Pool one answer's token vectors, and let the adapter read them."""
        dim = int(self.network.config.hidden_size)
        inner = np.vstack([h[1:-1] for h in hidden] or [np.zeros((0, dim), np.float32)])
        owner = np.concatenate([w.sentence for w in windows] or [np.zeros(0, np.int64)])
        sums = np.zeros((n_sentences, dim), np.float32)
        np.add.at(sums, owner, inner)
        total = np.sum([h.sum(axis=0) for h in hidden], axis=0) if len(hidden) else np.zeros(dim, np.float32)
        size = (len(SIGNAL_IDS),)
        if self._adapter:
            count = np.maximum(np.bincount(owner, minlength=n_sentences), 1)[:, None]
            token_logits = self._adapter.read_tokens(inner)
            sentence_logits = self._adapter.read_sentences((sums / count).astype(np.float32), token_logits, owner)
        else:
            token_logits = np.zeros((len(inner), *size), np.float32)
            sentence_logits = np.zeros((n_sentences, *size), np.float32)
        return Encoded(
            answer=_unit(total),
            sentences=_unit(sums),
            sentence_logits=sentence_logits,
            token_logits=token_logits,
            tokens=np.vstack([w.spans for w in windows] or [np.zeros((0, 2), np.int64)]),
        )

    @property
    def network(self) -> Any:
        """The torch module, loaded."""
        self.load()
        return self._network

    def load(self) -> None:
        """Read tokenizer and weights from disk, and merge the adapter; once."""
        if self._network is not None:
            return
        os.environ["HF_HUB_OFFLINE"] = "1"  # no network at run time, whatever a library would like to look up
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from sentence_transformers import SentenceTransformer
        from tokenizers import Tokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()

        try:
            module = SentenceTransformer(str(self._folder), device="cpu", local_files_only=True)
            self._tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
        except Exception as error:
            raise ModelError(
                f"not a sentence-transformers model with a fast tokenizer ({type(error).__name__})",
                "Name another encoder in params.yaml.",
                str(self._folder),
            ) from None
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        backbone: Any = module[0]
        network = backbone.auto_model.eval()
        if self._adapter:
            self._adapter.merge(network)
        self._network = network
        special = self._tokenizer.encode("").ids
        self._first, self._last = special[0], special[-1]

    def windows(self, answer: int, text: str, sentences: Sequence[Sentence]) -> list[Window]:
        """Cut an answer's tokens, names and sexes taken away, into windows of whole sentences where they fit."""
        if not sentences:
            return []
        shown = neutral(text)
        encoding = self._tokenizer.encode(shown.text, add_special_tokens=False)
        spans = np.array([(shown.start[a], shown.end[b - 1]) for a, b in encoding.offsets], np.int64).reshape(-1, 2)
        starts = np.array([start for start, _ in sentences])
        owner = np.clip(np.searchsorted(starts, spans[:, 0], side="right") - 1, 0, len(sentences) - 1)
        limit = self._params.max_tokens - 2
        windows: list[Window] = []
        begin = 0
        while begin < len(owner):
            end = min(begin + limit, len(owner))
            if end < len(owner) and owner[end] != owner[begin]:
                # step back to where the sentence that does not fit begins
                end = int(np.searchsorted(owner, owner[end], side="left"))
            windows.append(Window(answer, encoding.ids[begin:end], owner[begin:end], spans[begin:end]))
            begin = end
        return windows

    def with_special(self, window: Window) -> list[int]:
        """A window's token ids between the encoder's first and last special token."""
        return [self._first, *window.ids, self._last]

    def _forward(self, batch: Sequence[Window]) -> list[Vectors]:
        import torch

        width = max(len(w.ids) for w in batch) + 2
        ids = np.zeros((len(batch), width), np.int64)
        mask = np.zeros((len(batch), width), np.int64)
        for row, window in enumerate(batch):
            tokens = self.with_special(window)
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        with torch.inference_mode():
            hidden = self._network(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        states = hidden.last_hidden_state.float().numpy()
        return [states[row, : len(w.ids) + 2] for row, w in enumerate(batch)]


def find_encoder(source: str) -> Path:
    """The folder of a sentence-transformers model.

    Args:
        source: ``package:NAME`` (a Python package that carries the model in a folder ``model``), a folder, or
            the name of a model in the local Hugging Face cache.
    """
    if source.startswith("package:"):
        name = source.removeprefix("package:")
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(f"the package {name} is not installed", "Run `make setup`.")
        return Path(spec.submodule_search_locations[0]) / "model"
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source, local_files_only=True))
    except Exception:
        raise ModelError(
            f"no encoder {source!r} on this machine",
            "Name a folder, or fetch the model beforehand; nothing is fetched here.",
        ) from None


def weights_hash(folder: Path) -> str:
    """SHA-256 of ``model.safetensors`` in ``folder``, as 64 hexadecimal digits."""
    try:
        with (folder / "model.safetensors").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ModelError(
            "no model.safetensors", "Pickled weights are not loaded; convert them first.", str(folder)
        ) from None


def _unit(rows: Vectors) -> Vectors:
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.maximum(norm, 1e-12)).astype(np.float32)
