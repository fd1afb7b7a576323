"""Measure what the model would say of authors it never saw, beside baselines on the same folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pipeline.adapter import Adapter
from pipeline.encode import Encoder
from pipeline.evidence import TokenView, find_evidence
from pipeline.features import BLOCKS, columns_without, feature_names
from pipeline.heldout import Judged, judged
from pipeline.model import Model
from pipeline.ngrams import NgramReader
from pipeline.params import Params
from pipeline.records import Exemplar
from pipeline.robust import Disturbed, disturb, robustness_figures
from pipeline.rounds import RoundPredictor
from pipeline.rubric import Rubric, read_rubric
from pipeline.score import Scorer
from pipeline.segment import Splitter
from pipeline.signals import ROUNDS, SIGNAL_IDS
from pipeline.train import Featurized, Fitted, fit_stack, shown_matrix

Array = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows to train on, rows held out
INNER_FOLDS = 4
RESAMPLES = 1000
CURVE_POINTS = 40  # of a precision-recall curve, evenly spaced along it


@dataclass(frozen=True)
class HeldOut:
    """What was said of each answer by a model that never saw its author: (n,) and (n, 24) arrays."""

    p_good: Array
    verdict: list[str]
    strengths: Array
    called: NDArray[np.bool_]
    evidence: list[dict[str, list[tuple[int, int]]]]

    def take(self, rows: NDArray[np.int64]) -> HeldOut:
        """The same for some answers only."""
        picked = rows.tolist()
        return HeldOut(
            self.p_good[rows],
            [self.verdict[i] for i in picked],
            self.strengths[rows],
            self.called[rows],
            [self.evidence[i] for i in picked],
        )


def outer_folds(data: Featurized) -> list[Fold]:
    """The folds of the adapters: rows of authors an adapter saw, rows of authors it did not."""
    return [(np.flatnonzero(data.fold != k), np.flatnonzero(data.fold == k)) for k in range(int(data.fold.max()) + 1)]


def predict_held_out(
    data: Featurized,
    exemplars: Sequence[Exemplar],
    params: Params,
    folds: Sequence[Fold],
    advance: Callable[[int], None] | None = None,
    rubric: Rubric | None = None,
) -> tuple[HeldOut, list[Fitted]]:
    """Predictions for the held-out rows of each fold; every fold refits heads, thresholds, verdict and band.

    What these are fitted on was read by other folds' adapters. Those saw the held-out authors, so an answer can reach
    its own prediction by how it moved other authors' features; the test authors, whom no adapter saw, show that this
    is small.
    """
    rubric = rubric or read_rubric()
    n = len(exemplars)
    held = HeldOut(np.zeros(n), [""] * n, np.zeros((n, 24)), np.zeros((n, 24), np.bool_), [{} for _ in range(n)])
    fits = []
    for train, test in folds:
        fitted = fit_stack(data.take(train), [exemplars[i] for i in train], params, rubric, INNER_FOLDS)
        if len(test):  # a small corpus may leave a fold without authors
            predict_into(held, fitted, data, exemplars, test, rubric)
        fits.append(fitted)
        if advance:
            advance(1)
    return held, fits


def predict_into(
    held: HeldOut,
    fitted: Fitted,
    data: Featurized,
    exemplars: Sequence[Exemplar],
    rows: NDArray[np.int64],
    rubric: Rubric,
) -> None:
    """Fill the given rows of ``held`` with what ``fitted`` says."""
    part = data.take(rows)
    probabilities = fitted.heads.probabilities(part.features)
    strengths = part.strengths(probabilities)
    weights = np.array([rubric.weights(exemplars[i].round) for i in rows])
    p_good = fitted.verdict.p_good(strengths, weights)
    for at, row in enumerate(rows):
        inside, mine = part.owner == at, part.token_owner == at
        held.p_good[row] = p_good[at]
        held.verdict[row] = fitted.verdict.verdict(float(p_good[at]))
        held.strengths[row] = strengths[at]
        held.called[row] = strengths[at] >= fitted.thresholds
        text = exemplars[row].text
        spans = [(int(a), int(b)) for a, b in part.spans[inside]]
        tokens = TokenView(part.tokens[mine], expit(part.token_logits[mine].astype(np.float64)))
        # rules only name a source here, not the words, so they need not be read again
        found = find_evidence(text, spans, probabilities[inside], fitted.thresholds, (), tokens)
        held.evidence[row] = {s: [(e.start, e.end) for e in pieces] for s, pieces in found.items()}


# --- figures -------------------------------------------------------------------------------------------------


def verdict_figures(p_good: Array, exemplars: Sequence[Exemplar]) -> dict[str, float]:
    """Accuracy, AUC, share of pairs ranked right, Brier score, calibration error and rank correlation.

    ``ece`` is the expected calibration error over ten equal-width bins (Guo et al. 2017); ``strength_rho`` is
    Spearman's correlation of ``p_good`` with the annotated strength.
    """
    good = np.array([e.is_good for e in exemplars])
    strength = np.array([e.strength for e in exemplars])
    return _figures(p_good, good, strength, _margins(p_good, exemplars))


def _figures(p_good: Array, good: NDArray[np.bool_], strength: Array, margins: Array) -> dict[str, float]:
    from scipy.stats import spearmanr
    from sklearn.metrics import brier_score_loss, roc_auc_score

    both = bool(good.any() and not good.all())
    return {
        "accuracy": float(((p_good >= 0.5) == good).mean()),
        "auc": float(roc_auc_score(good, p_good)) if both else float("nan"),
        "pairs_right": _share_right(margins),
        "brier": float(brier_score_loss(good, np.clip(p_good, 0, 1))),
        "ece": calibration_error(p_good, good),
        "strength_rho": float(spearmanr(p_good, strength).statistic) if np.ptp(p_good) else 0.0,
    }


def pairs_right(p_good: Array, exemplars: Sequence[Exemplar]) -> float:
    """Share of minimal pairs whose GOOD twin has the higher score; a tie counts one half."""
    return _share_right(_margins(p_good, exemplars))


def _margins(p_good: Array, exemplars: Sequence[Exemplar]) -> Array:
    """By how much the GOOD twin of each whole pair is ahead, (n_pairs,)."""
    twins: dict[str, dict[str, float]] = {}
    for score, e in zip(p_good, exemplars, strict=True):
        if e.pair:
            twins.setdefault(e.pair, {})[e.verdict] = float(score)
    return np.array([t["GOOD"] - t["BAD"] for t in twins.values() if len(t) == 2])


def _share_right(margins: Array) -> float:
    return float(np.where(margins == 0, 0.5, margins > 0).mean()) if len(margins) else float("nan")


def calibration_error(p_good: Array, good: NDArray[np.bool_], bins: int = 10) -> float:
    """Mean absolute gap between predicted and observed share of GOOD, weighted by bin size."""
    which = np.minimum((p_good * bins).astype(int), bins - 1)
    gaps = [abs(p_good[which == b].mean() - good[which == b].mean()) * (which == b).mean() for b in set(which.tolist())]
    return float(sum(gaps))


def with_intervals(p_good: Array, exemplars: Sequence[Exemplar], seed: int) -> dict[str, dict[str, float]]:
    """Each figure with a 95% bootstrap interval that resamples whole authors (answers of one author are alike)."""
    rng = np.random.default_rng(seed)
    authors = sorted({e.author for e in exemplars})
    rows = [np.array([i for i, e in enumerate(exemplars) if e.author == a]) for a in authors]
    # a pair is one author's, so its margin is drawn with the author
    margins = [_margins(p_good[mine], [exemplars[i] for i in mine.tolist()]) for mine in rows]
    good = np.array([e.is_good for e in exemplars])
    strength = np.array([e.strength for e in exemplars])
    point = verdict_figures(p_good, exemplars)
    draws: dict[str, list[float]] = {name: [] for name in point}
    for _ in range(RESAMPLES if len(authors) > 2 else 0):
        picked = rng.choice(len(authors), len(authors))
        sample = np.concatenate([rows[a] for a in picked])
        drawn = np.concatenate([margins[a] for a in picked])
        for name, value in _figures(p_good[sample], good[sample], strength[sample], drawn).items():
            draws[name].append(value)
    return {
        name: {
            "value": round(value, 4),
            **({"low": _quantile(draws[name], 0.025), "high": _quantile(draws[name], 0.975)} if draws[name] else {}),
        }
        for name, value in point.items()
    }


def _quantile(values: list[float], q: float) -> float:
    return round(float(np.nanquantile(values, q)), 4)


def signal_figures(held: HeldOut, exemplars: Sequence[Exemplar]) -> dict[str, Any]:
    """Per signal: support, precision, recall, F1, average precision, evidence F1, near-miss false alarms; and means.

    Evidence counts as found when its tokens' intersection over union with an annotated span is at least one half;
    a near-miss false alarm is a signal called in an answer that shows only a near miss of it.
    """
    from sklearn.metrics import average_precision_score

    rows = np.flatnonzero([e.annotated for e in exemplars])  # of the others nobody knows what they show
    held, exemplars = held.take(rows), [exemplars[i] for i in rows.tolist()]
    shown = shown_matrix(exemplars)
    table: dict[str, dict[str, float | int]] = {}
    for column, signal in enumerate(SIGNAL_IDS):
        truth, called = shown[:, column], held.called[:, column]
        hit = int((truth & called).sum())
        near = np.array([any(m.id == signal for m in e.near_misses) for e in exemplars]) & ~truth
        gold = [[(s.start, s.end) for s in e.shown if s.id == signal] for e in exemplars]
        table[signal] = {
            "n": int(truth.sum()),
            "precision": round(hit / max(1, int(called.sum())), 4),
            "recall": round(hit / max(1, int(truth.sum())), 4),
            "f1": round(2 * hit / max(1, int(truth.sum() + called.sum())), 4),
            "average_precision": round(float(average_precision_score(truth, held.strengths[:, column])), 4)
            if truth.any()
            else 0.0,
            "evidence_f1": round(_evidence_f1(gold, [f.get(signal, []) for f in held.evidence], exemplars), 4),
            "near_misses": int(near.sum()),
            "near_miss_false_alarms": round(float(called[near].mean()), 4) if near.any() else 0.0,
        }
    present = [row for row in table.values() if row["n"]]
    near_total = sum(int(row["near_misses"]) for row in table.values())
    return {
        "macro_f1": round(float(np.mean([row["f1"] for row in present])), 4),
        "mean_average_precision": round(float(np.mean([row["average_precision"] for row in present])), 4),
        "evidence_macro_f1": round(float(np.mean([row["evidence_f1"] for row in present])), 4),
        "near_miss_false_alarms": round(
            sum(row["near_miss_false_alarms"] * row["near_misses"] for row in table.values()) / max(1, near_total),
            4,
        ),
        "near_misses": near_total,
        "by_signal": table,
    }


def _evidence_f1(
    gold: list[list[tuple[int, int]]], found: list[list[tuple[int, int]]], exemplars: Sequence[Exemplar]
) -> float:
    matched_gold = matched_found = n_gold = n_found = 0
    for want, got, e in zip(gold, found, exemplars, strict=True):
        want_words = [_word_places(e.text, s) for s in want]
        got_words = [_word_places(e.text, s) for s in got]
        matched_gold += sum(any(_iou(w, g) >= 0.5 for g in got_words) for w in want_words)
        matched_found += sum(any(_iou(w, g) >= 0.5 for w in want_words) for g in got_words)
        n_gold, n_found = n_gold + len(want), n_found + len(got)
    precision, recall = matched_found / max(1, n_found), matched_gold / max(1, n_gold)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _word_places(text: str, span: tuple[int, int]) -> set[int]:
    """Indexes of the words that a span touches."""
    before = len(text[: span[0]].split())
    if span[0] and not text[span[0] - 1].isspace() and not text[span[0]].isspace():
        before -= 1
    return set(range(before, before + len(text[span[0] : span[1]].split())))


def _iou(one: set[int], two: set[int]) -> float:
    return len(one & two) / max(1, len(one | two))


# --- baselines -----------------------------------------------------------------------------------------------


def baselines(data: Featurized, exemplars: Sequence[Exemplar], folds: Sequence[Fold]) -> dict[str, Array]:
    """Held-out p(GOOD) of five simpler ways, on the same folds as the model."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    texts = np.array([e.text for e in exemplars], dtype=object)
    good = np.array([e.is_good for e in exemplars])
    length = np.log([[len(t.split())] for t in texts])
    found = {name: np.zeros(len(texts)) for name in ("majority", "length", "tfidf", "embedding", "nearest")}
    for train, test in folds:
        y = good[train]
        found["majority"][test] = y.mean()
        ways = {
            "length": (make_pipeline(StandardScaler(), LogisticRegression()), length),
            "tfidf": (
                make_pipeline(
                    TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
                    LogisticRegression(C=10, max_iter=2000),
                ),
                texts,
            ),
            "embedding": (LogisticRegression(C=10, max_iter=2000), data.plain_answers),
        }
        for name, (way, x) in ways.items():
            found[name][test] = way.fit(x[train], y).predict_proba(x[test])[:, 1]
        similarity = data.plain_answers[test] @ data.plain_answers[train].T
        found["nearest"][test] = y[similarity.argmax(axis=1)]
    return found


