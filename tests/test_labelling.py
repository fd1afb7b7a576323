import io
import json
import os
import pty
import select
import signal
import sys
import time

import pytest
from conftest import ROOT
from rich.console import Console

from pipeline import cli
from pipeline.corpus import find_problems, read_lines
from pipeline.errors import DebriefError, InputError
from pipeline.labelled import Arrived, Defaults, read_labelled
from pipeline.labelling import LabelFile, Session, Task, find_signal, find_words, propose, read_tasks
from pipeline.records import AnnotatedSignal, Answer, NearMiss, Rejection
from pipeline.signals import NEAR_MISS_KINDS, SIGNALS
from pipeline.suggest import Proposed

TEXT = "The owner refused to sign. So I took it to the board, and the board agreed. We had a weekly meeting."


def proposed(id_, words, text=TEXT):
    start = text.index(words)
    return Proposed(id=id_, start=start, end=start + len(words), text=words, confidence=0.9)


RESISTANCE = proposed("resistance", "The owner refused to sign.")
ESCALATION = proposed("escalation", "I took it to the board")
ADMIN = proposed("admin_coordination", "We had a weekly meeting.")


def task(id_="a1", *found, **fields):
    answer = Answer.model_validate({"id": id_, "text": TEXT, "question": "Why?", "round": "behavioral", **fields})
    return Task(answer, found)


class Person:
    """Plays a list of keys and lines; notes what was shown and asked before each."""

    def __init__(self, *said):
        self.said = list(said)
        self.console = Console(width=80, file=io.StringIO())
        self.seen = []  # what the screen held when each key or line was asked for

    def _next(self, prompt):
        self.console.print(prompt, markup=False, highlight=False)
        self.seen.append(self.screen)
        if not self.said:
            raise EOFError
        return self.said.pop(0)

    def ask_key(self, prompt, keys):
        key = self._next(prompt)
        assert key in keys, f"{key!r} is not asked for here: {prompt}"
        return key

    def ask_line(self, prompt):
        return self._next(prompt)

    @property
    def screen(self):
        return self.console.file.getvalue()


def label(path, tasks, *said, **options):
    person = Person(*said)
    session = Session(
        LabelFile(path), person.ask_key, person.ask_line, person.console.print, **{"annotator": "ann", **options}
    )
    tally = session.run(tasks)
    assert person.said == [], "not everything was asked for"
    return person, (tally.done, tally.skipped, tally.left), lines(path)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labelled.jsonl"


def test_a_whole_answer(path):
    found = [RESISTANCE, ESCALATION, ADMIN]
    said = ["g", "8", "y", "m", "2", "n", "stated trade", "the board agreed", "", "q"]
    _, tally, kept = label(path, [task("a1", *found)], *said)
    assert tally == (1, 0, 0)
    assert kept == [
        {
            "id": "a1",
            "text": TEXT,
            "question": "Why?",
            "round": "behavioral",
            "verdict": "GOOD",
            "strength": 0.8,
            "signals": [
                {"id": "resistance", "start": 0, "end": 26, "text": "The owner refused to sign."},
                {"id": "stated_tradeoff", "start": 58, "end": 74, "text": "the board agreed"},
            ],
            "near_misses": [
                {"id": "escalation", "kind": "other_person", "start": 30, "end": 52, "text": "I took it to the board"}
            ],
            "annotator": "ann",
        }
    ]
    for mark in kept[0]["signals"]:
        AnnotatedSignal.model_validate(mark)
    NearMiss.model_validate(kept[0]["near_misses"][0])


def test_what_is_kept_is_an_exemplar_once_its_place_is_known(path, tmp_path):
    label(path, [task("a1", RESISTANCE)], "g", "8", "y", "", author="ann")
    (kept,) = lines(path)
    del kept["annotator"]
    kept |= {"split": "train", "setting": "everyday", "style": "edited", "scenario": "ann/a1"}
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/ann.jsonl").write_text(json.dumps(kept) + "\n")
    placed, problems = read_lines(tmp_path / "corpus")
    assert [*problems, *find_problems(placed)] == []


