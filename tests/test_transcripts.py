import json

from conftest import ROOT

from pipeline.readers import read_inputs
from pipeline.records import Answer


def answers(path, candidate=None):
    return [r for r in read_inputs([str(path)], candidate) if isinstance(r, Answer)]


def test_webvtt_turns_become_answers_with_their_questions_and_times():
    first, second = answers(ROOT / "corpus/samples/mock-interview.vtt")
    assert first.id == "mock-interview-1"
    assert first.question.endswith("what you did about it.")
    assert first.text.startswith("Okay. So, we were told to switch the label printers over in one night")
    assert first.text.endswith("So that is why I'm glad I said no.")
    assert first.seconds == 39.0
    assert first.extra == {"candidate": "Hana Sato"}
    assert second.question == "And how would you roll out something like that across three plants?"


def test_the_candidate_can_be_named(tmp_path):
    path = tmp_path / "call.vtt"
    path.write_text(
        "WEBVTT\n\n00:01.000 --> 00:05.000\nAnn: I always ask about ten things before anybody says a word to me.\n\n"
        "00:05.000 --> 00:09.000\nBo Li: We closed the gate and nobody came in for an hour, it cost us a sale. Why?\n"
    )
    assert [a.extra["candidate"] for a in answers(path, "Ann")] == ["Ann"]
    assert [a.extra["candidate"] for a in answers(path, "Bo Li")] == ["Bo Li"]


def test_a_name_nobody_has_gives_a_reason(tmp_path):
    (record,) = read_inputs([str(ROOT / "corpus/samples/mock-interview.vtt")], "Nobody")
    assert record.reason == "no answer said by 'Nobody' found: no turn of at least 8 words"


def test_whisper_without_speakers_is_one_answer():
    (answer,) = answers(ROOT / "corpus/samples/practice-recording.json")
    assert answer.question is None
    assert answer.seconds == 42.0
    assert answer.text.startswith("So the lift in our building, um, it kept stopping")


def test_whisperx_speakers(tmp_path):
    path = tmp_path / "x.json"
    said = [
        ("SPEAKER_00", "What did you stop?"),
        ("SPEAKER_01", "We stopped the night bus because the brakes were gone."),
        ("SPEAKER_01", "Nobody liked it."),
    ]
    path.write_text(
        json.dumps({"segments": [{"start": i, "end": i + 1, "text": t, "speaker": s} for i, (s, t) in enumerate(said)]})
    )
    (answer,) = answers(path)
    assert answer.text == "We stopped the night bus because the brakes were gone. Nobody liked it."
    assert answer.question == "What did you stop?"
