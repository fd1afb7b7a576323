import json

import pytest
from pydantic import ValidationError

from pipeline.records import Answer, Exemplar


def test_unknown_fields_are_passed_through():
    answer = Answer.model_validate({"id": "a", "answer": "yes", "candidate": "Ada", "score": 3})
    assert answer.text == "yes"
    assert answer.extra == {"candidate": "Ada", "score": 3}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "a"}, "no 'answer' (or 'text') field"),
        ({"id": "a", "answer": "x", "text": "y"}, "both 'answer' and 'text' are given; keep one"),
        ({"id": "a", "answer": "x", "round": "poetry"}, "unknown round 'poetry'"),
        ({"id": "a", "answer": "\ud800"}, "holds characters that are not valid Unicode"),
    ],
)
def test_bad_answers_say_why(fields, message):
    with pytest.raises(ValidationError, match=message.replace("(", r"\(").replace(")", r"\)")):
        Answer.model_validate(fields)


def test_round_names_are_forgiving():
    assert Answer(id="a", text="x", round="System Design").round == "system_design"


def test_results_follow_the_contract(scorer, answers):
    record = json.loads(scorer.score([Answer(id="a1", text=answers[0], round="behavioral")])[0].result.to_json())
    assert list(record) == [
        "schema", "id", "round", "round_source", "verdict", "p_good", "reasons", "signals", "missing", "nearest",
        "delivery", "model",
    ]  # fmt: skip
    assert record["schema"] == "debrief.result/1"
    assert list(record["delivery"]) == [
        "words", "fillers_per_100_words", "first_person_singular_share", "words_per_minute",
    ]  # fmt: skip
    assert list(record["model"]) == ["name", "version", "corpus", "code"]
    assert record["signals"], "the answer is written to show signals"
    for signal in record["signals"]:
        assert list(signal) == ["id", "polarity", "confidence", "evidence"]
        for piece in signal["evidence"]:
            assert list(piece) == ["start", "end", "text", "source"]
    for lack in record["missing"]:
        assert list(lack) == ["id", "advice", "ask", "p_good_if_shown"]


def test_every_exemplar_survives_a_round_trip(exemplars):
    for exemplar in exemplars[:10]:
        assert Exemplar.model_validate_json(exemplar.model_dump_json()) == exemplar
