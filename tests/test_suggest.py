import io
import json
import sys
import xml.etree.ElementTree as ET

import pytest
from conftest import ROOT
from rich.console import Console

from pipeline.batch import score_batch
from pipeline.delivery import delivery
from pipeline.errors import DebriefError, InputError
from pipeline.labelled import Arrived, Defaults, Refusal, read_labelled
from pipeline.records import Answer, Rejection, Result
from pipeline.signals import SIGNAL_IDS
from pipeline.suggest import Proposed, choose, inputs_of, join, proposals, read_results, write_tasks
from pipeline.terminal import suggestions_view

WORDS = [f"word{number}" for number in range(16)]


def text_of(seed):
    """Sixteen words in an order of their own, so that no two of these texts share a run of six."""
    return " ".join(WORDS[(seed * 7 + i * (2 * seed + 1)) % 16] + str(seed) for i in range(16))


def scored(id_, p_good, nearest=(), verdict=None, text=None, signals=()):
    text = text_of(hash_of(id_)) if text is None else text
    near = [{"exemplar": f"{v.lower()}-{id_}", "verdict": v, "similarity": s} for v, s in nearest]
    result = {
        "schema": "debrief.result/1",
        "id": id_,
        "round": "behavioral",
        "round_source": "given",
        "verdict": verdict or ("GOOD" if p_good >= 0.5 else "BAD"),
        "p_good": p_good,
        "reasons": [],
        "signals": [
            {
                "id": s,
                "polarity": "positive",
                "confidence": 0.9,
                "evidence": [{"start": a, "end": b, "text": text[a:b], "source": "model"}],
            }
            for s, a, b in signals
        ],
        "missing": [],
        "nearest": near,
        "delivery": delivery(text).model_dump(),
        "model": {"version": "v1", "corpus": "c", "code": "0"},
    }
    return Answer(id=id_, text=text, question="Why?"), Result.model_validate(result)


def hash_of(id_):
    return sum(ord(c) for c in id_)


def joined(*pairs):
    found, missing, unread = join([(f"r.jsonl:{n}", r) for n, (_, r) in enumerate(pairs, 1)], [a for a, _ in pairs])
    assert (missing, unread) == ([], [])
    return found


def taken(choice):
    return [(s.answer.id, s.why[0].reason) for s in choice.taken]


BATCH = [
    scored("a", 0.52, [("GOOD", 0.9), ("BAD", 0.1)]),
    scored("b", 0.99, [("GOOD", 0.2)]),
    scored("c", 0.97, [("BAD", 0.8), ("GOOD", 0.6)]),
    scored("d", 0.60, [("GOOD", 0.85), ("BAD", 0.05)]),
    scored("e", 0.01, [("BAD", 0.3), ("GOOD", 0.01)]),
    scored("f", 0.03, [("BAD", 0.7), ("GOOD", 0.69)]),
]


def test_the_highest_of_each_reason_is_taken_in_turn():
    assert taken(choose(joined(*BATCH), 6)) == [
        ("a", "unsure"),
        ("b", "unlike"),
        ("c", "disagreeing"),
        ("d", "unsure"),
        ("e", "unlike"),
        ("f", "disagreeing"),
    ]


def test_the_choice_is_the_same_in_any_order_and_never_over_the_count():
    whole = taken(choose(joined(*BATCH), 6))
    for n in range(1, 7):
        assert taken(choose(joined(*reversed(BATCH)), n)) == whole[:n]


def test_each_reason_has_its_number_and_its_sentence():
    choice = choose(joined(*BATCH), 3)
    assert [(w.value, w.rank, w.sentence) for s in choice.taken for w in s.why] == [
        (0.48, 1, "unsure: p(GOOD) is 0.52, number 1 of 6 by nearness to one half"),
        (0.2, 1, "unlike the exemplars: the nearest, good-b, is at 0.20, number 1 of 6 from below"),
        (
            0.5714,
            1,
            "exemplars disagree: BAD bad-c at 0.80, GOOD good-c at 0.60; 57.1% of their weight is against GOOD, "
            "number 1 of 5 by that share",
        ),
    ]


def test_what_ranks_as_high_by_another_reason_is_said_too():
    (only,) = choose(joined(scored("a", 0.5, [("GOOD", 0.4), ("BAD", 0.4)], "BORDERLINE")), 5).taken
    assert [w.reason for w in only.why] == ["unsure", "unlike", "disagreeing"]
    assert only.why[2].sentence == (
        "exemplars disagree: GOOD good-a at 0.40, BAD bad-a at 0.40; 50.0% of their weight is on the weaker side, "
        "number 1 of 1 by that share"
    )


