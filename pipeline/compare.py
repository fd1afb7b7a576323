"""Two model versions on the same held-out answers: what got better, what got worse, and which verdicts changed.

Every answer was judged by each version without its author (:mod:`pipeline.heldout`), so the two can be compared answer
by answer. Intervals come from resampling whole authors, the same ones for both versions (paired bootstrap, Efron and
Tibshirani 1993); McNemar's exact test looks only at the answers on which one version is right and the other is not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DebriefError
from pipeline.heldout import HELD_OUT, Judged
from pipeline.model import read_manifest, read_metrics
from pipeline.signals import SIGNAL_IDS, SIGNALS
from pipeline.verdict import SIGN

Array = NDArray[np.float64]

RESAMPLES = 1000
MOVED = 0.1  # a signal's strength that moved by less does not explain a changed verdict; chosen, not validated
BINS = 10
LOWER_IS_BETTER = frozenset({"brier", "ece", "near_miss_false_alarms"})
FIGURES = {
    "accuracy": "right",
    "auc": "AUC",
    "pairs_right": "pairs ranked right",
    "strength_rho": "rank correlation with strength",
    "brier": "Brier score",
    "ece": "calibration error",
    "macro_f1": "signals, macro-F1",
    "mean_average_precision": "signals, mean average precision",
    "near_miss_false_alarms": "near misses called",
}


@dataclass(frozen=True)
class Side:
    """One of the two versions: what it says of itself and of the held-out answers."""

    version: str
    corpus: str
    code: str
    answers: Judged
    robustness: dict[str, dict[str, float]]

    @classmethod
    def read(cls, folder: Path) -> Side:
        """Read a model folder; its weights are not needed, so a version this program cannot use can be compared."""
        manifest = read_manifest(folder)
        return cls(
            version=manifest.version,
            corpus=manifest.corpus[:12],
            code=manifest.code,
            answers=Judged.load(folder / HELD_OUT),
            robustness=read_metrics(folder).get("robustness", {}).get("by_disturbance", {}),
        )


@dataclass(frozen=True)
class Difference:
    """A figure of both versions on the same ``n`` answers; ``low`` to ``high`` is the interval of new less old."""

    name: str
    title: str
    n: int
    old: float
    new: float
    low: float
    high: float
    lower_is_better: bool = False

    @property
    def difference(self) -> float:
        """New less old."""
        return self.new - self.old

    @property
    def trend(self) -> str:
        """``better`` or ``worse`` where the whole interval is, else empty."""
        if not (self.low > 0 or self.high < 0):
            return ""
        return "better" if (self.low > 0) != self.lower_is_better else "worse"


@dataclass(frozen=True)
class McNemar:
    """Answers only the old, and only the new version has right, and the exact two-sided p of that split."""

    old_only: int
    new_only: int
    p: float


@dataclass(frozen=True)
class Changed:
    """An answer whose verdict is not what it was, and the signals that moved."""

    id: str
    round: str
    label: str
    old_verdict: str
    new_verdict: str
    old_p: float
    new_p: float
    why: tuple[str, ...]

    @property
    def outcome(self) -> str:
        """What the new verdict is worth: ``now right``, ``now wrong``, or ``now BORDERLINE``."""
        if self.new_verdict == "BORDERLINE":
            return "now BORDERLINE"
        return "now right" if self.new_verdict == self.label else "now wrong"


@dataclass(frozen=True)
class Comparison:
    """All that is said of two versions; JSON-ready by :meth:`to_json`."""

    old: str
    new: str
    old_corpus: str
    new_corpus: str
    answers: int
    authors: int
    only_old: int
    only_new: int
    relabelled: int
    level: float
    figures: tuple[Difference, ...]
    mcnemar: McNemar
    slices: tuple[Difference, ...]
    signals: tuple[Difference, ...]
    changed: tuple[Changed, ...]
    old_robustness: dict[str, dict[str, float]]
    new_robustness: dict[str, dict[str, float]]

    def figure(self, name: str) -> Difference:
        """One of :attr:`figures` by its name."""
        return next(f for f in self.figures if f.name == name)

    def to_json(self) -> str:
        """Everything, for machines."""
        return json.dumps(asdict(self), indent=1)


def compare(old: Side, new: Side, level: float = 0.95, seed: int = 0) -> Comparison:
    """Compare on the answers that both versions held out under the same text and label.

    Args:
        old: the version in use.
        new: the version that might replace it.
        level: of the intervals.
        seed: of the resampling.

    Raises:
        DebriefError: there are no such answers.
    """
    at_old = {name: row for row, name in enumerate(old.answers.id.tolist())}
    at_new = {name: row for row, name in enumerate(new.answers.id.tolist())}
    both = [name for name in at_old if name in at_new]
    same = [n for n in both if _labels(old.answers, at_old[n]) == _labels(new.answers, at_new[n])]
    if not same:
        raise DebriefError(
            f"{old.version} and {new.version} held out no answer in common", "They are of unrelated corpora."
        )
    was, now = old.answers.take([at_old[n] for n in same]), new.answers.take([at_new[n] for n in same])
    weights = _resamples(was.author, seed)
    edges = ((1 - level) / 2, (1 + level) / 2)
    return Comparison(
        old=old.version,
        new=new.version,
        old_corpus=old.corpus,
        new_corpus=new.corpus,
        answers=len(same),
        authors=len(set(was.author.tolist())),
        only_old=len(at_old) - len(both),
        only_new=len(at_new) - len(both),
        relabelled=len(both) - len(same),
        level=level,
        figures=_figures(was, now, weights, edges),
        mcnemar=mcnemar(was.right, now.right),
        slices=_slices(was, now, weights, edges),
        signals=_signals(was, now, weights, edges),
        changed=_changed(was, now),
        old_robustness=old.robustness,
        new_robustness=new.robustness,
    )


def mcnemar(old_right: NDArray[np.bool_], new_right: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test (1947): under no difference the discordant answers fall to either side evenly."""
    from scipy.stats import binomtest

    lost, won = int((old_right & ~new_right).sum()), int((new_right & ~old_right).sum())
    p = float(binomtest(won, won + lost).pvalue) if won + lost else 1.0
    return McNemar(lost, won, round(p, 4))


