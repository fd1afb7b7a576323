"""What the corpus takes and what it refuses, the files it leaves, and the command as a user meets it."""

import json
import shutil

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.corpus import Placed, find_problems, near_duplicates, read_placed
from pipeline.errors import DebriefError
from pipeline.intake import admit, append, line_of, look_ahead, same_words
from pipeline.labelled import Arrived, Labelled, Refusal, read_labelled
from pipeline.labelled import Defaults as Told
from pipeline.records import Annotation
from pipeline.splits import side_of
from pipeline.survey import agreement, survey

SAMPLES = ROOT / "tests/labelled"
GOOD = "We gave up the window display so that the heating could stay on until March for the old people."
BAD = "We improved the window display so that the heating could stay on until March for the old people."
OTHER = "The cook wanted new pans and I said no because the roof leaked and a wet floor would have shut us in a week."
THIRD = "Everyone was aligned and the board had all the tickets on it so the launch was a success for the whole team."


@pytest.fixture
def corpus(exemplars):
    """The small corpus of the tests, each exemplar with a place."""
    return [Placed(e, f"c/{e.author}.jsonl:{n}") for n, e in enumerate(exemplars, 1)]


@pytest.fixture
def folder(exemplars, tmp_path):
    """The same on disk."""
    place = tmp_path / "corpus/exemplars"
    place.mkdir(parents=True)
    append(exemplars, place)
    return place


def come(*records):
    """Records as they come from a file, its lines counted from 1."""
    base = {"question": "Q?", "round": "behavioral", "setting": "professional", "style": "spoken", "author": "mill"}
    arrived = []
    for number, record in enumerate(records, 1):
        fields = {**base, "text": GOOD, "verdict": "GOOD", **record}
        fields.setdefault("strength", 0.8 if fields["verdict"] == "GOOD" else 0.2)
        arrived.append(Arrived(Labelled.model_validate(fields), f"new:{number}"))
    return arrived


def said(admission):
    return [str(refusal) for refusal in admission.refused]


# --- what is taken -------------------------------------------------------------------------------------------


def test_an_answer_with_nothing_but_the_needed_gets_the_rest(corpus):
    (taken,) = admit(come({}), corpus).accepted
    assert taken.id == "mill-6244162a"
    assert taken.scenario == "mill/mill-6244162a"
    assert (taken.split, taken.pair, taken.signals, taken.annotations) == (side_of("mill"), None, None, ())


def test_what_an_annotator_said_stands_beside_it(corpus):
    signal = {"id": "stated_tradeoff", "start": 0, "end": 29, "text": GOOD[:29]}
    (taken,) = admit(come({"annotator": "ines", "signals": [signal]}), corpus).accepted
    assert taken.annotations == (Annotation(annotator="ines", verdict="GOOD", strength=0.8, signals=taken.signals),)


def test_a_known_author_keeps_the_side_and_a_new_one_gets_it_by_name(corpus):
    moved = [Placed(p.exemplar.model_copy(update={"split": "test"}), p.where) for p in corpus]
    known = corpus[0].exemplar.author
    records = come({"author": known}, {"author": "noor", "text": OTHER}, {"author": "x4", "text": THIRD})
    assert [e.split for e in admit(records, moved).accepted] == ["test", side_of("noor"), side_of("x4")]
    assert {side_of(f"x{n}") for n in range(40)} == {"train", "test"}


def test_a_split_may_only_say_what_the_program_decides(corpus):
    known, side = corpus[0].exemplar.author, side_of("mill")
    other = "test" if side == "train" else "train"
    assert len(admit(come({"split": side}), corpus).accepted) == 1
    assert said(admit(come({"split": other}), corpus)) == [
        f"new:1: split: it is {side}, for the author's name decides it; leave the field out"
    ]
    assert said(admit(come({"author": known, "split": "test", "strength": 0.1}), corpus)) == [
        "new:1: split: it is train, for the corpus has the author there; leave the field out; "
        "verdict GOOD with strength 0.1"
    ]


def test_a_pair_comes_in_together(corpus):
    pair = {"pair": "mill-1", "twin": "plain"}
    admission = admit(come(pair, {**pair, "text": BAD, "verdict": "BAD"}), corpus)
    assert said(admission) == []
    assert [(e.verdict, e.scenario) for e in admission.accepted] == [("GOOD", "mill/mill-1"), ("BAD", "mill/mill-1")]


