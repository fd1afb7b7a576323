import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.neutral import neutral, proper_nouns


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("So Maria told her boss at Nokia in Peru.", "So Bjarni told his boss at Corvex in Botswana."),
        ("He lost himself. She gave him his keys.", "She lost herself. He gave her hers keys."),
        ("then maria called from peru and he said no", "then ravi called from kenya and she said no"),
        ("We rang New South Wales. Maria said no, and so did Maria's mother.",
         "We rang Osaka. Omar said no, and so did Omar's father."),
    ],
)  # fmt: skip
def test_the_encoder_cannot_tell_them_apart(one, other):
    assert neutral(one).text == neutral(other).text


def test_what_is_no_name_stays():
    text = "On Monday in May the CFO and I told IT no. Nobody agreed, so I went to the VP."
    assert neutral(text).text == text
    assert proper_nouns(text) == []


def test_a_name_that_opens_a_sentence_is_known_from_another_place():
    assert neutral("Zsuzsi said no. So I asked Zsuzsi why.").text == "Sam said no. So I asked Sam why."


@given(st.text(max_size=200))
def test_every_character_knows_where_it_comes_from(text):
    shown = neutral(text)
    assert len(shown.text) == len(shown.start) == len(shown.end)
    assert all(0 <= a < b <= len(text) for a, b in zip(shown.start, shown.end, strict=True))
    assert all(a <= b for a, b in zip(shown.start, shown.start[1:], strict=False))
