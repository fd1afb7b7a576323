"""Pictures of an evaluation, for MLflow and for people: drawn from the tables that `dvc plots` reads."""

from __future__ import annotations

import csv
from pathlib import Path


def draw(tables: Path, target: Path) -> list[Path]:
    """Draw `calibration.png`, `signals.png` and `confusion.png` into ``target`` from the CSV files in ``tables``."""
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
    return sorted(target.glob("*.png"))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