def test_near_duplicates_of_what_is_taken_are_passed_over_and_counted():
    one = scored("a", 0.5, [("GOOD", 0.5)])
    copy = scored("b", 0.51, [("GOOD", 0.5)], text=one[0].text + " and more")
    other = scored("c", 0.9, [("GOOD", 0.5)])
    choice = choose(joined(one, copy, other), 3)
    assert [s.answer.id for s in choice.taken] == ["a", "c"]
    assert choice.near_duplicates == 1


def test_an_answer_that_is_gone_or_another_by_now_is_refused():
    pairs = [scored("a", 0.5, signals=[("sizing", 0, 5)]), scored("b", 0.5), scored("c", 0.5)]
    (a, _), (b, _), _ = pairs
    results = [(f"r.jsonl:{n}", r) for n, (_, r) in enumerate(pairs, 1)]
    changed = a.model_copy(update={"text": "x" + a.text[1:]})
    broken = Rejection(file="x", line=3, reason="broken")
    found, missing, unread = join(results, [changed, broken, b])
    assert [s.answer.id for s in found] == ["b"]
    assert [(m.file, m.line, m.reason) for m in missing] == [
        ("r.jsonl", 1, "the answer 'a' is not the text that was scored; score it again"),
        ("r.jsonl", 3, "the answer 'c' was not found"),
    ]
    assert unread == [broken]
    longer = a.model_copy(update={"text": a.text + " more"})
    assert join(results[:1], [longer])[0] == []


def test_lines_that_hold_no_result_are_refused(tmp_path):
    _, result = scored("a", 0.5)
    path = tmp_path / "results.jsonl"
    path.write_text(f'{result.to_json()}\n\n{{"id": "secret words"}}\nnot json\n{result.to_json()}\n')
    results, refused = read_results(tmp_path)
    assert [r.id for _, r in results] == ["a"]
    assert [r.line for r in refused] == [3, 4, 5]
    assert refused[0].reason.startswith("not a result: round: Field required; ")
    assert "secret" not in refused[0].reason
    assert refused[1].reason.startswith("not a result: Invalid JSON")
    assert refused[2].reason == f"duplicate id 'a', first at {path}:1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file. Name the results.jsonl that `debrief score` wrote."),
        ("\n", "it holds no result. Name the results.jsonl that `debrief score` wrote."),
    ],
)
def test_a_file_without_results(tmp_path, content, message):
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_results(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (None, "no such file, so nothing says where the answers are"),
        ("{", "it does not say where the answers are"),
        ('{"inputs": "a"}', "it does not say where the answers are"),
        ("[]", "it does not say where the answers are"),
        ('{"inputs": ["-"]}', "the answers came from standard input and are gone"),
    ],
)
def test_a_batch_that_does_not_lead_to_its_answers(tmp_path, content, fact):
    if content is not None:
        (tmp_path / "batch.json").write_text(content)
    with pytest.raises(DebriefError) as caught:
        inputs_of(tmp_path / "results.jsonl")
    where = tmp_path / "batch.json"
    assert str(caught.value) == f"{where}: {fact}. Name the files they were scored from with --answers."


def test_another_batch_leaves_no_stale_origin(scorer, answers, tmp_path):
    records = [Answer(id="1", text=answers[0])]
    score_batch(records, scorer, tmp_path, origin={"inputs": ["a"]})
    assert json.loads((tmp_path / "batch.json").read_text()) == {"schema": "debrief.batch/1", "inputs": ["a"]}
    score_batch(records, scorer, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "rejected.jsonl", "results.jsonl"]


# --- the formats ---------------------------------------------------------------------------------------------

EMOJI = "\U0001f9ea we tested it first, and it cost us a week of work, I took the blame for it."
OWNED = EMOJI.index("I took")


@pytest.fixture
def emoji():
    signals = [("ownership", OWNED, len(EMOJI)), ("empirical_validation", 2, 21)]
    answer, result = scored("a", 0.5, [("GOOD", 0.4)], text=EMOJI, signals=signals)
    answer = answer.model_copy(update={"extra": {"author": "ann", "team": "x"}})
    (one,) = join([("r:1", result)], [answer])[0]
    return one


def test_native_tasks_hold_proposals_and_no_verdict(emoji, tmp_path):
    (path,) = write_tasks(choose([emoji], 1), "jsonl", tmp_path / "t.jsonl")
    task = json.loads(path.read_text())
    assert list(task) == ["id", "text", "question", "round", "author", "why", "proposed"]
    assert task["why"][0]["reason"] == "unsure"
    assert task["proposed"] == [
        {"id": "empirical_validation", "start": 2, "end": 21, "text": EMOJI[2:21], "confidence": 0.9},
        {"id": "ownership", "start": OWNED, "end": len(EMOJI), "text": EMOJI[OWNED:], "confidence": 0.9},
    ]
    assert [Proposed.model_validate(p) for p in task["proposed"]] == proposals(emoji.result)