def ablations(
    data: Featurized, exemplars: Sequence[Exemplar], params: Params, advance: Callable[[int], None] | None = None
) -> dict[str, dict[str, float]]:
    """What is lost when one part is left out and everything after it is fitted again."""
    rubric = read_rubric()
    rules = [i for i, name in enumerate(feature_names()) if not name.startswith(("sentence.", "token.", "elsewhere."))]
    frozen = np.hstack([data.plain_sentences, data.features[:, rules]])
    plain = {r: entry.model_copy(update={"weights": {}}) for r, entry in rubric.rounds.items()}
    ways = {
        "whole model": (data, rubric),
        **{
            f"without {block}": (replace(data, features=data.features[:, columns_without(block)]), rubric)
            for block in BLOCKS
        },
        "without fine-tuning (the frozen encoder's sentence vectors)": (replace(data, features=frozen), rubric),
        "without negative signals in the verdict": (data, rubric.model_copy(update={"negative": 0.0})),
        "without the round's rubric": (
            data,
            rubric.model_copy(update={"rounds": plain, "other": 1.0, "negative": 1.0}),
        ),
    }
    everyday = np.flatnonzero([e.setting == "everyday" for e in exemplars])
    table = {}
    for name, (part, bar) in ways.items():
        held, _ = predict_held_out(part, exemplars, params, outer_folds(data), rubric=bar)
        signals = signal_figures(held, exemplars)
        figures = verdict_figures(held.p_good, exemplars)
        some = verdict_figures(held.p_good[everyday], [exemplars[i] for i in everyday.tolist()])
        table[name] = {
            **{k: round(figures[k], 4) for k in ("accuracy", "auc", "pairs_right", "strength_rho")},
            "everyday_accuracy": round(some["accuracy"], 4),
            **{k: signals[k] for k in ("macro_f1", "mean_average_precision", "near_miss_false_alarms")},
        }
        if advance:
            advance(1)
    return table