def test_what_is_kept_can_be_added(path):
    found = [RESISTANCE, ESCALATION]
    fields = {"author": "bob", "style": "asr", "setting": "everyday"}
    label(path, [task("a 1", *found, **fields), task("b")], "g", "8", "y", "m", "4", "", "b", "2", "", author="ann")
    arrived = read_labelled(path, Defaults())
    assert [str(a) for a in arrived if not isinstance(a, Arrived)] == []
    one, two = (a.labelled for a in arrived)
    kept = lines(path)
    assert (one.id, two.id) == (kept[0]["id"], "b")
    assert [s.model_dump() for s in one.signals] == kept[0]["signals"]
    assert [n.model_dump() for n in one.near_misses] == kept[0]["near_misses"]
    assert (one.author, one.style, one.setting, two.author) == ("bob", "asr", "everyday", "ann")
    assert (one.verdict, one.strength, one.annotator, two.signals) == ("GOOD", 0.8, "ann", ())


def test_nothing_of_the_model_is_seen_before_verdict_and_strength(path):
    person, _, _ = label(path, [task("a1", RESISTANCE)], "b", "2", "n", "")
    before_verdict, before_strength, at_proposal = person.seen[:3]
    shows = SIGNALS["resistance"].shows
    assert TEXT[:40] in before_verdict
    assert shows not in before_verdict and shows not in before_strength
    assert shows in at_proposal


def test_blind_never_shows_a_proposal(path):
    person, _, (kept,) = label(path, [task("a1", RESISTANCE)], "b", "2", "", blind=True)
    assert SIGNALS["resistance"].shows not in person.screen
    assert kept["signals"] == []


@pytest.mark.parametrize(("verdict", "keys"), [("g", "56789"), ("b", "1234")])
def test_only_strengths_that_fit_the_verdict_are_asked_for(path, verdict, keys):
    asked = []
    person = Person(verdict, keys[0], "")

    def ask_key(prompt, wanted):
        asked.append(wanted)
        return person.ask_key(prompt, wanted)

    Session(LabelFile(path), ask_key, person.ask_line, person.console.print, "ann").run([task()])
    assert asked[:2] == ["gbsuq", keys + "rq"]
    (kept,) = lines(path)
    assert kept["strength"] == int(keys[0]) / 10


def test_a_near_miss_is_for_positive_signals_only(path):
    with pytest.raises(AssertionError, match="'m' is not asked for here"):
        label(path, [task("a1", ADMIN)], "b", "2", "m")


def test_every_kind_of_near_miss_has_a_key(path):
    for number, kind in enumerate(NEAR_MISS_KINDS, 1):
        _, _, kept = label(path, [task(f"a{number}", RESISTANCE)], "b", "2", "m", str(number), "")
        assert kept[-1]["near_misses"][0]["kind"] == kind


def test_other_words_for_a_proposal(path):
    person, _, (kept,) = label(
        path, [task("a1", RESISTANCE)], "g", "5", "e", "nobody said this", "THE OWNER  refused", ""
    )
    assert "These words are not in the answer." in person.screen
    assert kept["signals"] == [{"id": "resistance", "start": 0, "end": 17, "text": "The owner refused"}]


def test_words_that_stand_there_twice_are_asked_about(path):
    person, _, (kept,) = label(path, [task("a1", ESCALATION)], "g", "5", "e", "the board", "2", "")
    assert "1 So I took it to the board, and the board agreed." in person.screen
    assert kept["signals"][0]["start"] == 58


def test_no_other_words_after_all_leads_back_to_the_proposal(path):
    _, _, (kept,) = label(path, [task("a1", RESISTANCE)], "g", "5", "e", "", "y", "")
    assert kept["signals"][0]["text"] == "The owner refused to sign."


def test_words_too_common_to_choose_by_a_key(path):
    text = "no " * 12 + "and that was all"
    person, _, (kept,) = label(path, [task(text=text)], "b", "1", "vague_claim", "no", "that was all", "")
    assert "They are there 12 times; type more of the words around them." in person.screen
    assert kept["signals"][0]["text"] == "that was all"


def test_the_same_mark_is_not_made_twice(path):
    person, _, (kept,) = label(path, [task("a1", RESISTANCE)], "g", "5", "y", "resistance", RESISTANCE.text, "")
    assert "That is marked already." in person.screen
    assert len(kept["signals"]) == 1


