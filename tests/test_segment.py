from itertools import pairwise

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus import read_corpus
from pipeline.params import SegmentParams
from pipeline.segment import Splitter, bare_sentences, fit_splitter, sentences

PARAMS = SegmentParams(max_words=16, min_words=5, short_penalty=3.0, ease=1.0, buckets=4096)
TAUGHT = ["We rang the depot. They said no. So I drove there myself."] * 5


def cut(text, splitter=None):
    return [text[a:b] for a, b in sentences(text, PARAMS, splitter)]


def test_full_stops_end_sentences():
    assert cut("We closed the shop. Nobody was happy about it!") == [
        "We closed the shop.",
        "Nobody was happy about it!",
    ]


def test_recogniser_output_is_cut_where_taught():
    splitter = fit_splitter(TAUGHT, PARAMS)
    text = "on friday at noon we rang the depot they said no so i drove there myself in the old white van"
    assert cut(text) == [text]
    assert "so i drove there myself in the old white van" in cut(text, splitter)


def test_no_piece_of_unpunctuated_speech_is_longer_than_asked(splitter):
    text = "and we went there " * 40
    assert max(len(piece.split()) for piece in cut(text, splitter)) <= PARAMS.max_words


def test_bare_sentences_take_punctuation_and_case_away():
    words, ends = bare_sentences("We waited, all of us. “Nobody” came!")
    assert words == ["we", "waited", "all", "of", "us", "nobody", "came"]
    assert ends.tolist() == [False, False, False, False, True, False, True]


def test_a_splitter_comes_back_as_it_was_saved(splitter, tmp_path):
    splitter.save(tmp_path / "s.safetensors")
    again = Splitter.load(tmp_path / "s.safetensors")
    assert again.bias == splitter.bias
    assert (again.weights == splitter.weights).all()


def test_the_learnt_splitter_finds_sentence_ends_of_authors_it_never_saw():
    everyone = [e for e in read_corpus(ROOT / "corpus/exemplars") if e.style != "asr"]
    authors = sorted({e.author for e in everyone})[:12]
    splitter = fit_splitter([e.text for e in everyone if e.author in authors[3:]], PARAMS)
    hit = found = true = 0
    for e in everyone:
        if e.author in authors[:3]:
            words, ends = bare_sentences(e.text)
            said = splitter.log_odds(words) > -1.4
            hit, found, true = hit + int((said & ends[:-1]).sum()), found + int(said.sum()), true + int(ends[:-1].sum())
    assert 2 * hit / (found + true) > 0.15  # as many random cuts would get 0.06; 4096 buckets are few


def test_scraps_join_their_neighbour():
    assert cut("Right. Yes. I told the owner the truth. Okay.") == ["Right. Yes. I told the owner the truth. Okay."]


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_blank_text_has_no_sentences(text):
    assert sentences(text, PARAMS) == []


SPLITTER = fit_splitter(TAUGHT, PARAMS)


@given(st.text(max_size=400))
def test_sentences_cover_every_word_in_order(text):
    spans = sentences(text, PARAMS, SPLITTER)
    assert all(a < b for a, b in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert " ".join(text[a:b] for a, b in spans).split() == text.split()