@dataclass(frozen=True)
class Evaluation:
    """All figures on the ``train`` split, leave-author-out.

    ``metrics`` is nested and JSON-ready; ``tables`` are those behind the plots, a row a dict; ``fits`` what was fitted
    for each fold; ``answers`` what was said of each answer.
    """

    metrics: dict[str, Any]
    tables: dict[str, list[dict[str, Any]]]
    fits: list[Fitted]
    answers: Judged


def evaluate(
    data: Featurized,
    exemplars: Sequence[Exemplar],
    params: Params,
    advance: Callable[[int], None] | None = None,
) -> Evaluation:
    """Fit and judge every fold, then the baselines and the ablations on the same folds."""
    rows = [i for i, e in enumerate(exemplars) if e.split == "train"]
    part, kept = data.take(rows), [exemplars[i] for i in rows]
    folds = outer_folds(part)
    held, fits = predict_held_out(part, kept, params, folds, advance)
    said = baselines(part, kept, folds)
    metrics = _metrics(f"leave-author-out, {len(folds)} folds over the train authors", held, said, kept, params.seed)
    metrics["ablations"] = ablations(part, kept, params, advance)
    return Evaluation(metrics, plot_tables(held, kept, metrics), fits, judged(held, kept))


def headline(metrics: dict[str, Any], robustness: dict[str, Any]) -> dict[str, Any]:
    """The twenty numbers to look at first, flat, for `dvc metrics diff` and `dvc exp show`."""
    verdict, signals, band = metrics["verdict"], metrics["signals"], metrics["band"]
    disturbed = robustness["by_disturbance"]
    return {
        "answers": metrics["n"]["answers"],
        "authors": metrics["n"]["authors"],
        **{name: figure["value"] for name, figure in verdict.items()},
        **{f"{name}_accuracy": metrics["slices"][f"setting={name}"]["accuracy"] for name in ("everyday", "professional")
           if f"setting={name}" in metrics["slices"]},
        "tfidf_accuracy": metrics["baselines"]["tfidf"]["accuracy"]["value"],
        "embedding_accuracy": metrics["baselines"]["embedding"]["accuracy"]["value"],
        "outside_band_accuracy": band["accuracy_outside"],
        "outside_band_share": band["coverage"],
        **{name: signals[name] for name in ("macro_f1", "mean_average_precision", "evidence_macro_f1",
                                            "near_miss_false_alarms")},
        "swapped_mean_change": disturbed["swapped"]["mean_change"],
        "stuffed_raised_to_good": disturbed["stuffed"]["raised_to_good"],
        "worst_flips": max(row["flips"] for name, row in disturbed.items() if name != "stuffed"),
    }  # fmt: skip


