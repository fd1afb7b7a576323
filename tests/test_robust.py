import numpy as np
import pytest

from pipeline.robust import DISTURBANCES, Disturbed, disturb, robustness_figures

TEXT = "We lost 40 boxes in May, and Maria told us he was wrong. I stopped the van. It cost 2 hours."


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("bare", "we lost 40 boxes in may and maria told us he was wrong i stopped the van it cost 2 hours"),
        (
            "spelled",
            "We lost forty boxes in May, and Maria told us he was wrong. I stopped the van. It cost two hours.",
        ),
        ("doubled", f"{TEXT} {TEXT}"),
    ],
)
def test_what_a_disturbance_makes_of_a_text(name, wanted):
    assert DISTURBANCES[name](TEXT, np.random.default_rng(0)) == wanted


def test_numbers_that_are_part_of_something_are_left():
    text = "Release 3.5 on 2024-05-01 cost 2,500 at 10:30."
    assert DISTURBANCES["spelled"](text, np.random.default_rng(0)) == text


def test_swapping_takes_the_name_and_the_sex_away():
    swapped = DISTURBANCES["swapped"](TEXT, np.random.default_rng(0))
    assert "Maria" not in swapped
    assert " she was wrong" in swapped


@pytest.mark.parametrize("name", ["filled", "polite", "padded", "stuffed"])
def test_what_only_adds_keeps_every_word(name):
    words = iter(DISTURBANCES[name](TEXT, np.random.default_rng(0)).split())
    assert all(word in words for word in TEXT.split())


def test_stuffing_is_tried_on_bad_answers_only_and_every_change_is_counted(scorer, exemplars):
    found = disturb(scorer, exemplars[:10], seed=1)
    count = {name: sum(d.name == name for d in found) for name in DISTURBANCES}
    assert count["stuffed"] == sum(not e.is_good for e in exemplars[:10])
    assert count["doubled"] == 10


def test_figures_of_a_disturbance():
    rows = [
        Disturbed("polite", 0.4, 0.6, "BAD", "GOOD"),
        Disturbed("polite", 0.6, 0.5, "GOOD", "GOOD"),
        Disturbed("polite", 0.3, None, "BAD", "UNSCORABLE"),
        Disturbed("polite", None, 0.3, "UNSCORABLE", "BAD"),
    ]
    assert robustness_figures(rows)["polite"] == {
        "n": 3,
        "mean_change": 0.15,
        "p95_change": 0.195,
        "mean_shift": 0.05,
        "flips": 0.6667,
        "raised_to_good": 0.3333,
        "verdict_changes": 0.6667,
    }