def test_names_that_say_nothing_or_too_much(path):
    person, _, _ = label(path, [task()], "g", "5", "?", "luck", "s", "")
    assert "  sizing: the answer sizes the problem or the load" in person.screen
    assert "No signal has that name; ? lists them." in person.screen
    assert "That may be: success_criteria, stated_tradeoff, sizing, second_order_effect," in person.screen


def test_missing_round_and_question_are_asked_for(path):
    _, _, (kept,) = label(path, [task(question=None, round=None)], "3", "  What did   you do? ", "b", "4", "")
    assert (kept["round"], kept["question"]) == ("analytical", "What did you do?")


def test_no_question_skips_the_answer(path):
    _, tally, kept = label(path, [task(question=None), task("a2")], "", "b", "4", "")
    assert tally == (1, 1, 0)
    assert [k["id"] for k in kept] == ["a2"]


def test_skip_and_quit(path):
    _, tally, kept = label(path, [task("a1"), task("a2"), task("a3")], "s", "b", "1", "", "q")
    assert tally == (1, 1, 1)
    assert [k["id"] for k in kept] == ["a2"]


def test_starting_over_forgets_what_was_marked(path):
    _, _, (kept,) = label(path, [task("a1", RESISTANCE, ADMIN)], "g", "9", "y", "r", "b", "1", "n", "y", "")
    assert kept["verdict"] == "BAD"
    assert [s["id"] for s in kept["signals"]] == ["admin_coordination"]


def test_undo_takes_back_the_last_finished_one(path):
    tasks = [task("a1"), task("a2")]
    person, tally, kept = label(path, tasks, "u", "g", "9", "", "u", "b", "1", "", "g", "6", "", "u", "g", "7", "", "q")
    assert "Nothing was finished in this run, so there is nothing to undo." in person.screen
    assert tally == (2, 0, 0)
    assert [(k["id"], k["verdict"], k["strength"]) for k in kept] == [("a1", "BAD", 0.1), ("a2", "GOOD", 0.7)]


def test_undo_leaves_what_an_earlier_run_kept(path):
    label(path, [task("a1")], "g", "9", "")
    before = path.read_bytes()
    label(path, [task("a2")], "g", "9", "", "u", "q")
    assert path.read_bytes() == before


def test_undo_beside_another_writer_destroys_nothing(path):
    labels = LabelFile(path)
    labels.keep({"id": "a", "text": "t", "verdict": "GOOD"})
    with path.open("a") as file:
        file.write('{"id": "b", "text": "t", "verdict": "BAD"}\n')
    with pytest.raises(DebriefError, match="somebody else writes here too"):
        labels.undo()
    assert [k["id"] for k in lines(path)] == ["a", "b"]


def test_each_answer_is_kept_at_once(path):
    _, tally, kept = label(path, [task("a1"), task("a2")], "g", "9", "", "g", "9")  # then nobody answers any more
    assert tally == (1, 0, 1)
    assert [k["id"] for k in kept] == ["a1"]


def test_half_a_line_of_a_killed_run_is_cut_off(path):
    label(path, [task("a1")], "g", "9", "")
    whole = path.read_bytes()
    for cut in (b'{"i', b'{"id": "a2", "text": "The ow'):
        path.write_bytes(whole + cut)
        assert list(LabelFile(path).kept) == ["a1"]
        assert path.read_bytes() == whole
    path.write_bytes(whole.rstrip(b"\n"))
    label(path, [task("a2")], "g", "9", "")
    assert [k["id"] for k in lines(path)] == ["a1", "a2"]


@pytest.mark.parametrize("content", ["my notes", '{"id": "a", "text": "t"}\n', "1\n", '{"id": "a\n{}\n'])
def test_a_file_of_something_else_is_left_alone(path, content):
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        LabelFile(path)
    assert str(caught.value) == f"{path}:1: not a label. Mend or delete the line, or name another file with --out."
    assert path.read_text() == content


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DebriefError) as caught:
        LabelFile(tmp_path / "no/labelled.jsonl")
    assert str(caught.value) == f"{tmp_path}/no: no such folder. Make it, or name another file with --out."


