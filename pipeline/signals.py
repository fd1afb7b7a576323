"""The catalogue of signals: ids, polarity and names, in one fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import yaml

ROUNDS = ("product_sense", "behavioral", "analytical", "system_design")
NEAR_MISS_KINDS = ("negated", "other_person", "wished", "general_advice", "mere_word", "no_reason")


@dataclass(frozen=True)
class Signal:
    """One thing the codebook defines."""

    id: str
    polarity: str  # "positive" or "negative"
    name: str
    shows: str


def _catalogue() -> dict[str, Signal]:
    tree = yaml.safe_load(files("pipeline").joinpath("signals.yaml").read_text(encoding="utf-8"))
    return {
        signal_id: Signal(signal_id, polarity, entry["name"], entry["shows"])
        for polarity in ("positive", "negative")
        for signal_id, entry in tree[polarity].items()
    }


SIGNALS = _catalogue()
SIGNAL_IDS = tuple(SIGNALS)
POSITIVE = tuple(s.id for s in SIGNALS.values() if s.polarity == "positive")
NEGATIVE = tuple(s.id for s in SIGNALS.values() if s.polarity == "negative")