# --- what is refused -----------------------------------------------------------------------------------------


def test_the_same_answer_again_is_a_duplicate(corpus):
    old = corpus[0].exemplar
    again = {"text": old.text.upper().replace(" ", "  ").replace(".", " !"), "verdict": old.verdict}
    admission = admit(come(again, {}, {"text": GOOD.lower()}), corpus)
    assert said(admission) == [
        f"new:1: duplicate of {old.id!r} at {corpus[0].where}",
        "new:3: duplicate of 'mill-6244162a' at new:2",
    ]
    assert [e.text for e in admission.accepted] == [GOOD]


def test_another_verdict_for_an_answer_of_the_corpus_is_a_contradiction(corpus):
    old = corpus[0].exemplar
    other = "BAD" if old.is_good else "GOOD"
    (refusal,) = admit(come({"text": old.text, "verdict": other}), corpus).refused
    assert str(refusal) == (
        f"new:1: {other} here and {old.verdict} at {corpus[0].where} ({old.id!r}) for the same answer; "
        "decide which is right; change or delete the other"
    )
    assert [p.where for p in refusal.both] == ["new:1", corpus[0].where]


def test_a_contradiction_within_the_file_refuses_both(corpus):
    admission = admit(come({}, {"verdict": "BAD", "text": GOOD + "!"}, {"text": OTHER}), corpus)
    assert [e.text for e in admission.accepted] == [OTHER]
    assert [[p.where for p in r.both] for r in admission.refused] == [["new:1", "new:2"], ["new:2", "new:1"]]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([{"id": "{id}"}], ["new:1: id '{id}' is taken at {where}"]),
        ([{"id": "a"}, {"id": "a", "text": OTHER, "scenario": "s"}], ["new:2: id 'a' is taken at new:1"]),
        ([{"scenario": "{scenario}"}], ["new:1: scenario '{scenario}' stands at {where} too, outside this pair"]),
        ([{"pair": "{pair}"}], ["new:1: pair '{pair}' wants one GOOD and one BAD, has 3 answers"]),
        ([{"pair": "m"}], ["new:1: pair 'm' wants one GOOD and one BAD, has 1 answers"]),
        ([{"strength": 0.3}], ["new:1: verdict GOOD with strength 0.3"]),
        (
            [{}, {"text": GOOD + " " + "So the choir sang.", "author": "noor"}],
            ["new:2: nearly the answer at new:1 (78% of the runs of 6 words shared)"],
        ),
        (
            [{"strength": 0.3, "id": "{id}"}],
            ["new:1: id '{id}' is taken at {where}; verdict GOOD with strength 0.3"],
        ),
        (
            [{"pair": "m"}, {"pair": "m", "text": BAD, "verdict": "BAD", "question": "Why?"}],
            ["new:1: the twins of 'm' differ in question", "new:2: the twins of 'm' differ in question"],
        ),
        (
            [{"pair": "m"}, {"pair": "m", "text": BAD, "verdict": "BAD", "strength": 0.9}],
            ["new:1: its twin was refused (new:2)", "new:2: verdict BAD with strength 0.9"],
        ),
    ],
)
def test_the_rules_of_the_corpus(corpus, records, expected):
    old = corpus[0]
    names = {**old.exemplar.model_dump(), "where": old.where}
    filled = [{k: v.format(**names) if isinstance(v, str) else v for k, v in r.items()} for r in records]
    assert said(admit(come(*filled), corpus)) == [text.format(**names) for text in expected]


def test_a_twin_that_could_not_be_read_takes_the_other_with_it(corpus):
    broken = Refusal("new:9", ("verdict: none given",), pair="m")
    assert said(admit([broken, *come({"pair": "m"})], corpus)) == [
        "new:9: verdict: none given",
        "new:1: its twin was refused (new:9)",
    ]


def test_a_pair_stays_whole_when_a_copy_of_one_twin_is_refused(corpus):
    pair = [{"pair": "m"}, {"pair": "m", "text": BAD, "verdict": "BAD"}]
    admission = admit(come(*pair, *pair), corpus)
    assert [e.text for e in admission.accepted] == [GOOD, BAD]
    assert [r.where for r in admission.refused] == ["new:3", "new:4"]


