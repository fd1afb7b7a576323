import pytest

from pipeline.delivery import delivery
from pipeline.scorable import unscorable_reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("  \n", "The answer is empty."),
        ("Traffic, I think.", "The answer is too short to judge: 3 words, at least 12 are needed."),
        (
            "Ich habe damals mit dem Kollegen gesprochen und wir haben eine Lösung gefunden, die für alle gut war",
            "The answer is not in English.",
        ),
        (
            "Мы остановили поезд потому что тормоза не работали и никто не хотел об этом говорить вслух",
            "The answer is not in English: most of its letters are not Latin.",
        ),
        (
            "asdf qwer zxcv uiop hjkl vbnm asdfg qwert zxcvb yuiop ghjkl bnm",
            "The answer is gibberish: hardly any English function words.",
        ),
        ("synergy " * 20, "The answer is gibberish: one word makes up most of it."),
    ],
)
def test_what_cannot_be_judged_says_why(text, reason):
    assert unscorable_reason(text) == reason


def test_every_exemplar_can_be_judged(exemplars):
    assert [e.id for e in exemplars if unscorable_reason(e.text)] == []


def test_delivery_counts():
    said = delivery("Um, I told them, you know, we can't. I mean it.", seconds=6)
    assert said.words == 11
    assert said.fillers_per_100_words == round(300 / 11, 1)
    assert said.first_person_singular_share == 0.67
    assert said.words_per_minute == 110.0


def test_delivery_of_nothing():
    assert delivery("").model_dump() == {
        "words": 0,
        "fillers_per_100_words": None,
        "first_person_singular_share": None,
        "words_per_minute": None,
    }