def test_what_says_who_and_how_is_carried_on(path):
    fields = {"author": "bob", "style": "asr", "team": "x"}
    _, _, kept = label(path, [task("a1", **fields), task("a2")], "g", "9", "", "g", "9", "", author="ann")
    assert [(k["author"], k.get("style"), k.get("team")) for k in kept] == [("bob", "asr", None), ("ann", None, None)]


def test_ids_are_made_fit_for_the_corpus_and_stay_apart():
    one, two, fine = task("a 1.b").id, task("a 1 b").id, task("a-1_b").id
    assert fine == "a-1_b"
    assert one.startswith("a-1-b-") and two.startswith("a-1-b-")
    assert one != two


def test_control_characters_do_not_reach_the_terminal(path):
    person, _, (kept,) = label(path, [task(text="a \x1b[2J b c d")], "b", "1", "sizing", "b c d", "")
    assert "\x1b" not in person.screen
    assert kept["text"] == "a \x1b[2J b c d"
    assert kept["signals"][0]["text"] == "b c d"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("Stated Trade-off", ["stated_tradeoff"]),
        ("stated_tradeoff", ["stated_tradeoff"]),
        ("derisk", ["derisking_timeline"]),
        ("admin as", ["admin_coordination"]),
        ("sizing", ["sizing"]),
        ("-", []),
        ("zzz", []),
    ],
)
def test_signals_are_found_by_what_people_type(typed, found):
    assert find_signal(typed) == found


def test_words_are_found_whole():
    text = "Other the, the\nend. THE end? $5 (five)"
    assert [text[a:b] for a, b in find_words(text, "the")] == ["the", "the"]
    assert [text[a:b] for a, b in find_words(text, "the end.")] == ["the\nend."]
    assert [text[a:b] for a, b in find_words(text, "the END?")] == ["THE end?"]
    assert [text[a:b] for a, b in find_words(text, "$5 (five)")] == ["$5 (five)"]
    assert find_words(text, "  ") == []


def test_records_that_cannot_be_labelled_are_refused_with_their_line(tmp_path):
    source = tmp_path / "t.jsonl"
    good = RESISTANCE.model_dump()
    records = [
        {"id": "a", "text": TEXT, "proposed": [good]},
        {"id": "b", "text": " "},
        {"id": "c", "text": TEXT, "proposed": [{**good, "start": 1}]},
        {"id": "d", "text": TEXT, "proposed": [{**good, "id": "luck"}]},
        {"id": "e", "text": TEXT},
        {"id": "f", "text": TEXT},
        {"id": "g", "text": TEXT},
    ]
    source.write_text("".join(json.dumps(r) + "\n" for r in records))
    broken = Rejection(file="x", line=1, reason="broken")
    answers = [Answer.model_validate(r) for r in records]
    tasks, refused, already = read_tasks([broken, *answers], str(source), {"e": TEXT, "f": "other"})
    assert [(t.answer.id, t.proposed) for t in tasks] == [("a", (RESISTANCE,)), ("g", None)]
    assert already == 1
    assert refused[0] == broken
    assert [(r.line, r.id) for r in refused[1:]] == [(2, "b"), (3, "c"), (4, "d"), (6, "f")]
    assert [r.reason for r in refused[1:3]] == [
        "the answer 'b' is empty",
        "proposed resistance: text[1:26] is not the quoted evidence",
    ]
    assert refused[3].reason.startswith("proposed.0.id: unknown signal 'luck'; one of: framing_before_solution, ")
    assert refused[4].reason == "id 'f' is labelled already, with another text; give each answer its own"


def test_the_model_is_asked_only_where_nothing_was_proposed(scorer, answers):
    tasks = [task("a1", RESISTANCE), *(Task(Answer(id=f"b{i}", text=a)) for i, a in enumerate(answers))]
    asked = propose(tasks, scorer, chunk=2)
    assert asked[0].proposed == (RESISTANCE,)
    assert [t.answer for t in asked] == [t.answer for t in tasks]
    assert any(t.proposed for t in asked[1:])
    for t in asked[1:]:
        assert all(t.answer.text[p.start : p.end] == p.text for p in t.proposed)


