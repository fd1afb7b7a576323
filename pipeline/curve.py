"""The learning curve: what more authors would bring. Slow (it fine-tunes), so it stands outside the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from pipeline.adapt import Adapters, adapt, steps
from pipeline.encode import TransformerEncoder
from pipeline.evaluate import pairs_right, shown_matrix
from pipeline.params import Params
from pipeline.records import Exemplar
from pipeline.segment import Splitter, sentences
from pipeline.splits import fold_of
from pipeline.verdict import SIGN, answer_strengths

SHARES = (0.25, 0.5)  # of the train authors; all of them are in the committed adapter


def curve_steps(exemplars: Sequence[Exemplar], params: Params) -> int:
    """How many steps :func:`learning_curve` takes, to within a few."""
    return round(len(SHARES) * steps(len(exemplars), params.adapt) * (1 - 1 / params.adapt.folds))


def learning_curve(
    exemplars: Sequence[Exemplar],
    adapters: Adapters,
    params: Params,
    splitter: Splitter,
    advance: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Figures on the authors of the first fold by adapters of some, then of all, of the other train authors.

    Every adapter trains for as many steps. Only the adapter reads here, no rules and no heads: an answer's strength in
    a signal is its surest sentence, its score the sum over positive signals less that over negative ones.

    Returns:
        a row for each share: authors, answers, mean average precision, share of pairs ranked right, AUC.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    cuts = [sentences(e.text, params.segment, splitter) for e in exemplars]
    held = [i for i, e in enumerate(exemplars) if fold_of(e.author, params.adapt.folds) == 0]
    seen = [i for i, e in enumerate(exemplars) if fold_of(e.author, params.adapt.folds) != 0]
    authors = np.random.default_rng(params.seed).permutation(sorted({exemplars[i].author for i in seen}))
    kept = [exemplars[i] for i in held]
    shown, good = shown_matrix(kept), np.array([e.is_good for e in kept])
    rows = []
    for share in (*SHARES, 1.0):
        some = set(authors[: round(share * len(authors))].tolist())
        chosen = [i for i in seen if exemplars[i].author in some]
        if share < 1:
            longer = params.adapt.model_copy(update={"passes": params.adapt.passes * len(seen) / len(chosen)})
            trained = adapt(
                [exemplars[i] for i in chosen],
                [cuts[i] for i in chosen],
                TransformerEncoder(params.encoder),
                longer,
                params.seed,
                advance,
            )
        else:
            trained = adapters.folds[0]
        read = TransformerEncoder(params.encoder, trained).encode([e.text for e in kept], [cuts[i] for i in held])
        strengths = np.array([answer_strengths(expit(r.sentence_logits)) for r in read])
        score = strengths @ SIGN
        present = shown.any(axis=0)
        rows.append(
            {
                "authors": len(some),
                "answers": len(chosen),
                "mean_average_precision": round(
                    float(average_precision_score(shown[:, present], strengths[:, present], average="macro")), 4
                ),
                "pairs_right": round(pairs_right(score, kept), 4),
                "auc": round(float(roc_auc_score(good, score)), 4),
            }
        )
    return rows
