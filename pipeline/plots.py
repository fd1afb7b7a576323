"""Pictures of an evaluation, for MLflow and for people: drawn from the tables that `dvc plots` reads."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.records import Exemplar

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(tables: Path, learning_curve: Path, target: Path) -> list[Path]:
    """Draw calibration, signals, confusion, precision-recall and the learning curve as PNG files into ``target``.

    Args:
        tables: the folder with the CSV files of `dvc plots`.
        learning_curve: `metrics/learning_curve.json`; left out if there is none.
        target: made if absent.
    """
    from matplotlib.figure import Figure

    target.mkdir(parents=True, exist_ok=True)

    calibration = _rows(tables / "calibration.csv")
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    predicted, observed = ([float(r[k]) for r in calibration] for k in ("predicted", "observed"))
    axes.plot(predicted, observed, marker="o")
    for x, y, row in zip(predicted, observed, calibration, strict=True):
        axes.annotate(f"n={row['n']}", (x, y), textcoords="offset points", xytext=(4, -12), fontsize=8)
    axes.set(xlabel="predicted p(GOOD)", ylabel="share that is GOOD", title="Calibration, leave-author-out")
    figure.savefig(target / "calibration.png", dpi=110)

    signals = sorted(_rows(tables / "signals.csv"), key=lambda r: float(r["f1"]))
    figure = Figure(figsize=(7, 7), layout="constrained")
    axes = figure.subplots()
    axes.barh([f"{r['signal']} (n={r['n']})" for r in signals], [float(r["f1"]) for r in signals])
    axes.set(xlabel="F1, leave-author-out", xlim=(0, 1), title="Does the answer show the signal?")
    figure.savefig(target / "signals.png", dpi=110)

    confusion = _rows(tables / "confusion.csv")
    said = ("GOOD", "BORDERLINE", "BAD")
    counts = [[sum(r["actual"] == a and r["predicted"] == p for r in confusion) for p in said] for a in ("GOOD", "BAD")]
    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    for y_at, values in enumerate(counts):
        for x_at, value in enumerate(values):
            axes.text(x_at, y_at, str(value), ha="center", va="center")
    axes.set_xticks(range(3), said)
    axes.set_yticks(range(2), ("GOOD", "BAD"))
    axes.set(xlabel="said", ylabel="labelled", title="Verdicts, leave-author-out")
    figure.savefig(target / "confusion.png", dpi=110)

    curves: dict[str, list[tuple[float, float]]] = {}
    for row in _rows(tables / "precision_recall.csv"):
        curves.setdefault(row["signal"], []).append((float(row["recall"]), float(row["precision"])))
    figure = Figure(figsize=(12, 8), layout="constrained")
    places = figure.subplots(4, 6, sharex=True, sharey=True).flat
    for axes, (signal, points) in zip(places, curves.items(), strict=False):
        axes.plot(*zip(*points, strict=True))
        axes.set_title(signal, fontsize=8)
    figure.supxlabel("recall")
    figure.supylabel("precision")
    figure.suptitle("Does the answer show the signal? Precision against recall, leave-author-out")
    figure.savefig(target / "precision_recall.png", dpi=110)

    if learning_curve.is_file():
        _draw_curve(json.loads(learning_curve.read_text(encoding="utf-8")), target / "learning_curve.png")
    return sorted(target.glob("*.png"))


def _draw_curve(measured: dict[str, Any], target: Path) -> None:
    from matplotlib.figure import Figure

    rows = measured["by_authors"]
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    for name, title in (("pairs_right", "pairs right"), ("auc", "AUC"), ("mean_average_precision", "signals, mAP")):
        axes.plot([r["authors"] for r in rows], [r[name] for r in rows], marker="o", label=title)
    axes.set(xlabel="authors to learn from", ylim=(0, 1), title=f"Adapter alone, corpus {measured['corpus']}")
    axes.legend()
    figure.savefig(target, dpi=110)


def corpus_pictures(exemplars: Sequence[Exemplar], measured: dict[str, Any]) -> dict[str, str]:
    """Pictures of the corpus as SVG text, by title: lengths, signals, near misses, agreement."""
    from matplotlib.figure import Figure

    pictures = {}
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    lengths = [[len(e.text.split()) for e in exemplars if e.verdict == v] for v in ("GOOD", "BAD")]
    axes.hist(lengths, bins=30, label=["GOOD", "BAD"])
    axes.set(xlabel="words", ylabel="answers")
    axes.legend()
    pictures["Length by verdict"] = _svg(figure)

    signals = measured["signals"]
    names = list(signals)[::-1]
    places = range(len(names))
    figure = Figure(figsize=(7, 7.5), layout="constrained")
    axes = figure.subplots()
    good = [signals[n]["in_good"] for n in names]
    axes.barh(places, good, label="shown in GOOD")
    axes.barh(
        places, [signals[n]["answers"] - g for n, g in zip(names, good, strict=True)], left=good, label="shown in BAD"
    )
    axes.plot([signals[n].get("near_misses") for n in names], list(places), "kx", label="near misses")
    axes.set_yticks(list(places), names)
    axes.set(xlabel="answers")
    axes.legend()
    pictures["Signals and near misses"] = _svg(figure)

    if f1 := measured["agreement"].get("f1"):
        names = sorted(f1, key=lambda n: f1[n])
        figure = Figure(figsize=(7, 6.5), layout="constrained")
        axes = figure.subplots()
        axes.barh(names, [f1[n] for n in names])
        axes.axvline(0.8, color="0.4", linewidth=1)
        axes.set(xlabel="F1 between writer and blind reader", xlim=(0, 1))
        pictures["Agreement on signals"] = _svg(figure)
    return pictures


def _svg(figure: Figure) -> str:
    """A figure as an ``<svg>`` element, the same bytes for the same figure."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "debrief", "svg.fonttype": "none"}):
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