def test_label_studio_tasks_fit_their_configuration(emoji, tmp_path):
    path, config = write_tasks(choose([emoji], 1), "label-studio", tmp_path / "t.json")
    (task,) = json.loads(path.read_text())
    assert {k: task["data"][k] for k in ("id", "text", "question", "round")} == {
        "id": "a",
        "text": EMOJI,
        "question": "Why?",
        "round": "behavioral",
    }
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "debrief v1"
    assert config.name == "label_config.xml"
    view = ET.fromstring(config.read_text())
    tags = {tag.get("name"): tag for tag in view if tag.get("name")}
    for mark in prediction["result"]:
        assert mark["type"] == tags[mark["from_name"]].tag.lower() == "labels"
        assert tags[mark["from_name"]].get("toName") == mark["to_name"]
        assert tags[mark["to_name"]].tag == "Text"
        assert EMOJI[mark["value"]["start"] : mark["value"]["end"]] == mark["value"]["text"]
    assert [label.get("value") for label in tags["signals"]] == list(SIGNAL_IDS)
    assert [choice.get("value") for choice in tags["verdict"]] == ["GOOD", "BAD"]
    assert tags["strength"].tag == "Number"
    shown = {tag.get("value", "").removeprefix("$") for tag in view.iter() if tag.get("value", "").startswith("$")}
    assert shown == {"round", "question", "text"}  # neither the verdict nor why it was chosen


def test_doccano_tasks(emoji, tmp_path):
    (path,) = write_tasks(choose([emoji], 1), "doccano", tmp_path / "t.jsonl")
    task = json.loads(path.read_text())
    assert task["text"] == EMOJI
    assert task["label"] == [[2, 21, "empirical_validation"], [OWNED, len(EMOJI), "ownership"]]
    assert (task["id"], task["question"], task["round"], task["author"]) == ("a", "Why?", "behavioral", "ann")


def test_prodigy_tasks_mark_whole_tokens(emoji, tmp_path):
    (path,) = write_tasks(choose([emoji], 1), "prodigy", tmp_path / "t.jsonl")
    task = json.loads(path.read_text())
    tokens = task["tokens"]
    assert all(EMOJI[t["start"] : t["end"]] == t["text"] for t in tokens)
    for span in task["spans"]:
        assert tokens[span["token_start"]]["start"] == span["start"]
        assert tokens[span["token_end"]]["end"] == span["end"]
    assert [(s["label"], EMOJI[s["start"] : s["end"]]) for s in task["spans"]] == [
        ("empirical_validation", "we tested it first,"),
        ("ownership", "I took the blame for it."),
    ]
    assert [o["id"] for o in task["options"]] == ["GOOD", "BAD"]
    assert "accept" not in task and "answer" not in task
    assert task["meta"]["id"] == "a"


def answered(task, kind):
    """The task as the tool exports it once a person agreed with every suggestion and chose GOOD."""
    if kind == "label-studio":
        (prediction,) = task.pop("predictions")
        verdict = {"from_name": "verdict", "to_name": "text", "type": "choices", "value": {"choices": ["GOOD"]}}
        return [{**task, "annotations": [{"completed_by": 1, "result": [*prediction["result"], verdict]}]}]
    if kind == "doccano":
        return {**task, "cats": ["GOOD"]}
    return {**task, "accept": ["GOOD"], "answer": "accept", "_task_hash": 1}


@pytest.mark.parametrize("kind", ["label-studio", "doccano", "prodigy"])
def test_what_a_tool_makes_of_a_task_can_be_added(emoji, tmp_path, kind):
    path = write_tasks(choose([emoji], 1), kind, tmp_path / "t.json")[0]
    task = json.loads(path.read_text())
    (refusal,) = read_labelled(path, Defaults())
    assert isinstance(refusal, Refusal)  # nobody has labelled it yet
    path.write_text(json.dumps(answered(task[0] if kind == "label-studio" else task, kind)))
    (arrived,) = read_labelled(path, Defaults())
    assert isinstance(arrived, Arrived), str(arrived)
    added = arrived.labelled
    assert (added.id, added.text, added.question, added.round) == ("a", EMOJI, "Why?", "behavioral")
    assert (added.verdict, added.author) == ("GOOD", "ann")
    assert [(s.id, s.start, s.end) for s in added.signals] == [
        ("empirical_validation", 2, 21),
        ("ownership", OWNED, len(EMOJI)),
    ]