# --- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, command, tiny_default):
    def go(*words, typed=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code, out, err = command("corpus", "label", *words)
        return code, out, err.replace("\n", " ").strip()

    return go


def write(path, *records):
    path.write_text("".join(json.dumps({"question": "Why?", "round": "behavioral", **r}) + "\n" for r in records))


def test_a_pipe_can_type(run, tmp_path):
    write(tmp_path / "a.jsonl", {"id": "1", "answer": TEXT}, {"id": "2", "answer": TEXT + " Again."})
    code, out, err = run("a.jsonl", "--blind", typed="ann\nx\nG\n7\nresist\nthe owner refused\n\nq\n")
    assert (code, err) == (0, "Next: debrief corpus add labelled.jsonl")
    assert "one of: g b s u q" in out
    assert out.endswith("\n1 done, 0 skipped, 1 left.\n")
    (kept,) = lines(tmp_path / "labelled.jsonl")
    assert (kept["id"], kept["verdict"], kept["strength"], kept["annotator"]) == ("1", "GOOD", 0.7, "ann")
    assert kept["signals"][0]["text"] == "The owner refused"

    code, out, err = run("a.jsonl", "--blind", "--annotator", "bob", typed="b\n1\n\n")
    assert (code, err) == (0, "1 labelled already, in labelled.jsonl Next: debrief corpus add labelled.jsonl")
    assert [(k["id"], k["annotator"]) for k in lines(tmp_path / "labelled.jsonl")] == [("1", "ann"), ("2", "bob")]

    code, out, err = run("a.jsonl")
    assert (code, out) == (0, "\n0 done, 0 skipped, 0 left.\n")
    assert err == "2 labelled already, in labelled.jsonl Next: debrief corpus add labelled.jsonl"


def test_answers_are_scored_first_where_nothing_was_proposed(run, tmp_path, answers, scorer):
    write(tmp_path / "a.jsonl", {"id": "1", "answer": answers[0]})
    (asked,) = propose([Task(Answer(id="1", text=answers[0], question="Why?", round="behavioral"))], scorer)
    assert asked.proposed
    typed = "g\n7\n" + "y\n" * len(asked.proposed) + "\n"
    assert run("a.jsonl", "--annotator", "ann", typed=typed)[0] == 0
    (kept,) = lines(tmp_path / "labelled.jsonl")
    assert [(s["id"], s["start"]) for s in kept["signals"]] == [(p.id, p.start) for p in asked.proposed]


def test_what_suggest_wrote_is_labelled(run, tmp_path, monkeypatch):
    for words in (["score", ROOT / "corpus/samples", "--out", "o", "-q"], ["corpus", "suggest", "o", "--count", "2"]):
        monkeypatch.setattr("sys.argv", ["debrief", *map(str, words)])
        cli.app(standalone_mode=False)
    tasks = lines(tmp_path / "to_label.jsonl")
    typed = "".join("b\n3\n" + "n\n" * len(t["proposed"]) + "\n" for t in tasks)
    code, _, err = run("to_label.jsonl", "--annotator", "ann", "--author", "ada", "--model", "nowhere", typed=typed)
    assert code == 0, err  # the model is not asked again
    kept = lines(tmp_path / "labelled.jsonl")
    assert [(k["id"], k["author"]) for k in kept] == [(t["id"], "ada") for t in tasks]


def test_some_refused_is_exit_1(run, tmp_path):
    write(tmp_path / "a.jsonl", {"id": "1", "answer": TEXT}, {"id": "2", "answer": ""})
    code, _, err = run("a.jsonl", "--blind", "--annotator", "ann", typed="s\n")
    assert (code, err) == (1, "a.jsonl:2: the answer '2' is empty")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no.jsonl"], "no.jsonl: no such file or folder debrief: no.jsonl: nothing to label. See the reasons above."),
        (["-"], "debrief: answers on standard input leave no way to type. Write them to a file and name it."),
        (
            ["a.jsonl", "--author", "Ada L."],
            "debrief: --author 'Ada L.' holds more than letters, digits, - and _. Name it without them.",
        ),
        (
            ["a.jsonl", "--out", "a.jsonl"],
            "debrief: a.jsonl:1: not a label. Mend or delete the line, or name another file with --out.",
        ),
    ],
)
def test_what_makes_labelling_impossible_is_one_line(run, tmp_path, words, message):
    write(tmp_path / "a.jsonl", {"id": "1", "answer": TEXT})
    before = (tmp_path / "a.jsonl").read_bytes()
    assert run(*words) == (2, "", message)
    assert (tmp_path / "a.jsonl").read_bytes() == before


