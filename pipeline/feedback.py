"""Put into words what the numbers say of one answer. Every sentence rests on evidence, a rubric line or an exemplar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.model import Model
from pipeline.records import Evidence, MissingSignal, Neighbour, ShownSignal
from pipeline.rubric import Rubric
from pipeline.signals import POSITIVE, SIGNAL_IDS, SIGNALS
from pipeline.verdict import VerdictModel

MAX_MISSING = 3  # more advice than three points is not taken; chosen
SHOWN_STRENGTH = 0.95  # what `p_good_if_shown` takes for a signal clearly shown; chosen
QUOTE_WORDS = 22
ASKED_WORDS = 14
WHY_WORDS = 10


def shown_signals(evidence: dict[str, list[Evidence]], strengths: NDArray[np.float64]) -> list[ShownSignal]:
    """The signals that have evidence, positive ones first, surest first."""
    shown = [
        ShownSignal(
            id=signal,
            polarity="positive" if signal in POSITIVE else "negative",
            confidence=round(float(strengths[SIGNAL_IDS.index(signal)]), 4),
            evidence=pieces,
        )
        for signal, pieces in evidence.items()
    ]
    return sorted(shown, key=lambda s: (s.polarity != "positive", -s.confidence, s.id))


def missing_signals(
    verdict: VerdictModel, rubric: Rubric, round_: str, strengths: NDArray[np.float64], shown: list[ShownSignal]
) -> list[MissingSignal]:
    """The absent positive signals that would lift the verdict most, each with the verdict recomputed as if shown."""
    weights = rubric.weights(round_)
    have = {s.id for s in shown}
    quotes = {s.id: quote(s.evidence[0].text, ASKED_WORDS) for s in shown}
    now = float(verdict.p_good(strengths, weights))
    options = []
    for column, signal in enumerate(SIGNAL_IDS):
        if signal in have or signal not in POSITIVE:
            continue
        raised = strengths.copy()
        raised[column] = max(raised[column], SHOWN_STRENGTH)
        lifted = float(verdict.p_good(raised, weights))
        if lifted - now < 0.005:
            continue
        words = rubric.words(signal, round_)
        ask = rubric.asked_about(signal, quotes) or words.ask
        options.append(MissingSignal(id=signal, advice=words.advice, ask=ask, p_good_if_shown=round(lifted, 4)))
    # what the round asks for first comes before what would merely lift the number
    return sorted(options, key=lambda m: (-m.p_good_if_shown, -weights[SIGNAL_IDS.index(m.id)]))[:MAX_MISSING]


def nearest_exemplars(model: Model, vector: NDArray[np.float32]) -> list[Neighbour]:
    """The nearest GOOD and the nearest BAD exemplar, nearest first; cosine of unit answer vectors."""
    if not len(model.exemplars):
        return []
    similarity = model.vectors.astype(np.float32) @ vector
    found = []
    for verdict in ("GOOD", "BAD"):
        rows = [i for i, e in enumerate(model.exemplars) if e.verdict == verdict]
        if rows:
            best = max(rows, key=lambda i: (float(similarity[i]), model.exemplars[i].id))
            found.append(
                Neighbour(
                    exemplar=model.exemplars[best].id,
                    verdict=model.exemplars[best].verdict,
                    similarity=round(float(similarity[best]), 4),
                )
            )
    return sorted(found, key=lambda n: -n.similarity)


def reasons(
    model: VerdictModel,
    rubric: Rubric,
    round_: str,
    verdict: str,
    shown: list[ShownSignal],
    missing: list[MissingSignal],
) -> list[str]:
    """Plain sentences why: the verdict in one line with its quotes, then what is absent; what pulled most first."""
    pull = np.abs(model.weights * rubric.weights(round_))
    order = sorted(shown, key=lambda s: -pull[SIGNAL_IDS.index(s.id)] * s.confidence)
    for_it = [s for s in order if s.polarity == "positive"][:3]
    against = [s for s in order if s.polarity == "negative"][:2]
    first, then = (against, for_it) if verdict == "BAD" else (for_it, against)
    lines = [_said(s) for s in first]
    if then:
        lines += [("but " if lines and at == 0 else "") + _said(s) for at, s in enumerate(then)]
    if not for_it:
        lines.append("none of the signals this round looks for was found")
    said = [f"{_LEAD[verdict]}: {'; '.join(lines)}."]
    if for_it and verdict != "GOOD" and missing:
        said.append(f"Not found: {' or '.join(m.name for m in missing[:2])}.")
    return said


_LEAD = {"BORDERLINE": "BORDERLINE, a person should look", "GOOD": "GOOD", "BAD": "BAD"}


def _said(signal: ShownSignal) -> str:
    return f"{SIGNALS[signal.id].shows} (“{quote(signal.evidence[0].text, WHY_WORDS)}”)"


def quote(text: str, words: int = QUOTE_WORDS) -> str:
    """``text`` on one line to stand inside a sentence: cut to so many words with an ellipsis, no stop at its end."""
    parts = text.split()
    return " ".join(parts).rstrip(".,;: ") if len(parts) <= words else " ".join(parts[:words]) + " …"