def _labels(answers: Judged, row: int) -> tuple[str, bool, str]:
    return str(answers.text[row]), bool(answers.good[row]), str(answers.round[row])


def _resamples(author: NDArray[np.str_], seed: int) -> Array:
    """(1 + RESAMPLES, n): how often each answer is drawn. The first row draws each once: the figure itself."""
    names, owner = np.unique(author, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return np.vstack([np.ones(len(names)), drawn])[:, owner].astype(np.float64)


def _share(weights: Array, hits: NDArray[Any], of: NDArray[Any] | None = None) -> Array:
    """Weighted hits over weighted ``of`` (each counts once if not given), NaN where there is nothing."""
    whole = weights @ (np.ones(len(hits)) if of is None else of.astype(np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weights @ hits.astype(np.float64)) / whole)


def _auc(weights: Array, score: Array, good: NDArray[np.bool_]) -> Array:
    """Weighted share of GOOD and BAD couples in the right order (Mann-Whitney); ties count by halves."""
    values, group = np.unique(score, return_inverse=True)
    tied = np.zeros((len(score), len(values)))
    tied[np.arange(len(score)), group] = 1
    up, down = (weights * good) @ tied, (weights * ~good) @ tied
    below = np.cumsum(down, axis=1) - down
    with np.errstate(invalid="ignore"):
        return np.asarray((up * (below + down / 2)).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1)))


def _average_precision(weights: Array, score: Array, shown: NDArray[np.bool_]) -> Array:
    """Weighted mean of the precision at each answer that shows the signal, from the surest down."""
    order = np.argsort(-score, kind="stable")
    drawn, hits = weights[:, order], weights[:, order] * shown[order]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.cumsum(hits, axis=1) / np.cumsum(drawn, axis=1)
        return np.asarray(np.nansum(precision * hits, axis=1) / hits.sum(axis=1))


def _rank_correlation(weights: Array, score: Array, strength: Array) -> Array:
    """Weighted Pearson correlation of the ranks that the answers have in the whole sample (Spearman's rho)."""
    from scipy.stats import rankdata

    x, y = rankdata(score), rankdata(strength)
    total = weights.sum(axis=1)
    mean_x, mean_y = weights @ x / total, weights @ y / total
    cross = weights @ (x * y) / total - mean_x * mean_y
    spread_x, spread_y = weights @ x**2 / total - mean_x**2, weights @ y**2 / total - mean_y**2
    with np.errstate(invalid="ignore"):
        return np.asarray(cross / np.sqrt(spread_x * spread_y))


def _f1(weights: Array, called: NDArray[np.bool_], shown: NDArray[np.bool_]) -> Array:
    """(draws, 24) F1 of each signal; NaN where nobody shows it and nobody calls it."""
    hits = weights @ (called & shown)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * hits / (weights @ called.astype(np.float64) + weights @ shown.astype(np.float64)))


def _by_draw(answers: Judged, weights: Array) -> dict[str, Array]:
    """Every figure of :data:`FIGURES` for every draw, (draws,) each."""
    p, good = answers.p_good, answers.good
    bins = np.zeros((len(p), BINS))
    bins[np.arange(len(p)), np.minimum((p * BINS).astype(int), BINS - 1)] = 1
    gaps = np.abs((weights * (p - good)) @ bins).sum(axis=1) / weights.sum(axis=1)
    ahead, of = _pairs(answers)
    known = answers.annotated
    drawn = weights[:, known]
    called, shown, near = answers.called[known], answers.shown[known], answers.near[known]
    present = np.flatnonzero(shown.any(axis=0)).tolist()
    precision = [_average_precision(drawn, answers.strengths[known, s], shown[:, s]) for s in present]
    return {
        "accuracy": _share(weights, answers.right),
        "auc": _auc(weights, p, good),
        "pairs_right": _share(weights, ahead, of),
        "strength_rho": _rank_correlation(weights, p, answers.strength),
        "brier": _share(weights, (p - good) ** 2),
        "ece": gaps,
        "macro_f1": _mean(_f1(drawn, called, shown)[:, present]),
        "mean_average_precision": _mean(np.array(precision).T.reshape(len(weights), len(present))),
        "near_miss_false_alarms": _share(drawn, (near & called).sum(axis=1), near.sum(axis=1)),
    }


