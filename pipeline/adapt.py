"""Fine-tune the encoder's upper layers on which tokens and which sentences show a signal.

Low-rank updates (LoRA, Hu et al. 2021) of every linear map in the upper layers; the layers below stay as they are, so
what they say of an answer is computed once. Two readers are trained with them: one says of each token, one of each
sentence, whether it is evidence of a signal. Two more tasks teach the layers what matters and are then thrown away:
to tell the annotated near misses from the real thing, and to rank GOOD above BAD by a monotone sum of the signals.
One adapter for each fold of authors gives features of answers it never saw; one of all train authors goes into the
model.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import queue
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapter import PARTS, Adapter
from pipeline.encode import TransformerEncoder
from pipeline.features import gold_labels
from pipeline.params import AdaptParams, Params
from pipeline.records import Exemplar
from pipeline.segment import Sentence
from pipeline.signals import POSITIVE, SIGNAL_IDS
from pipeline.splits import fold_of
from pipeline.verdict import SIGN

Advance = Callable[[int], None]
WHOLE = "full"  # the name of the adapter of all train authors
_RARE = -3.0  # log-odds the readers start from: few tokens are evidence
_MIX = 0.5


@dataclass
class _Item:
    """One window of an answer, ready for training: torch tensors and labels."""

    states: Any  # (n_tokens + 2, d) what the lower layers say
    owner: Any  # (n_tokens,) sentence of each token, counted from the window's first
    sentences: NDArray[np.float32]  # (n_sentences, 24)
    tokens: NDArray[np.float32]  # (n_tokens, 24)
    near: NDArray[np.float32]  # (n_tokens, 26): near misses of each signal, of any, and any positive signal
    good: float  # 1 for GOOD, 0 for BAD


def adapt(
    exemplars: Sequence[Exemplar],
    cuts: Sequence[Sequence[Sentence]],
    encoder: TransformerEncoder,
    params: AdaptParams,
    seed: int,
    advance: Advance | None = None,
) -> Adapter:
    """Train one adapter on the exemplars given.

    Args:
        exemplars: annotated answers.
        cuts: their sentences.
        encoder: without an adapter; its network is changed in place, so it is of no use afterwards.
        params: sizes and rates.
        seed: of the first weights, the order and the dropout. The same seed on the same machine gives the same adapter.
        advance: told of each finished step; there are :func:`steps` of them.
    """
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits as loss_of
    from torch.nn.functional import dropout, softplus

    torch.manual_seed(seed)
    order = np.random.default_rng(seed)
    network = encoder.network
    layers = network.encoder.layer
    first = len(layers) - params.layers
    items = _items(exemplars, cuts, encoder, first)
    network.requires_grad_(False)
    low_rank = _insert(network, first, params)
    dim = int(network.config.hidden_size)
    token, sentence, near = nn.Linear(dim, 24), nn.Linear(dim, 24), nn.Linear(dim, 26)
    mix = nn.Parameter(torch.full((24,), _MIX))
    pull, bias = nn.Parameter(torch.ones(24)), nn.Parameter(torch.zeros(()))  # of the signals on the verdict
    for reader, start in ((token, _RARE), (sentence, _RARE - _MIX * _RARE), (near, _RARE)):
        nn.init.constant_(reader.bias, start)
    updates = [p for pair in low_rank.values() for p in pair]
    readers = [*token.parameters(), *sentence.parameters(), *near.parameters(), mix, pull, bias]
    optimizer = torch.optim.AdamW(
        [{"params": updates, "lr": params.learning_rate}, {"params": readers, "lr": params.reader_rate}],
        weight_decay=0.01,
    )
    total = steps(len(items), params)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, total))
    half = _has_bf16()
    sign = torch.tensor(SIGN, dtype=torch.float32)
    weight = {n: torch.full((n,), params.positive_weight) for n in (24, 26)}
    for batch in _batches(items, params.batch, total, order):
        hidden = _forward(layers[first:], batch, half)
        logits = []
        for row, item in enumerate(batch):
            vectors = dropout(hidden[row, 1 : len(item.tokens) + 1], params.dropout / 2)
            said = token(vectors)
            n = len(item.sentences)
            share = torch.zeros(n, len(item.tokens))
            share[item.owner, torch.arange(len(item.tokens))] = 1
            share = share / share.sum(dim=1, keepdim=True).clamp(min=1)
            top = said.detach().max()
            soft = torch.log(share @ torch.exp((said - top).clamp(min=-20)) + 1e-9) + top
            means = dropout(share @ vectors, params.dropout)
            logits.append((said, sentence(means) + mix * soft, near(vectors)))
        on_tokens, on_sentences, on_near = (torch.cat(each) for each in zip(*logits, strict=True))
        # sums over the 24 signals, means over sentences or tokens
        loss = 24 * loss_of(on_sentences, _gold(batch, "sentences"), pos_weight=weight[24])
        loss = loss + params.token_weight * 24 * loss_of(on_tokens, _gold(batch, "tokens"), pos_weight=weight[24])
        loss = loss + params.near_weight * 26 * loss_of(on_near, _gold(batch, "near"), pos_weight=weight[26])
        strengths = torch.stack([torch.sigmoid(said[1].max(dim=0).values) for said in logits])
        verdict = strengths @ (sign * softplus(pull)) + bias
        loss = loss + params.verdict_weight * loss_of(verdict, torch.tensor([item.good for item in batch]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(updates, 1.0)
        optimizer.step()
        schedule.step()
        if advance:
            advance(1)
    arrays = {"token.weight": token.weight, "token.bias": token.bias, "sentence.weight": sentence.weight}
    arrays |= {"sentence.bias": sentence.bias, "sentence.mix": mix}
    for place, (down, up) in low_rank.items():
        arrays |= {f"{place}.down": down, f"{place}.up": up * params.scale}
    return Adapter({name: each.detach().numpy().astype(np.float16) for name, each in arrays.items()})


def adapt_all(
    exemplars: Sequence[Exemplar],
    cuts: Sequence[Sequence[Sentence]],
    params: Params,
    workers: int,
    advance: Advance | None = None,
) -> Adapters:
    """Train one adapter for each fold of authors and one of all, side by side in processes of one thread each.

    One thread each is nearly twice as fast as all cores on one training, whose matrices are small, and makes the result
    the same whatever the number of cores.
    """
    folds = params.adapt.folds
    chosen = [[i for i, e in enumerate(exemplars) if fold_of(e.author, folds) != fold] for fold in range(folds)]
    jobs = [list(range(len(exemplars))), *chosen]  # the longest first, so that none is left alone at the end
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        finished = manager.Queue()
        waiting = [
            pool.submit(_adapt_alone, [exemplars[i] for i in rows], [cuts[i] for i in rows], params, finished)
            for rows in jobs
        ]
        while not all(job.done() for job in waiting):
            with contextlib.suppress(queue.Empty):
                done = finished.get(timeout=1)
                if advance:
                    advance(done)
        whole, *rest = (job.result() for job in waiting)
    return Adapters(tuple(Adapter(arrays) for arrays in rest), Adapter(whole))


def _adapt_alone(
    exemplars: Sequence[Exemplar], cuts: Sequence[Sequence[Sentence]], params: Params, finished: Any
) -> dict[str, NDArray[np.float16]]:
    import torch

    torch.set_num_threads(1)
    encoder = TransformerEncoder(params.encoder)
    return dict(adapt(exemplars, cuts, encoder, params.adapt, params.seed, finished.put).arrays)


def steps(n: int, params: AdaptParams) -> int:
    """How many steps a training on ``n`` windows takes."""
    return max(1, round(params.passes * n / params.batch))


def _rate(step: int, total: int) -> float:
    """Share of the highest rate: up over the first tenth of the steps, then down along a cosine."""
    return min(1.0, (step + 1) / (0.1 * total)) * 0.5 * (1 + math.cos(math.pi * step / total))


def _items(
    exemplars: Sequence[Exemplar], cuts: Sequence[Sequence[Sentence]], encoder: TransformerEncoder, first: int
) -> list[_Item]:
    """Labels of every window, and what the layers below ``first`` say of it."""
    import torch

    items = []
    network = encoder.network
    for exemplar, cut in zip(exemplars, cuts, strict=True):
        shown = [(SIGNAL_IDS.index(s.id), s.start, s.end) for s in exemplar.shown]
        missed = [(SIGNAL_IDS.index(m.id), m.start, m.end) for m in exemplar.near_misses]
        labels = gold_labels(cut, [(s.id, s.start, s.end) for s in exemplar.shown]).astype(np.float32)
        for window in encoder.windows(0, exemplar.text, cut):
            tokens, near = _marked(window.spans, shown, 24), _marked(window.spans, missed, 26)
            near[:, 24] = near[:, :24].max(axis=1)
            near[:, 25] = tokens[:, : len(POSITIVE)].max(axis=1)
            begin, stop = int(window.sentence[0]), int(window.sentence[-1]) + 1
            with torch.no_grad():
                states = network.embeddings(input_ids=torch.tensor([encoder.with_special(window)]))
                for layer in network.encoder.layer[:first]:
                    states = _only(layer(states, attention_mask=None))
            owner = torch.from_numpy(window.sentence - begin)
            items.append(_Item(states[0].clone(), owner, labels[begin:stop], tokens, near, float(exemplar.is_good)))
    return items


def _marked(spans: NDArray[np.int64], pieces: Sequence[tuple[int, int, int]], columns: int) -> NDArray[np.float32]:
    marked = np.zeros((len(spans), columns), np.float32)
    for column, start, end in pieces:
        marked[(spans[:, 0] < end) & (spans[:, 1] > start), column] = 1
    return marked


def _insert(network: Any, first: int, params: AdaptParams) -> dict[str, tuple[Any, Any]]:
    """Put a low-rank update beside each linear map from layer ``first`` up; down and up matrices by place."""
    import torch
    from torch import nn
    from torch.nn.functional import dropout

    class Updated(nn.Module):
        def __init__(self, frozen: nn.Linear) -> None:
            super().__init__()
            self.frozen = frozen
            self.down = nn.Parameter(torch.randn(params.rank, frozen.in_features) / frozen.in_features**0.5)
            self.up = nn.Parameter(torch.zeros(frozen.out_features, params.rank))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            low = dropout(x @ self.down.T, params.dropout)
            return self.frozen(x) + params.scale * (low @ self.up.T)

    found = {}
    for number in range(first, len(network.encoder.layer)):
        for part in PARTS:
            place = f"layer.{number}.{part}"
            owner = network.encoder.get_submodule(place.rpartition(".")[0])
            name = place.rpartition(".")[2]
            updated = Updated(getattr(owner, name))
            setattr(owner, name, updated)
            found[place] = (updated.down, updated.up)
    return found


def _batches(items: list[_Item], size: int, total: int, order: np.random.Generator) -> Iterator[list[_Item]]:
    """``total`` batches of windows of about the same length, every window once before any comes again."""
    given = 0
    while given < total:
        shuffled = order.permutation(len(items)).tolist()
        pools = [shuffled[i : i + 8 * size] for i in range(0, len(shuffled), 8 * size)]
        batches = []
        for pool in pools:
            pool.sort(key=lambda i: len(items[i].tokens))
            batches += [pool[i : i + size] for i in range(0, len(pool), size)]
        for at in order.permutation(len(batches)).tolist()[: total - given]:
            yield [items[i] for i in batches[at]]
            given += 1


def _forward(layers: Any, batch: Sequence[_Item], half: bool) -> Any:
    """(n_windows, width, d) token vectors after the upper layers.

    The backbone stays in evaluation mode: its own dropout, on every attention weight, took half of the time and
    helped nothing.
    """
    import torch

    width = max(len(item.states) for item in batch)
    hidden = torch.zeros(len(batch), width, batch[0].states.shape[1])
    mask = torch.full((len(batch), 1, 1, width), -1e4, dtype=torch.bfloat16 if half else torch.float32)
    for row, item in enumerate(batch):
        hidden[row, : len(item.states)] = item.states
        mask[row, 0, 0, : len(item.states)] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        for layer in layers:
            hidden = _only(layer(hidden, attention_mask=mask))
    return hidden.float()


def _only(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


def _gold(batch: Sequence[_Item], name: str) -> Any:
    import torch

    return torch.from_numpy(np.vstack([getattr(item, name) for item in batch]))


def _has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 itself; where it does not, autocast is slower than fp32."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


@dataclass(frozen=True)
class Adapters:
    """One adapter for each fold, which never saw the fold's authors, and one of all train authors."""

    folds: tuple[Adapter, ...]
    whole: Adapter

    def save(self, folder: Path) -> None:
        """Write one safetensors file each."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, adapter in enumerate(self.folds):
            adapter.save(folder / f"fold-{number}.safetensors")
        self.whole.save(folder / f"{WHOLE}.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Adapters:
        """Read what :meth:`save` wrote."""
        folds = sorted(folder.glob("fold-*.safetensors"))
        return cls(tuple(map(Adapter.load, folds)), Adapter.load(folder / f"{WHOLE}.safetensors"))
