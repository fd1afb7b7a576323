"""Measure the corpus: what is there, and whether something other than judgment gives the verdict away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.records import Annotation, Exemplar
from pipeline.signals import POSITIVE, ROUNDS, SIGNAL_IDS

MAX_LENGTH_AUC = 0.60
MAX_TFIDF = 0.80  # accuracy and pairs right of a bag of words, leave-author-out
MIN_AUTHORS = 5  # below this, leave-author-out says nothing
MIN_ANSWERS = 40  # below this, too few words are met twice


def survey(exemplars: Sequence[Exemplar]) -> dict[str, Any]:
    """Counts by round, style, setting, author and signal; what length and words alone give away; agreement.

    Signals are counted over the annotated answers: one that nobody looked at shows none and lacks none.
    """
    good = [e for e in exemplars if e.is_good]
    words = [len(e.text.split()) for e in exemplars]
    counts = {
        "answers": len(exemplars),
        "good": len(good),
        "annotated": sum(e.annotated for e in exemplars),
        "pairs": len({e.pair for e in exemplars if e.pair}),
        "everyday_pairs": len({e.pair for e in exemplars if e.pair and e.setting == "everyday"}),
        "authors": len({e.author for e in exemplars}),
        "test_authors": len({e.author for e in exemplars if e.split == "test"}),
        "words": {"min": min(words), "median": int(np.median(words)), "max": max(words), "total": sum(words)},
    }
    table = {
        field: {
            value: {"answers": len(some), "good": sum(e.is_good for e in some)}
            for value in sorted({getattr(e, field) or "none" for e in exemplars})
            if (some := [e for e in exemplars if (getattr(e, field) or "none") == value])
        }
        for field in ("round", "style", "setting", "split", "twin")
    }
    signals = {
        s: {
            "answers": sum(e.shows(s) for e in exemplars),
            "in_good": sum(e.shows(s) for e in good),
            **({"near_misses": sum(m.id == s for e in exemplars for m in e.near_misses)} if s in POSITIVE else {}),
        }
        for s in SIGNAL_IDS
    }
    kinds = Counter(m.kind for e in exemplars for m in e.near_misses)
    return {
        "counts": counts,
        "by": table,
        "signals": signals,
        "near_miss_kinds": dict(sorted(kinds.items())),
        "shortcuts": shortcuts(exemplars),
        "agreement": agreement(exemplars),
    }


def shortcuts(exemplars: Sequence[Exemplar]) -> dict[str, Any]:
    """What a reader of lengths or of words alone gets right, leave-author-out, and the words that tell most.

    ``length_auc``: area under the ROC curve of the number of words, the better of the two directions;
    ``tfidf_pairs_right``: share of minimal pairs whose GOOD twin a bag of words ranks higher (chance 0.5).
    """
    from sklearn.metrics import roc_auc_score

    good = np.array([e.is_good for e in exemplars])
    length = np.array([len(e.text.split()) for e in exemplars])
    auc = float(roc_auc_score(good, length)) if good.any() and not good.all() else 0.5
    found: dict[str, Any] = {"n": len(exemplars), "length_auc": round(max(auc, 1 - auc), 4)}
    authors = [len({e.author for e in exemplars if e.is_good == side}) for side in (True, False)]
    enough = len(exemplars) >= MIN_ANSWERS and len({e.author for e in exemplars}) >= MIN_AUTHORS
    if enough and min(authors) >= 2:  # with one author left out, both verdicts are still there
        found |= _words_alone(exemplars, good)
    return found


def _words_alone(exemplars: Sequence[Exemplar], good: Any) -> dict[str, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    from pipeline.evaluate import pairs_right
    from pipeline.train import author_folds

    texts = np.array([e.text for e in exemplars], dtype=object)
    p_good = np.zeros(len(texts))
    for train, held in author_folds([e.author for e in exemplars], len(texts)):
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
        model = LogisticRegression(C=10, max_iter=2000).fit(words.fit_transform(texts[train]), good[train])
        p_good[held] = model.predict_proba(words.transform(texts[held]))[:, 1]
    words = TfidfVectorizer(sublinear_tf=True, min_df=5)
    model = LogisticRegression(C=10, max_iter=2000).fit(words.fit_transform(texts), good)
    order = np.argsort(model.coef_[0])
    names = words.get_feature_names_out()
    return {
        "tfidf_accuracy": round(float(((p_good >= 0.5) == good).mean()), 4),
        "tfidf_pairs_right": round(pairs_right(p_good, exemplars), 4),
        "telling_words": {"GOOD": names[order[::-1][:10]].tolist(), "BAD": names[order[:10]].tolist()},
    }


def find_shortcuts(measured: dict[str, Any]) -> list[str]:
    """Which of the measured shortcuts are over their limit, as sentences."""
    limits = {"length_auc": MAX_LENGTH_AUC, "tfidf_accuracy": MAX_TFIDF, "tfidf_pairs_right": MAX_TFIDF}
    return [
        f"corpus: {name} is {measured[name]:.3f}, at most {limit:.2f} is allowed: "
        "something other than judgment tells the verdict"
        for name, limit in limits.items()
        if measured.get(name, 0) > limit
    ]


def agreement(exemplars: Sequence[Exemplar]) -> dict[str, Any]:
    """How far the first two independent annotations of each answer agree.

    ``kappa`` is Cohen's on verdicts; ``f1`` per signal is on whether the answer shows it; ``evidence_iou`` is the mean
    over signals both see of the best overlap of their evidence in characters (intersection over union). Both leave out
    answers with a verdict only.
    """
    from scipy.stats import spearmanr
    from sklearn.metrics import cohen_kappa_score

    both = [e for e in exemplars if len(e.annotations) >= 2]
    if not both:
        return {"n": 0}
    verdicts = [[e.annotations[i].verdict for e in both] for i in (0, 1)]
    strengths = [[e.annotations[i].strength for e in both] for i in (0, 1)]
    one, two = ([e.annotations[i] for e in both if e.annotated] for i in (0, 1))
    f1 = {}
    overlaps: list[float] = []
    for signal in SIGNAL_IDS:
        a = np.array([any(s.id == signal for s in x.signals) for x in one], dtype=bool)
        b = np.array([any(s.id == signal for s in x.signals) for x in two], dtype=bool)
        if a.any() or b.any():
            f1[signal] = round(float(2 * (a & b).sum() / (a.sum() + b.sum())), 4)
        overlaps += [_overlap(one[i], two[i], signal) for i in np.flatnonzero(a & b)]
    return {
        "n": len(both),
        "kappa": round(float(cohen_kappa_score(*verdicts)), 4),
        "strength_rho": round(float(spearmanr(*strengths).statistic), 4),
        "macro_f1": round(float(np.mean(list(f1.values()))), 4) if f1 else None,
        "f1": f1,
        "evidence_iou": round(float(np.mean(overlaps)), 4) if overlaps else None,
    }


def _overlap(one: Annotation, two: Annotation, signal: str) -> float:
    best = 0.0
    for a in (s for s in one.signals if s.id == signal):
        for b in (s for s in two.signals if s.id == signal):
            shared = max(0, min(a.end, b.end) - max(a.start, b.start))
            best = max(best, shared / (max(a.end, b.end) - min(a.start, b.start)))
    return best


def coverage(exemplars: Sequence[Exemplar]) -> list[str]:
    """Rounds and styles in which GOOD and BAD are out of balance (less than 40% of either), as sentences."""
    problems = []
    for field, values in (("round", ROUNDS), ("style", ("edited", "spoken", "asr"))):
        for value in values:
            some = [e for e in exemplars if getattr(e, field) == value]
            share = sum(e.is_good for e in some) / len(some) if some else 0.5
            if not 0.4 <= share <= 0.6:
                problems.append(f"corpus: {field} {value}: {share:.0%} of the answers are GOOD, 40% to 60% is wanted")
    return problems