def robustness(
    fits: Sequence[Fitted],
    encoders: Sequence[Encoder],
    ngrams: Sequence[NgramReader],
    exemplars: Sequence[Exemplar],
    folds: Sequence[int],
    params: Params,
    splitter: Splitter,
    advance: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """How far each disturbance moves the verdict on answers of authors the scoring model never saw.

    Args:
        fits: what was fitted for each fold.
        encoders: for each fold, the encoder that never saw its authors.
        ngrams: likewise the n-gram reader.
        exemplars: the train split.
        folds: the fold that holds out each exemplar.
        params: ``evaluate.robust_answers`` is how many answers are drawn, spread evenly.
        splitter: as in use.
        advance: told of encoded windows.
    """
    every = max(1, round(len(exemplars) / params.evaluate.robust_answers))
    found: list[Disturbed] = []
    for fold, (fitted, encoder, reader) in enumerate(zip(fits, encoders, ngrams, strict=True)):
        chosen = [e for e, f in zip(exemplars[::every], folds[::every], strict=True) if f == fold]
        scorer = Scorer(_bare_model(fitted, reader, params, splitter), encoder, read_rubric())
        found += disturb(scorer, chosen, params.seed, advance)
    return {"answers": len(exemplars[::every]), "by_disturbance": robustness_figures(found)}


def _bare_model(fitted: Fitted, ngrams: NgramReader, params: Params, splitter: Splitter) -> Model:
    """A model without exemplars and round predictor: the rounds of exemplars are known."""
    nothing = np.zeros((0, 0), np.float32)
    return Model(
        corpus="",
        encoder=params.encoder,
        adapter=Adapter({}),
        ngrams=ngrams,
        segment=params.segment,
        splitter=splitter,
        heads=fitted.heads,
        thresholds=fitted.thresholds,
        verdict=fitted.verdict,
        rounds=RoundPredictor(nothing, nothing),
        exemplars=(),
        vectors=nothing.astype(np.float16),
        good_rate=0.5,
    )


def evaluate_test(data: Featurized, exemplars: Sequence[Exemplar], params: Params) -> dict[str, Any]:
    """The same figures on the ``test`` authors, once, by a model of the train authors. Never choose by these."""
    train, test = (np.flatnonzero([e.split == side for e in exemplars]) for side in ("train", "test"))
    held, _ = predict_held_out(data, exemplars, params, [(train, test)])
    said = baselines(data, exemplars, [(train, test)])
    kept = [exemplars[i] for i in test.tolist()]
    trained = len({exemplars[i].author for i in train.tolist()})
    name = f"test authors, by a model of {len(train)} answers of {trained} train authors"
    return _metrics(name, held.take(test), {n: p[test] for n, p in said.items()}, kept, params.seed)


def _metrics(
    split: str, held: HeldOut, said: dict[str, Array], exemplars: Sequence[Exemplar], seed: int
) -> dict[str, Any]:
    good = np.array([e.is_good for e in exemplars])
    sure = np.array([v != "BORDERLINE" for v in held.verdict])
    right = np.array([v == e.verdict for v, e in zip(held.verdict, exemplars, strict=True)])
    slices = {
        **{f"setting={s}": [e.setting == s for e in exemplars] for s in ("everyday", "professional")},
        **{f"round={r}": [e.round == r for e in exemplars] for r in ROUNDS},
        **{f"style={s}": [e.style == s for e in exemplars] for s in ("edited", "spoken", "asr")},
    }
    return {
        "split": split,
        "n": {
            "answers": len(exemplars),
            "authors": len({e.author for e in exemplars}),
            "pairs": len({e.pair for e in exemplars if e.pair}),
            "good": int(good.sum()),
        },
        "verdict": with_intervals(held.p_good, exemplars, seed),
        "band": {
            "coverage": round(float(sure.mean()), 4),
            "accuracy_outside": round(float(right[sure].mean()), 4) if sure.any() else 0.0,
            "n_outside": int(sure.sum()),
        },
        "baselines": {name: with_intervals(p_good, exemplars, seed) for name, p_good in said.items()},
        "slices": {
            name: {
                "n": int(sum(mask)),
                **_rounded(verdict_figures(held.p_good[mask], [e for e, m in zip(exemplars, mask, strict=True) if m])),
            }
            for name, mask in slices.items()
            if any(mask)
        },
        "signals": signal_figures(held, exemplars),
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}


def plot_tables(
    held: HeldOut, exemplars: Sequence[Exemplar], metrics: dict[str, Any]
) -> dict[str, list[dict[str, Any]]]:
    """Tables for plots: calibration, F1 by signal, confusion of verdicts, precision against recall by signal."""
    from sklearn.metrics import precision_recall_curve

    good = np.array([e.is_good for e in exemplars])
    which = np.minimum((held.p_good * 10).astype(int), 9)
    calibration = [
        {
            "predicted": round(float(held.p_good[which == b].mean()), 4),
            "observed": round(float(good[which == b].mean()), 4),
            "n": int((which == b).sum()),
        }
        for b in range(10)
        if (which == b).any()
    ]
    signals = [{"signal": s, "f1": row["f1"], "n": row["n"]} for s, row in metrics["signals"]["by_signal"].items()]
    confusion = [{"actual": e.verdict, "predicted": v} for e, v in zip(exemplars, held.verdict, strict=True)]
    known = np.array([e.annotated for e in exemplars])
    shown = shown_matrix(exemplars)[known]
    curves = []
    for column, signal in enumerate(SIGNAL_IDS):
        if shown[:, column].any():
            precision, recall, _ = precision_recall_curve(shown[:, column], held.strengths[known, column])
            for at in np.linspace(0, len(recall) - 1, min(len(recall), CURVE_POINTS)).astype(int):
                point = {"recall": round(float(recall[at]), 4), "precision": round(float(precision[at]), 4)}
                curves.append({"signal": signal, **point})
    return {"calibration": calibration, "signals": signals, "confusion": confusion, "precision_recall": curves}