def _mean(table: Array) -> Array:
    """Mean over the columns of a row that are numbers; NaN where none is."""
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, table, 0).sum(axis=1) / known.sum(axis=1))


def _pairs(answers: Judged) -> tuple[Array, Array]:
    """For the GOOD twin of each whole pair 1, a half or 0 as it is ahead, level or behind; and where there is one."""
    ahead, of = np.zeros(len(answers.id)), np.zeros(len(answers.id))
    twins: dict[str, list[int]] = {}
    for row, pair in enumerate(answers.pair.tolist()):
        if pair:
            twins.setdefault(pair, []).append(row)
    for rows in twins.values():
        if len(rows) == 2:
            good, bad = sorted(rows, key=lambda r: not answers.good[r])
            margin = answers.p_good[good] - answers.p_good[bad]
            ahead[good], of[good] = 0.5 if margin == 0 else float(margin > 0), 1
    return ahead, of


def _difference(
    name: str, title: str, n: int, old: Array, new: Array, edges: tuple[float, float], lower: bool = False
) -> Difference:
    gap = (new - old)[1:]
    low, high = np.nanquantile(gap, edges) if np.isfinite(gap).any() else (np.nan, np.nan)
    was, now, low, high = (round(float(v), 4) for v in (old[0], new[0], low, high))
    return Difference(name, title, n, was, now, low, high, lower)


def _figures(was: Judged, now: Judged, weights: Array, edges: tuple[float, float]) -> tuple[Difference, ...]:
    old, new = _by_draw(was, weights), _by_draw(now, weights)
    return tuple(
        _difference(name, title, len(was.id), old[name], new[name], edges, name in LOWER_IS_BETTER)
        for name, title in FIGURES.items()
        if np.isfinite(old[name][0]) and np.isfinite(new[name][0])
    )


def _slices(was: Judged, now: Judged, weights: Array, edges: tuple[float, float]) -> tuple[Difference, ...]:
    found = []
    for field in ("setting", "round", "style"):
        values = getattr(was, field)
        for value in sorted(set(values.tolist())):
            rows = np.flatnonzero(values == value)
            old, new = (_share(weights[:, rows], side.right[rows]) for side in (was, now))
            found.append(_difference(f"{field}={value}", value.replace("_", " "), len(rows), old, new, edges))
    return tuple(found)


def _signals(was: Judged, now: Judged, weights: Array, edges: tuple[float, float]) -> tuple[Difference, ...]:
    known = was.annotated & now.annotated
    drawn, shown = weights[:, known], now.shown[known]
    old, new = _f1(drawn, was.called[known], shown), _f1(drawn, now.called[known], shown)
    return tuple(
        _difference(s, SIGNALS[s].name, int(shown[:, i].sum()), old[:, i], new[:, i], edges)
        for i, s in enumerate(SIGNAL_IDS)
        if shown[:, i].any()
    )


def _changed(was: Judged, now: Judged) -> tuple[Changed, ...]:
    rows = np.flatnonzero(was.verdict != now.verdict)
    order = rows[np.argsort(-np.abs(now.p_good[rows] - was.p_good[rows]), kind="stable")]
    return tuple(
        Changed(
            id=str(was.id[row]),
            round=str(was.round[row]),
            label="GOOD" if was.good[row] else "BAD",
            old_verdict=str(was.verdict[row]),
            new_verdict=str(now.verdict[row]),
            old_p=round(float(was.p_good[row]), 3),
            new_p=round(float(now.p_good[row]), 3),
            why=_why(was, now, row),
        )
        for row in order.tolist()
    )


def _why(was: Judged, now: Judged, row: int) -> tuple[str, ...]:
    """The two signals that moved most the way the verdict did; weights or band where none did."""
    step = now.strengths[row] - was.strengths[row]
    pull = step * SIGN * np.sign(now.p_good[row] - was.p_good[row])
    moved = [i for i in np.argsort(-pull)[:2].tolist() if pull[i] >= MOVED]
    if not moved:
        return ("no signal moved much: weights or band did",)
    return tuple(
        f"{SIGNALS[SIGNAL_IDS[i]].name} {was.strengths[row, i]:.2f} → {now.strengths[row, i]:.2f}" for i in moved
    )
