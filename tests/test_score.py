import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.records import Answer
from pipeline.signals import POSITIVE

WORDS = ("i", "told", "the", "owner", "no", "because", "so", "we", "lost", "an", "hour", "émile", "🙂", "um", ".", "?")


def batch(answers, **fields):
    return [Answer(id=str(i), text=t, **fields) for i, t in enumerate(answers)]


def test_one_by_one_is_the_same_as_a_batch(scorer, answers):
    together = scorer.score(batch(answers))
    alone = [scorer.score([a])[0] for a in batch(answers)]
    assert [f.result for f in together] == [f.result for f in alone]


def test_order_changes_nothing(scorer, answers):
    forward = {f.answer.id: f.result for f in scorer.score(batch(answers))}
    backward = {f.answer.id: f.result for f in scorer.score(batch(answers)[::-1])}
    assert forward == backward


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(WORDS), max_size=80))
def test_offsets_slice_back_to_the_evidence(scorer, words):
    text = " ".join(words)
    result = scorer.score([Answer(id="x", text=text)])[0].result
    for signal in result.signals:
        for piece in signal.evidence:
            assert text[piece.start : piece.end] == piece.text
    assert (result.p_good is None) == (result.verdict == "UNSCORABLE")


def test_unscorable_answers_get_no_guess(scorer):
    result = scorer.score([Answer(id="x", text="No.", round="behavioral")])[0].result
    assert (result.verdict, result.p_good, result.signals, result.missing) == ("UNSCORABLE", None, [], [])
    assert result.reasons == ["The answer is too short to judge: 1 word, at least 12 are needed."]


def test_missing_signals_are_absent_positive_and_would_lift(scorer, answers):
    for feedback in scorer.score(batch(answers, round="behavioral")):
        result = feedback.result
        shown = {s.id for s in result.signals}
        lifts = [m.p_good_if_shown for m in result.missing]
        assert all(m.id in POSITIVE and m.id not in shown for m in result.missing)
        assert all(lift > result.p_good for lift in lifts)
        assert lifts == sorted(lifts, reverse=True)


def test_nearest_exemplars_are_one_good_and_one_bad(scorer, answers, model):
    near = scorer.score(batch(answers))[0].result.nearest
    assert sorted(n.verdict for n in near) == ["BAD", "GOOD"]
    assert near[0].similarity >= near[1].similarity
    assert {n.exemplar for n in near} <= {e.id for e in model.exemplars}


def test_an_exemplar_is_its_own_nearest(scorer, exemplars):
    e = exemplars[0]
    near = scorer.score([Answer(id="x", text=e.text)])[0].result.nearest
    assert near[0].exemplar == e.id
    assert near[0].similarity == pytest.approx(1.0, abs=1e-3)


def test_every_reason_quotes_the_answer_or_names_a_lack(scorer, answers):
    for feedback in scorer.score(batch(answers)):
        for reason in feedback.result.reasons:
            quoted = [part.split("”")[0].removesuffix(" …") for part in reason.split("“")[1:]]
            assert all(words in " ".join(feedback.answer.text.split()) for words in quoted)
            if not quoted:
                assert reason.startswith("Not found: ") or reason.endswith("looks for was found.")


def test_the_round_is_given_or_predicted(scorer, answers):
    given, asked, bare = scorer.score(
        [
            Answer(id="1", text=answers[0], round="analytical"),
            Answer(id="2", text=answers[0], question="How would you set up the stock room?"),
            Answer(id="3", text=answers[0]),
        ]
    )
    assert (given.result.round, given.result.round_source) == ("analytical", "given")
    assert asked.result.round_source == bare.result.round_source == "predicted"


def test_the_models_say_nothing_by_length_alone(scorer, answers):
    """The same answer twice over holds the same signals; max pooling keeps the strengths close."""
    once, twice = scorer.score(batch([answers[0], f"{answers[0]} {answers[0]}"], round="behavioral"))
    assert {s.id for s in once.result.signals if s.polarity == "positive"} <= {s.id for s in twice.result.signals}