def test_a_task_file_that_cannot_be_written(emoji, tmp_path):
    target = tmp_path / "no" / "t.jsonl"
    with pytest.raises(DebriefError) as caught:
        write_tasks(choose([emoji], 1), "jsonl", target)
    assert str(caught.value) == f"{target}: cannot write it (No such file or directory). Name another file with --out."


def test_the_table_fits_80_columns_and_takes_no_markup():
    pair = scored("[bold]x", 0.5, [("GOOD", 0.4)])
    console = Console(width=80, file=io.StringIO())
    console.print(suggestions_view(choose(joined(pair), 1)))
    shown = console.file.getvalue()
    assert "[bold]x" in shown
    assert "[bold]x  GOOD  behavioral, p(GOOD) 0.50, nearest exemplar 0.40" in shown
    assert "unsure: p(GOOD) is 0.50" in shown


# --- the command ---------------------------------------------------------------------------------------------


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_scores_to_tasks(run, tmp_path, monkeypatch):
    assert run("score", ROOT / "corpus/samples", "--out", "o", "-q")[0] == 0
    assert json.loads((tmp_path / "o/batch.json").read_text())["inputs"] == [str(ROOT / "corpus/samples")]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, out, err = run("corpus", "suggest", "../o/results.jsonl", "--count", "5")
    assert code == 0, err
    assert "5 to label next" in out
    assert out.endswith("Written: to_label.jsonl\n")
    assert err == "Left out: 2 UNSCORABLE. Next: debrief corpus label to_label.jsonl"
    tasks = lines(tmp_path / "elsewhere/to_label.jsonl")
    assert len({t["id"] for t in tasks}) == 5
    for task in tasks:
        assert all(task["text"][p["start"] : p["end"]] == p["text"] for p in task["proposed"])
    again = (tmp_path / "elsewhere/to_label.jsonl").read_bytes()
    assert run("corpus", "suggest", "../o", "--count", "5")[0] == 0
    assert (tmp_path / "elsewhere/to_label.jsonl").read_bytes() == again


def test_relative_inputs_are_found_from_anywhere(run, tmp_path, answers, monkeypatch):
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "answer": answers[0]}) + "\n")
    assert run("score", "a.jsonl", "--out", "o", "-q")[0] == 0
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert run("corpus", "suggest", "../o", "--format", "label-studio")[0] == 0
    assert sorted(p.name for p in (tmp_path / "deep").iterdir()) == ["label_config.xml", "to_label.json"]


def test_answers_from_standard_input_must_be_named(run, tmp_path, answers, monkeypatch):
    raw = (json.dumps({"id": "1", "answer": answers[0]}) + "\n").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    assert run("score", "-", "--out", "o", "-q")[0] == 0
    code, out, err = run("corpus", "suggest", "o")
    assert (code, out) == (2, "")
    assert err == (
        "debrief: o/batch.json: the answers came from standard input and are gone. "
        "Name the files they were scored from with --answers."
    )
    (tmp_path / "a.jsonl").write_bytes(raw)
    assert run("corpus", "suggest", "o", "--answers", "a.jsonl")[0] == 0


def test_what_cannot_be_joined_is_said_and_is_exit_1(run, tmp_path, answers):
    records = [{"id": str(i), "answer": a} for i, a in enumerate(answers)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    assert run("score", "a.jsonl", "--out", "o", "-q")[0] == 0
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records[1:]) + "{broken\n")
    code, out, err = run("corpus", "suggest", "o")
    assert code == 1
    assert "2 to label next" in out
    assert err == (
        "o/results.jsonl:1: the answer '0' was not found "
        f"{tmp_path}/a.jsonl:3: not valid JSON: Expecting property name enclosed in double quotes at column 2 "
        "Left out: 1 without their answer, 1 not readable among the answers. "
        "Next: debrief corpus label to_label.jsonl"
    )


def test_nothing_joined_is_exit_2(run, tmp_path, answers):
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "answer": answers[0]}))
    assert run("score", "a.jsonl", "--out", "o", "-q")[0] == 0
    (tmp_path / "a.jsonl").unlink()
    code, _, err = run("corpus", "suggest", "o")
    assert code == 2
    assert err == (
        "o/results.jsonl:1: the answer '1' was not found "
        f"{tmp_path}/a.jsonl: no such file or folder "
        "debrief: o: the answer of no result was found. Name the files they were scored from with --answers."
    )
    assert not (tmp_path / "to_label.jsonl").exists()