def test_what_was_refused_does_not_stand_in_the_way(corpus):
    admission = admit(come({"strength": 0.1, "id": "a"}, {"text": GOOD + " Really so.", "id": "a"}), corpus)
    assert [e.id for e in admission.accepted] == ["a"]


def test_the_words_alone_are_compared():
    assert same_words("“It’s  fine” — so\u00a0WE went.") == same_words("its fine so we went")
    assert same_words("we did not") != same_words("we did")


quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = [GOOD, BAD, OTHER, THIRD, GOOD.upper(), OTHER + " And so on.", "Short one."]


@settings(quick, max_examples=200)
@given(data=st.data())
def test_nothing_is_lost_and_a_sound_corpus_stays_sound(exemplars, data):
    some = [Placed(e, f"c:{n}") for n, e in enumerate(exemplars[:6], 1)]
    old = some[0].exemplar
    record = st.fixed_dictionaries(
        {
            "text": st.sampled_from([*TEXTS, old.text]),
            "verdict": st.sampled_from(["GOOD", "BAD"]),
            "author": st.sampled_from(["mill", "noor", old.author]),
        },
        optional={
            "pair": st.sampled_from(["p", "q", old.pair]),
            "id": st.sampled_from(["a", "b", old.id]),
            "scenario": st.sampled_from(["s", "t", old.scenario]),
            "strength": st.sampled_from([0.2, 0.8]),
        },
    )
    arrived = come(*data.draw(st.lists(record, max_size=8)))
    broken = data.draw(st.sets(st.integers(0, 7), max_size=2))
    mixed = [Refusal(a.where, ("no",), a.labelled.pair) if n in broken else a for n, a in enumerate(arrived)]
    admission = admit(mixed, some)
    assert len(admission.accepted) + len(admission.refused) == len(mixed)
    assert all(r.reasons for r in admission.refused)
    placed = [Placed(e, f"accepted:{n}") for n, e in enumerate(admission.accepted)]
    assert find_problems([*some, *placed]) == []
    assert len({same_words(p.exemplar.text) for p in placed}) == len(placed)
    again = admit(mixed, [*some, *placed])
    assert again.accepted == []


def test_near_duplicates_are_told_in_the_order_of_the_first(corpus):
    twice = [*corpus[:4], *(Placed(p.exemplar.model_copy(update={"scenario": "x"}), f"x:{n}") for n, p in
                            enumerate(reversed(corpus[:4]), 1))]  # fmt: skip
    found = [text.split(" (")[0] for text in near_duplicates(twice)]
    exact = [f"x:{n}: nearly the answer at {p.where}" for n, p in zip((4, 3, 2, 1), corpus[:4], strict=True)]
    assert [text for text in found if text in exact] == exact


# --- the files -----------------------------------------------------------------------------------------------


def test_a_line_is_written_as_those_that_are_there():
    for path in (ROOT / "corpus/exemplars/e01.jsonl", ROOT / "corpus/exemplars/p14.jsonl"):
        placed = [p.exemplar for p in read_placed(ROOT / "corpus/exemplars") if p.where.startswith(str(path))]
        assert "".join(line_of(e) + "\n" for e in placed) == path.read_text(encoding="utf-8")


def test_lines_are_added_after_those_that_stand(corpus, folder):
    author = corpus[0].exemplar.author
    path = folder / f"{author}.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    accepted = admit(come({"author": author}, {"author": "noor", "text": OTHER}), corpus).accepted
    assert append(accepted, folder) == [path, folder / "noor.jsonl"]
    assert path.read_bytes() == before.pop(path.name) + f"\n{line_of(accepted[0])}\n".encode()
    assert (folder / "noor.jsonl").read_bytes() == f"{line_of(accepted[1])}\n".encode()
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert len(list(folder.iterdir())) == len(before) + 2
    assert json.loads((folder / "noor.jsonl").read_text())["signals"] is None


def test_no_file_is_changed_unless_all_can_be(corpus, folder):
    (folder / "noor.jsonl").mkdir()
    author = corpus[0].exemplar.author
    before = (folder / f"{author}.jsonl").read_bytes()
    accepted = admit(come({"author": author}, {"author": "noor", "text": OTHER}), corpus).accepted
    with pytest.raises(DebriefError) as caught:
        append(accepted, folder)
    assert str(caught.value) == f"{folder}: cannot write here (Is a directory). Name another folder with --to."
    assert (folder / f"{author}.jsonl").read_bytes() == before
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


