"""What was said of each held-out answer, kept beside the model so that two versions can be compared answer by answer.

No text is kept, only a hash of it; the exemplars themselves are in the corpus.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelError
from pipeline.records import Exemplar
from pipeline.signals import SIGNAL_IDS

if TYPE_CHECKING:
    from pipeline.evaluate import HeldOut

HELD_OUT = "held_out.parquet"
_FLAGS = ("shown", "near", "called")

Words = NDArray[np.str_]


@dataclass(frozen=True)
class Judged:
    """Held-out answers, their labels, and what a model said of them that never saw their authors.

    All (n,), but ``shown``, ``near`` (a near miss and no true evidence of the signal), ``called`` and ``strengths``:
    (n, 24). ``text`` is the first twelve hexadecimal digits of the SHA-256 of the answer.
    """

    id: Words
    text: Words
    author: Words
    pair: Words
    round: Words
    style: Words
    setting: Words
    good: NDArray[np.bool_]
    strength: NDArray[np.float64]
    annotated: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    near: NDArray[np.bool_]
    p_good: NDArray[np.float64]
    verdict: Words
    called: NDArray[np.bool_]
    strengths: NDArray[np.float64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,): whether p(GOOD) is on the label's side of one half."""
        return (self.p_good >= 0.5) == self.good

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Judged:
        """The same for some answers only, in the order of ``rows``."""
        picked = np.asarray(rows, dtype=np.int64)
        return Judged(**{f.name: getattr(self, f.name)[picked] for f in fields(self)})

    def save(self, path: Path) -> None:
        """Write one Parquet table, a row an answer; (n, 24) flags as lists of signals."""
        import pyarrow
        import pyarrow.parquet

        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        table = {
            name: [[SIGNAL_IDS[i] for i in np.flatnonzero(row)] for row in column]
            if name in _FLAGS
            else column.tolist()
            for name, column in columns.items()
        }
        table["strengths"] = pyarrow.array(np.round(self.strengths, 4).tolist(), pyarrow.list_(pyarrow.float32()))
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(table), path, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> Judged:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing, damaged or of other signals.
        """
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
            columns = {name: table[name].to_pylist() for name in table.column_names}
            for name in _FLAGS:
                rows = columns[name]
                columns[name] = np.zeros((len(rows), len(SIGNAL_IDS)), np.bool_)
                for row, signals in enumerate(rows):
                    columns[name][row, [SIGNAL_IDS.index(s) for s in signals]] = True
            return cls(**{name: np.array(column) for name, column in columns.items()})
        except FileNotFoundError:
            raise ModelError(
                f"no {HELD_OUT}: what it said of held-out answers was not kept", "Make it anew with `debrief retrain`.",
                str(path.parent),
            ) from None  # fmt: skip
        except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{HELD_OUT} is damaged ({type(error).__name__})", "Make it anew.", str(path.parent)
            ) from None


def judged(held: HeldOut, exemplars: Sequence[Exemplar]) -> Judged:
    """Labels and predictions of the same answers, side by side."""
    shown = np.array([[e.shows(s) for s in SIGNAL_IDS] for e in exemplars])
    near = np.array([[any(m.id == s for m in e.near_misses) for s in SIGNAL_IDS] for e in exemplars]) & ~shown
    return Judged(
        id=np.array([e.id for e in exemplars]),
        text=np.array([hashlib.sha256(e.text.encode()).hexdigest()[:12] for e in exemplars]),
        author=np.array([e.author for e in exemplars]),
        pair=np.array([e.pair or "" for e in exemplars]),
        round=np.array([e.round for e in exemplars]),
        style=np.array([e.style for e in exemplars]),
        setting=np.array([e.setting for e in exemplars]),
        good=np.array([e.is_good for e in exemplars]),
        strength=np.array([e.strength for e in exemplars]),
        annotated=np.array([e.annotated for e in exemplars]),
        shown=shown,
        near=near,
        p_good=held.p_good,
        verdict=np.array(held.verdict),
        called=held.called,
        strengths=held.strengths,
    )
