"""What keeps a challenger from becoming champion: the rules are in params.yaml, the figures in the comparison."""

from __future__ import annotations

from pipeline.compare import Comparison
from pipeline.params import PromoteParams

GUARDED = ("accuracy", "auc", "pairs_right", "macro_f1", "mean_average_precision")


def objections(found: Comparison, rules: PromoteParams) -> list[str]:
    """Every rule the new version breaks, as a sentence with its numbers; empty if it may be promoted."""
    said = []
    if found.answers < rules.min_answers:
        said.append(f"only {found.answers} held-out answers in common, {rules.min_answers} are wanted")
    for d in [*(f for f in found.figures if f.name in GUARDED), *found.slices]:
        if d.trend == "worse":
            said.append(
                f"{d.title} is worse: {d.old:.3f} → {d.new:.3f} "
                f"({found.level:.0%} interval of the difference {d.low:+.3f} to {d.high:+.3f}, n = {d.n})"
            )
    return said + robustness_objections(found.old_robustness, found.new_robustness, rules)


def robustness_objections(
    old: dict[str, dict[str, float]], new: dict[str, dict[str, float]], rules: PromoteParams
) -> list[str]:
    """The same for the disturbances; ``old`` may be empty, as for a first champion."""
    said = []
    if not new:
        return ["its robustness was not measured"]
    for name, row in new.items():
        before = old.get(name)
        if before and row["mean_change"] > before["mean_change"] + rules.robust_margin:
            said.append(
                f"{name} answers move p(GOOD) by {row['mean_change']:.3f} on average, "
                f"{before['mean_change']:.3f} before; {rules.robust_margin} more is allowed"
            )
    swapped, stuffed = new.get("swapped"), new.get("stuffed")
    if swapped and swapped["mean_change"] > rules.max_swapped:
        said.append(
            f"swapped names, sexes and places move p(GOOD) by {swapped['mean_change']:.3f} on average, "
            f"{rules.max_swapped} is allowed"
        )
    if stuffed and stuffed["raised_to_good"] > rules.max_stuffed:
        said.append(
            f"stuffing with cue words makes {stuffed['raised_to_good']:.1%} of BAD answers GOOD, "
            f"{rules.max_stuffed:.1%} is allowed"
        )
    return said