# --- counts of what nobody annotated -------------------------------------------------------------------------


def test_a_survey_of_answers_that_nobody_annotated(exemplars):
    bare = [e.model_copy(update={"signals": None, "near_misses": (), "twin": None, "pair": None}) for e in exemplars]
    half = [*exemplars[:40], *bare[40:]]
    measured = survey(half)
    assert (measured["counts"]["annotated"], measured["counts"]["pairs"]) == (40, 20)
    assert measured["signals"] == survey(exemplars[:40])["signals"]
    assert measured["by"]["twin"]["none"] == {"answers": 40, "good": 20}


def test_agreement_on_signals_leaves_out_answers_with_a_verdict_only(exemplars):
    def twice(e, **change):
        same = Annotation(annotator="x", verdict=e.verdict, strength=e.strength, signals=e.shown)
        return e.model_copy(update={"annotations": (same, same.model_copy(update={"signals": ()})), **change})

    half = [*map(twice, exemplars[:40]), *(twice(e, signals=None) for e in exemplars[40:])]
    assert agreement(half)["f1"] == agreement(half[:40])["f1"]
    assert agreement(half)["n"] == 80
    assert agreement(half[40:])["macro_f1"] is None


def test_the_figures_from_before_are_taken_where_they_are_of_this_corpus(corpus, tmp_path):
    path = tmp_path / "corpus.json"
    accepted = admit(come({}), corpus).accepted
    stored = {"counts": {"answers": 80, "good": 40, "pairs": 40, "authors": 4}, "shortcuts": {"length_auc": 0.123}}
    path.write_text(json.dumps(stored))
    assert look_ahead(corpus, accepted, path).shortcuts[0] == {"length_auc": 0.123}
    path.write_text(json.dumps({**stored, "counts": {**stored["counts"], "answers": 81}}))
    assert look_ahead(corpus, accepted, path).shortcuts[0]["n"] == 80


# --- the command ---------------------------------------------------------------------------------------------


@pytest.fixture
def run(monkeypatch, command, folder, tmp_path):
    def go(*words):
        code, out, err = command("corpus", "add", *words)
        return code, out, err.splitlines()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return go


def bytes_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def rows(out):
    """The cells of the tables printed, by the first cell."""
    return {cells[0]: cells[1:] for line in out.splitlines() if len(cells := line.replace("│", " ").split()) > 1}


@pytest.mark.parametrize(
    "name",
    ["native.jsonl", "answers.csv", "label-studio.json", "label-studio-min.json", "doccano.jsonl", "prodigy.jsonl"],
)
def test_a_file_of_any_format_comes_in_and_the_second_time_changes_nothing(run, folder, name):
    before = bytes_of(folder)
    code, out, err = run(SAMPLES / name)
    assert (code, err) == (0, ["Next: debrief retrain"])
    assert out.splitlines()[0].rstrip() == "3 accepted, 0 refused"
    assert rows(out)["mill"][:3] == ["2", "1", "1"]
    assert rows(out)["noor"][:3] == ["1", "1", "0"]
    assert rows(out)["answers"] == ["80", "83"]
    assert "`debrief corpus check` will find no problems." in out
    after = bytes_of(folder)
    assert set(after) == set(before) | {"mill.jsonl", "noor.jsonl"}
    assert all(after[n] == before[n] for n in before)
    code, out, err = run(SAMPLES / name)
    assert (code, out, bytes_of(folder)) == (2, "", after)
    assert [": duplicate of " in line for line in err] == [True, True, True, False]
    assert err[-1] == f"debrief: {SAMPLES / name}: none of the 3 answers was accepted. See the reasons above."


def test_a_dry_run_writes_nothing(run, folder):
    before = bytes_of(folder)
    code, out, err = run(SAMPLES / "native.jsonl", "--dry-run")
    assert (code, err) == (0, ["Nothing was written. Next: the same without --dry-run."])
    assert out.splitlines()[0].rstrip() == "3 would be accepted, 0 refused"
    assert "written:" not in out
    assert bytes_of(folder) == before


