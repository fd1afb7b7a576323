from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.params import SegmentParams
from pipeline.segment import sentences

PARAMS = SegmentParams(max_words=24, min_words=6)


def cut(text):
    return [text[a:b] for a, b in sentences(text, PARAMS)]


def test_full_stops_end_sentences():
    assert cut("We closed the shop. Nobody was happy about it!") == [
        "We closed the shop.",
        "Nobody was happy about it!",
    ]


def test_recogniser_output_is_cut_before_words_that_open_a_clause():
    text = (
        "we had the big order on the friday and the van did not come at all so i rang the other depot and they said no "
        "because their driver was out sick that day"
    )
    assert cut(text) == [
        "we had the big order on the friday and the van did not come at all",
        "so i rang the other depot and they said no because their driver was out sick that day",
    ]


def test_scraps_join_their_neighbour():
    assert cut("Right. Yes. I told the owner the truth. Okay.") == ["Right. Yes. I told the owner the truth. Okay."]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_blank_text_has_no_sentences(text):
    assert sentences(text, PARAMS) == []


@given(st.text(max_size=400))
def test_sentences_cover_every_word_in_order(text):
    spans = sentences(text, PARAMS)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert " ".join(text[a:b] for a, b in spans).split() == text.split()
