"""Two versions on the same held-out answers, with figures worked out another way."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

from pipeline.compare import Side, compare, mcnemar
from pipeline.errors import DebriefError, ModelError
from pipeline.evaluate import outer_folds, predict_held_out, signal_figures, verdict_figures
from pipeline.heldout import HELD_OUT, Judged, judged
from pipeline.params import PromoteParams
from pipeline.promotion import objections, robustness_objections
from pipeline.signals import SIGNAL_IDS

RULES = PromoteParams(interval=0.95, min_answers=10, robust_margin=0.02, max_swapped=0.02, max_stuffed=0.01)
CALM = {
    "swapped": {"mean_change": 0.005, "raised_to_good": 0.0},
    "stuffed": {"mean_change": 0.1, "raised_to_good": 0.0},
}


def answers(n=200, authors=20, seed=0):
    """Held-out answers in pairs, as a model of middling quality would judge them."""
    rng = np.random.default_rng(seed)
    good = np.arange(n) % 2 == 0
    p = np.clip(0.5 + 0.2 * (2 * good - 1) + rng.normal(0, 0.25, n), 0.01, 0.99)
    shown = rng.random((n, 24)) < 0.2
    strengths = np.clip(0.3 * shown + rng.random((n, 24)) * 0.6, 0, 1)
    return Judged(
        id=np.array([f"a{i}" for i in range(n)]),
        text=np.array([f"{i:012x}" for i in range(n)]),
        author=np.array([f"w{i * authors // n}" for i in range(n)]),
        pair=np.array([f"p{i // 2}" for i in range(n)]),
        round=np.array([("behavioral", "analytical")[i // 2 % 2] for i in range(n)]),
        style=np.array(["spoken"] * n),
        setting=np.array([("everyday", "professional")[i * authors // n % 2] for i in range(n)]),
        good=good,
        strength=np.where(good, 0.8, 0.2),
        annotated=np.ones(n, bool),
        shown=shown,
        near=~shown & (rng.random((n, 24)) < 0.1),
        p_good=p,
        verdict=np.where(p > 0.6, "GOOD", np.where(p < 0.4, "BAD", "BORDERLINE")),
        called=strengths > 0.45,
        strengths=strengths,
    )


def side(judged, version="old", robustness=CALM):
    return Side(version, "corpus", "0.1.0", judged, robustness)


def better(judged, by=0.25, rows=slice(None)):
    """The same answers, judged nearer to the label."""
    p = judged.p_good.copy()
    p[rows] = np.clip(p[rows] + by * (2 * judged.good[rows] - 1), 0.01, 0.99)
    return replace(judged, p_good=p, verdict=np.where(p > 0.6, "GOOD", np.where(p < 0.4, "BAD", "BORDERLINE")))


def test_the_figures_are_those_of_scikit_learn_and_scipy():
    a = answers()
    found = {f.name: f.new for f in compare(side(a), side(a)).figures}
    assert found["accuracy"] == pytest.approx(((a.p_good >= 0.5) == a.good).mean(), abs=1e-4)
    assert found["auc"] == pytest.approx(roc_auc_score(a.good, a.p_good), abs=1e-4)
    assert found["brier"] == pytest.approx(brier_score_loss(a.good, a.p_good), abs=1e-4)
    assert found["strength_rho"] == pytest.approx(spearmanr(a.p_good, a.strength).statistic, abs=1e-4)
    assert found["macro_f1"] == pytest.approx(f1_score(a.shown, a.called, average="macro"), abs=1e-4)
    assert found["mean_average_precision"] == pytest.approx(
        average_precision_score(a.shown, a.strengths, average="macro"), abs=1e-4
    )
    assert found["pairs_right"] == pytest.approx((a.p_good[::2] > a.p_good[1::2]).mean(), abs=1e-4)
    assert found["near_miss_false_alarms"] == pytest.approx(a.called[a.near].mean(), abs=1e-4)


def test_a_version_against_itself_is_neither_better_nor_worse():
    found = compare(side(answers()), side(answers(), "new"))
    every = (*found.figures, *found.slices, *found.signals)
    assert {(d.difference, d.low, d.high, d.trend) for d in every} == {(0, 0, 0, "")}
    assert (found.mcnemar.old_only, found.mcnemar.new_only, found.mcnemar.p) == (0, 0, 1.0)
    assert found.changed == ()
    assert objections(found, RULES) == []


def test_better_is_said_and_nothing_stands_against_it():
    found = compare(side(answers()), side(better(answers()), "new"))
    assert {d.name: d.trend for d in found.figures if d.trend} == dict.fromkeys(
        ("accuracy", "auc", "pairs_right", "strength_rho", "brier"), "better"
    )
    assert found.mcnemar.new_only > found.mcnemar.old_only == 0
    assert found.mcnemar.p < 0.001
    assert objections(found, RULES) == []


def test_one_slice_that_is_worse_stands_against_promotion_though_the_whole_is_better():
    a = answers()
    some = np.flatnonzero(a.round == "analytical")
    new = better(better(a, 0.4), -0.75, some)
    found = compare(side(a), side(new, "new"))
    said = objections(found, RULES)
    assert [s.split(" is worse")[0] for s in said if "analytical" in s] == ["analytical"]
    assert not any(s.startswith("behavioral") for s in said)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"swapped": {"mean_change": 0.03, "raised_to_good": 0.0}},
         ["swapped answers move p(GOOD) by 0.030 on average, 0.005 before; 0.02 more is allowed",
          "swapped names, sexes and places move p(GOOD) by 0.030 on average, 0.02 is allowed"]),
        ({"stuffed": {"mean_change": 0.1, "raised_to_good": 0.02}},
         ["stuffing with cue words makes 2.0% of BAD answers GOOD, 1.0% is allowed"]),
        (None, ["its robustness was not measured"]),
    ],
)  # fmt: skip
def test_robustness_stands_against_promotion(changes, message):
    new = {} if changes is None else CALM | changes
    assert robustness_objections(CALM, new, RULES) == message


def test_too_few_answers_in_common():
    few = answers(n=8, authors=4)
    assert objections(compare(side(few), side(few)), RULES)[0] == "only 8 held-out answers in common, 10 are wanted"


def test_answers_of_one_side_and_other_labels_are_left_out_and_counted():
    a = answers()
    relabelled = a.good.copy()
    relabelled[5] = ~relabelled[5]
    found = compare(side(a.take(np.arange(190))), side(replace(a, good=relabelled).take(np.arange(4, 200)), "new"))
    assert (found.answers, found.only_old, found.only_new, found.relabelled) == (185, 4, 10, 1)


def test_nothing_in_common_is_an_error():
    a = answers()
    with pytest.raises(
        DebriefError, match=r"^old and new held out no answer in common\. They are of unrelated corpora"
    ):
        compare(side(a), side(replace(a, id=np.char.add("x", a.id)), "new"))


def test_a_changed_verdict_names_the_signals_that_moved():
    a = answers()
    strengths, p = a.strengths.copy(), a.p_good.copy()
    verdict = a.verdict.astype("<U10")
    strengths[0, SIGNAL_IDS.index("escalation")], p[0], verdict[0] = 0.1, 0.2, "BAD"
    strengths[1, SIGNAL_IDS.index("vague_claim")], p[1], verdict[1] = 0.2, 0.3, "BAD"
    before = replace(a, strengths=strengths, p_good=p, verdict=verdict)
    strengths, p, verdict = strengths.copy(), p.copy(), verdict.copy()
    strengths[0, SIGNAL_IDS.index("escalation")], p[0], verdict[0] = 0.9, 0.9, "GOOD"
    strengths[1, SIGNAL_IDS.index("vague_claim")], p[1], verdict[1] = 0.9, 0.1, "BORDERLINE"
    found = compare(side(before), side(replace(before, strengths=strengths, p_good=p, verdict=verdict), "new"))
    assert [(c.id, c.outcome, c.why) for c in found.changed] == [
        ("a0", "now right", ("escalation 0.10 → 0.90",)),
        ("a1", "now BORDERLINE", ("vague claim 0.20 → 0.90",)),
    ]


def test_mcnemar_is_the_sign_test_on_discordant_answers():
    old, new = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool), np.array([1, 1, 0, 1, 1, 1, 1, 1], bool)
    found = mcnemar(old, new)
    assert (found.old_only, found.new_only) == (1, 5)
    assert found.p == pytest.approx(2 * (1 + 6) / 64, abs=1e-4)  # 2 x P(at most 1 of 6)


def test_held_out_answers_come_back_as_they_were_saved(tmp_path):
    a = answers()
    a.save(tmp_path / HELD_OUT)
    again = Judged.load(tmp_path / HELD_OUT)
    for name, column in vars(a).items():
        if name == "strengths":
            assert np.allclose(getattr(again, name), column, atol=1e-4)
        else:
            assert (getattr(again, name) == column).all(), name


def test_missing_and_damaged_tables_are_said(tmp_path):
    with pytest.raises(ModelError, match=r"no held_out\.parquet: what it said of held-out answers was not kept"):
        Judged.load(tmp_path / HELD_OUT)
    (tmp_path / HELD_OUT).write_bytes(b"not a table")
    with pytest.raises(ModelError, match=r"held_out\.parquet is damaged"):
        Judged.load(tmp_path / HELD_OUT)


def test_what_is_kept_gives_the_figures_of_the_evaluation(featurized, exemplars, params):
    held, _ = predict_held_out(featurized, exemplars, params, outer_folds(featurized))
    kept = judged(held, exemplars)
    assert kept.id.tolist() == [e.id for e in exemplars]
    known = {f.name: f.new for f in compare(side(kept), side(kept)).figures}
    verdict = verdict_figures(held.p_good, exemplars)
    for name in ("accuracy", "auc", "pairs_right", "strength_rho", "brier", "ece"):
        assert known[name] == pytest.approx(verdict[name], abs=1e-3), name
    signals = signal_figures(held, exemplars)
    for name in ("macro_f1", "near_miss_false_alarms"):
        assert known[name] == pytest.approx(signals[name], abs=1e-3), name


def test_answers_nobody_annotated_say_nothing_of_signals(featurized, exemplars, params):
    """Half of the answers lose their annotation: the verdict figures stay, those of signals are of the other half."""
    some = [e.model_copy(update={"signals": None}) if i % 2 else e for i, e in enumerate(exemplars)]
    data = replace(featurized, annotated=np.array([e.annotated for e in some]))
    held, _ = predict_held_out(data, some, params, outer_folds(data))
    signals = signal_figures(held, some)["by_signal"]
    assert sum(row["n"] for row in signals.values()) == sum(len({s.id for s in e.shown}) for e in some)
    full, _ = predict_held_out(featurized, exemplars, params, outer_folds(featurized))
    assert not np.allclose(held.strengths, full.strengths)  # the heads learnt from half of the sentences
    kept = judged(held, some)
    assert kept.annotated.sum() == len(some) / 2
    assert compare(side(kept), side(kept)).answers == len(some)