def test_some_refused_is_exit_1_and_the_rest_comes_in(run, folder, tmp_path):
    shutil.copy(SAMPLES / "broken.csv", tmp_path / "a.csv")
    code, out, err = run("a.csv")
    assert (code, err) == (
        1,
        [
            "a.csv:2: signals: not valid JSON: Expecting value at column 1",
            "a.csv:3: more cells than columns; quote cells that hold commas",
            "Next: debrief retrain",
        ],
    )
    assert out.splitlines()[0].rstrip() == "1 accepted, 2 refused"
    assert rows(out)["noor"] == ["1", "0", "1", "0", "1", side_of("noor")]
    assert [len((folder / f).read_text().splitlines()) for f in ("noor.jsonl",)] == [1]


def test_a_contradiction_is_shown_side_by_side(run, folder, exemplars, tmp_path):
    old = exemplars[0]
    other = "BAD" if old.is_good else "GOOD"
    record = {"text": old.text, "question": "Q?", "round": "behavioral", "verdict": other, "author": "mill"}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    code, out, err = run("a.jsonl")
    assert code == 2
    assert err[0] == (
        f"a.jsonl:1: {other} here and {old.verdict} at corpus/exemplars/{old.author}.jsonl:1 ({old.id!r}) "
        "for the same answer; decide which is right; change or delete the other"
    )
    table = rows(out)
    assert out.count("The same answer under two verdicts") == 1
    assert table["verdict"] == [other, old.verdict]
    assert table["strength"] == ["0.75" if other == "GOOD" else "0.25", str(old.strength)]
    assert " ".join(table["signals"][:2]) == "nobody looked"
    assert out.count(old.text[:20]) == 2


def test_flags_give_what_the_file_lacks(run, folder, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": OTHER, "verdict": "good"}) + "\n")
    code, _, err = run("a.jsonl")
    assert code == 2
    assert err[0] == (
        "a.jsonl:1: question: what was asked? add a column or --question TEXT; "
        "round: which round? add a column or --round NAME; "
        "author: who said it? add a column or --author NAME; the split goes by author"
    )
    flags = ["--author", "noor", "--round", "analytical", "--question", "Q?", "--setting", "everyday", "--style", "asr"]
    assert run("a.jsonl", *flags)[0] == 0
    (line,) = (folder / "noor.jsonl").read_text().splitlines()
    kept = json.loads(line)
    assert [kept[k] for k in ("round", "question", "setting", "style", "strength")] == [
        "analytical", "Q?", "everyday", "asr", 0.75,
    ]  # fmt: skip


def test_what_the_check_would_say_is_said(run, folder, tmp_path):
    texts = [" ".join(f"{word}{n}" for word in OTHER.split()) for n in range(9)]
    record = {"question": "Q?", "round": "analytical", "verdict": "GOOD", "author": "noor"}
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({**record, "text": t}) + "\n" for t in texts))
    code, out, err = run("a.jsonl")
    assert code == 0
    assert "corpus: round analytical: " in out
    assert "of the answers are GOOD, 40% to 60% is wanted" in out
    assert err == ["Next: mend what is listed above (other answers, or more of the other kind), then debrief retrain"]


def test_an_empty_folder_is_a_corpus_of_none_and_no_folder_is_an_error(run, tmp_path):
    (tmp_path / "fresh").mkdir()
    code, out, _ = run(SAMPLES / "native.jsonl", "--to", "fresh")
    assert code == 0
    assert rows(out)["answers"] == ["0", "3"]
    assert run(SAMPLES / "native.jsonl", "--to", "nowhere")[2] == [
        "debrief: nowhere: no such folder. Make it, or name the folder of the exemplars with --to."
    ]


def test_what_comes_in_is_what_the_corpus_reads(run, folder):
    assert run(SAMPLES / "label-studio.json")[0] == 0
    said_ = {p.exemplar.id: p.exemplar for p in read_placed(folder) if p.exemplar.author in ("mill", "noor")}
    assert [e.annotated for e in said_.values()] == [True, True, False]
    read = [r.labelled for r in read_labelled(SAMPLES / "label-studio.json", Told())]
    assert [e.signals for e in said_.values()] == [r.signals for r in read]
    assert len(said_["rota-1"].annotations) == 2