class Terminal:
    """The real command behind a pseudo-terminal."""

    def __init__(self, folder, *words):
        self.screen = ""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(folder)
            os.environ |= {"COLUMNS": "80", "TERM": "xterm", "PYTHONPATH": str(ROOT)}
            os.execv(sys.executable, [sys.executable, "-m", "pipeline.cli", "corpus", "label", *words])

    def expect(self, text, seconds=60):
        """Read on until ``text`` comes; what was read before it is not looked at again."""
        until = time.monotonic() + seconds
        while text not in self.screen:
            ready, _, _ = select.select([self.fd], [], [], max(0, until - time.monotonic()))
            assert ready, f"{text!r} did not come: {self.screen!r}"
            self.screen += os.read(self.fd, 4096).decode()
        self.screen = self.screen.split(text, 1)[1]

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Exit code."""
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError:  # Linux says EIO where the other side has closed
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(tmp_path):
    write(
        tmp_path / "t.jsonl",
        {"id": "1", "text": TEXT, "proposed": [RESISTANCE.model_dump(), ESCALATION.model_dump()]},
        {"id": "2", "text": TEXT + " Again.", "proposed": []},
    )
    started = Terminal(tmp_path, "t.jsonl", "--annotator", "ann")
    yield started
    try:
        os.kill(started.pid, signal.SIGKILL)
        os.waitpid(started.pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # it has ended by itself, as it should


def test_at_a_terminal(terminal, tmp_path):
    terminal.expect("1 of 2: 1")
    terminal.expect("q quit:")
    terminal.type("x\x1b[A")  # neither a key that is asked for nor an arrow does anything
    terminal.type("g")
    terminal.expect("how GOOD, 5 to 9")
    terminal.type("1")  # does not fit GOOD
    terminal.type("7")
    terminal.expect("resistance")
    terminal.expect("m near miss")
    terminal.type("y")
    terminal.expect("escalation")
    terminal.expect("m near miss")
    terminal.type("e")
    terminal.expect("Enter: none):")
    terminal.type("I took it tx\x7fo the board\n")
    terminal.expect("another signal?")
    terminal.type("\n")
    terminal.expect("kept: GOOD 0.7, 2 signals, 0 near misses")
    assert [k["id"] for k in lines(tmp_path / "labelled.jsonl")] == ["1"]  # while the command is still running
    terminal.expect("2 of 2: 2")
    terminal.expect("q quit:")
    terminal.type("\x03")
    terminal.expect("1 done, 0 skipped, 1 left.")
    terminal.expect("Next: debrief corpus add labelled.jsonl")
    assert terminal.end() == 130
    (kept,) = lines(tmp_path / "labelled.jsonl")
    assert [s["text"] for s in kept["signals"]] == ["The owner refused to sign.", "I took it to the board"]


def test_a_kill_loses_only_the_answer_under_way(terminal, tmp_path):
    for key, then in (("b", "how BAD"), ("4", "resistance"), ("n", "escalation"), ("n", "another signal?")):
        terminal.expect("q quit:")
        terminal.type(key)
        terminal.expect(then)
    terminal.type("\n")
    terminal.expect("kept: BAD 0.4")
    terminal.expect("q quit:")
    terminal.type("g")
    terminal.expect("how GOOD")
    os.kill(terminal.pid, signal.SIGKILL)
    assert terminal.end() == -signal.SIGKILL
    again = Terminal(tmp_path, "t.jsonl", "--annotator", "ann")
    again.expect("1 labelled already, in labelled.jsonl")
    again.expect("1 of 1: 2")
    again.expect("q quit:")
    again.type("q")
    again.expect("0 done, 0 skipped, 1 left.")
    assert again.end() == 0
    assert [k["id"] for k in lines(tmp_path / "labelled.jsonl")] == ["1"]
