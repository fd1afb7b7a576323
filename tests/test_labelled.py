"""Labelled answers in every format: what comes out, the exact reason of each refusal, and that nothing is lost."""

import json

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.labelled import Arrived, Defaults, Refusal, place, read_labelled
from pipeline.signals import SIGNAL_IDS

SAMPLES = ROOT / "tests/labelled"
FOREIGN = ("label-studio.json", "label-studio-min.json", "doccano.jsonl", "prodigy.jsonl")
SOUND = ("native.jsonl", "answers.csv", *FOREIGN)


def read(name, defaults=None):
    return read_labelled(SAMPLES / name, defaults or Defaults())


def refusals(name, defaults=None):
    return [str(r).removeprefix(f"{SAMPLES}/") for r in read(name, defaults) if isinstance(r, Refusal)]


def lines(folder, *records, name="a.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return path


def record(**change):
    base = {"text": "We cut the tea break and it hurt.", "question": "Q?", "round": "behavioral"}
    return {**base, "verdict": "GOOD", "author": "mill", **change}


def one(folder, fields, defaults=None):
    (read_,) = read_labelled(lines(folder, fields), defaults or Defaults())
    return read_


def reasons(folder, fields, defaults=None):
    return one(folder, fields, defaults).reasons


# --- every format --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_file_comes_in_whole(name):
    found = [r.labelled for r in read(name)]
    assert [(r.verdict, r.author, r.round) for r in found] == [
        ("GOOD", "mill", "behavioral"),
        ("BAD", "mill", "behavioral"),
        ("GOOD", "noor", "analytical"),
    ]
    assert "escalation" in [s.id for s in found[0].signals]
    for r in found:
        for span in (*(r.signals or ()), *r.near_misses, *(s for a in r.annotations for s in a.signals)):
            assert r.text[span.start : span.end] == span.text


@pytest.mark.parametrize(
    ("name", "signals", "strengths"),
    [
        ("native.jsonl", [["resistance", "escalation", "cost_of_inaction"], [], None], [0.8, 0.25, 0.75]),
        ("answers.csv", [["escalation"], [], None], [0.9, 0.25, 0.75]),
        (
            "label-studio.json",
            [["resistance", "escalation", "forcing_action"], ["admin_coordination"], None],
            [0.85, 0.3, 0.75],
        ),
        ("label-studio-min.json", [["escalation"], ["vague_claim"], None], [0.9, 0.1, 0.75]),
        ("doccano.jsonl", [["escalation"], ["admin_coordination", "vague_claim"], None], [0.75, 0.1, 0.75]),
        ("prodigy.jsonl", [["escalation"], None, []], [0.75, 0.25, 0.75]),
    ],
)
def test_signals_and_strengths(name, signals, strengths):
    found = [r.labelled for r in read(name)]
    assert [None if r.signals is None else [s.id for s in r.signals] for r in found] == signals
    assert [r.strength for r in found] == strengths


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("label-studio.json", [[], [("escalation", "mere_word")], []]),
        ("label-studio-min.json", [[("stated_tradeoff", "no_reason")], [], []]),
        ("doccano.jsonl", [[("stated_tradeoff", "no_reason")], [], []]),
    ],
)
def test_near_misses_are_named_in_the_label(name, near):
    assert [[(m.id, m.kind) for m in r.labelled.near_misses] for r in read(name)] == near


@pytest.mark.parametrize(
    ("name", "who", "annotations"),
    [
        ("native.jsonl", ["ines", None, None], []),
        (
            "label-studio.json",
            [None, "3", "3"],
            [("ines@example.org", "GOOD", 0.85, 3), ("4", "GOOD", 0.7, 1)],
        ),
        ("label-studio-min.json", [None, "3", "4"], [("3", "GOOD", 0.9, 1), ("4", "GOOD", 0.75, 1)]),
        ("doccano.jsonl", [None, None, None], []),
        ("prodigy.jsonl", ["round1-ines", None, "round1-tom"], []),
    ],
)
def test_who_labelled(name, who, annotations):
    found = [r.labelled for r in read(name)]
    assert [r.annotator for r in found] == who
    assert [(a.annotator, a.verdict, a.strength, len(a.signals)) for a in found[0].annotations] == annotations


def test_ids_are_the_users_own_and_not_the_numbers_of_a_tool():
    assert [[r.labelled.id for r in read(name)] for name in FOREIGN] == [
        ["rota-1", None, None],
        [None, None, None],
        [None, "board", None],
        ["rota-1", None, None],
    ]


def test_places_are_lines_or_numbers():
    assert [r.where.rpartition("/")[2] for r in read("answers.csv")] == [f"answers.csv:{n}" for n in (2, 3, 5)]
    assert [r.where.rpartition("/")[2] for r in read("label-studio-min.json")] == [
        f"label-studio-min.json#{n}" for n in (1, 2, 4)
    ]


# --- what is refused, and the exact words --------------------------------------------------------------------


def test_native_refusals():
    found = refusals("native-broken.jsonl")
    author = "author: who said it? add a column or --author NAME; the split goes by author"
    assert found == [
        "native-broken.jsonl:1: verdict: Input should be 'GOOD' or 'BAD'; mood: Extra inputs are not permitted",
        "native-broken.jsonl:2: not valid JSON: Expecting property name enclosed in double quotes at column 2",
        f"native-broken.jsonl:3: {author}",
        "native-broken.jsonl:4: escalation: no words that show it; `debrief corpus label` proposes them; "
        "ownership: its words are not in the answer; "
        "sizing: text[3:900] is outside the answer, which has 197 characters; "
        "resistance: its words stand in the answer more than once; give start and end too",
        "native-broken.jsonl:5: a JSON object is wanted, not list",
        f"native-broken.jsonl:6: verdict: none given; GOOD or BAD is wanted; {author}; "
        "why: Extra inputs are not permitted; "
        "proposed: not labelled yet, only proposed; label it with `debrief corpus label`",
        "native-broken.jsonl:7: both 'answer' and 'text' are given; keep one; text: no words in it; "
        "question: what was asked? add a column or --question TEXT; "
        "round: Input should be 'product_sense', 'behavioral', 'analytical' or 'system_design'; "
        "author: letters, digits, _ and - only, for it names a file",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "broken.csv",
            [
                ":2: signals: not valid JSON: Expecting value at column 1",
                ":3: more cells than columns; quote cells that hold commas",
            ],
        ),
        (
            "label-studio-broken.json",
            [
                "#1: annotators disagree: GOOD and BAD; settle it first",
                "#2: nobody labelled it in Label Studio; what a model predicted is no label",
                "#3: skipped in Label Studio",
                "#4: verdict: both GOOD and BAD are marked; sizing: its words are not in the answer",
                "#5: a JSON object is wanted, not str",
            ],
        ),
        (
            "doccano-broken.jsonl",
            [
                ":1: verdict: none given; GOOD or BAD is wanted",
                ":2: vague_claim: text[0:9000] is outside the answer, which has 157 characters",
                ":3: sizing: no words that show it; `debrief corpus label` proposes them",
                f":4: signals.0.id: unknown signal 'mood'; one of: {', '.join(SIGNAL_IDS)}",
            ],
        ),
        (
            "prodigy-broken.jsonl",
            [
                ":1: rejected in Prodigy",
                ":2: ignored in Prodigy",
                ":3: verdict: none given; GOOD or BAD is wanted",
            ],
        ),
    ],
)
def test_foreign_refusals(name, expected):
    assert refusals(name) == [name + text for text in expected]


@pytest.mark.parametrize("name", ["native-broken.jsonl", "label-studio-broken.json", "doccano-broken.jsonl"])
def test_no_reason_holds_words_of_the_answer(name):
    said = " ".join(refusals(name))
    for words in ("night shift", "I own it", "Elsewhere", "scalable", "kept everybody"):
        assert words not in said


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.jsonl", b"", "empty file. Name the file that holds the labelled answers."),
        ("a.json", b" [ ] ", "an empty list. Name the file that holds the labelled answers."),
        ("a.json", b'[{"a": 1},\n {"b"]', "not valid JSON: Expecting ':' delimiter at line 2, column 6. "
         "Export it again, or mend it there."),
        ("a.json", b"[\"caf\xe9\"]", "not valid UTF-8 at byte 5. Export it again, or mend it there."),
        ("a.json", b'"x"', "neither a list nor records of JSON. Export it again."),
        ("a.xlsx", b"PK\x03\x04\x00\x00", "binary file, not text. Export it as UTF-8."),
        ("a.docx", b"some words", "unknown kind of file '.docx'. Export it as one of: .jsonl, .json, .csv."),
        ("a.csv", b"words,verdict\nx,GOOD\n", "no column 'text' (or 'answer'); columns found: words, verdict. "
         "Name the columns."),
        ("a.csv", b"text,round,round\nx,y,z\n", "column 'round' stands twice. Delete one of the two."),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_as_a_whole(tmp_path, name, raw, message):
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(InputError) as caught:
        read_labelled(tmp_path / name, Defaults())
    assert str(caught.value) == f"{tmp_path / name}: {message}"


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"no such file. Name the file that holds the labelled answers.$"):
        read_labelled(tmp_path / "a.jsonl", Defaults())


def test_csv_goes_on_after_a_row_that_is_none(tmp_path):
    path = tmp_path / "a.csv"
    columns = "text,question,round,verdict,author\n"
    path.write_text(columns + 'a"b,"q"x,behavioral,BAD,mill\n\nWe cut it.,q,behavioral,GOOD,m\n')
    broken, sound = read_labelled(path, Defaults())
    assert str(broken) == f"{path}:2: not valid CSV: ',' expected after '\"'"
    assert (sound.where, sound.labelled.verdict) == (f"{path}:4", "GOOD")
    path.write_text(columns + '"never closed,q,behavioral,BAD,mill\nx,q,analytical,GOOD,m\n')
    assert [str(r) for r in read_labelled(path, Defaults())] == [f"{path}:2: not valid CSV: unexpected end of data"]


# --- single rules --------------------------------------------------------------------------------------------


def test_flags_fill_in_only_what_is_absent(tmp_path):
    bare = {"text": "We cut it.", "verdict": "good"}
    told = Defaults("noor", "Why?", "analytical", "everyday", "asr")
    filled = one(tmp_path, bare, told).labelled
    assert (filled.author, filled.question, filled.round) == ("noor", "Why?", "analytical")
    assert (filled.setting, filled.style) == ("everyday", "asr")
    kept = one(tmp_path, record(setting="Professional", style="edited", round="System Design"), told).labelled
    assert (kept.author, kept.question, kept.round) == ("mill", "Q?", "system_design")
    assert (kept.setting, kept.style) == ("professional", "edited")


def test_an_annotation_by_the_same_person_counts_once(tmp_path):
    def annotation(verdict):
        choice = {"from_name": "v", "type": "choices", "value": {"choices": [verdict]}}
        return {"completed_by": 3, "result": [choice]}

    fields = record()
    verdict = fields.pop("verdict")
    task = {"data": fields, "annotations": [annotation("BAD"), annotation(verdict)]}
    found = one(tmp_path, task).labelled
    assert (found.verdict, found.annotator, found.annotations) == ("GOOD", "3", ())


def test_the_verdict_of_a_model_beside_the_answer_is_no_label(tmp_path):
    beside = {"_task_hash": 1, "answer": "accept", "meta": {"verdict": "GOOD"}, "spans": []}
    fields = {**record(), **beside}
    fields.pop("verdict")
    assert reasons(tmp_path, fields) == ("verdict: none given; GOOD or BAD is wanted",)
    task = {"data": record(verdict="GOOD"), "predictions": [{"result": []}], "annotations": []}
    assert reasons(tmp_path, task) == ("nobody labelled it in Label Studio; what a model predicted is no label",)


@pytest.mark.parametrize("text", ["ab \ud800 cd", "fine"])
def test_what_cannot_be_written_is_refused(tmp_path, text):
    found = one(tmp_path, record(text=text))
    assert isinstance(found, Refusal) == (text != "fine")
    if text != "fine":
        assert found.reasons == ("holds characters that are not valid Unicode",)


def test_an_id_of_other_characters_is_made_fit(tmp_path):
    assert one(tmp_path, record(id="call 7/2.vtt")).labelled.id == "call-7-2-vtt"


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"start": 3, "end": 6}, (3, 6, "cut")),
        ({"text": "cut"}, (3, 6, "cut")),
        ({"start": 0, "end": 2, "text": "cut"}, (3, 6, "cut")),
        ({"start": 11, "end": 14, "text": "tea"}, (9, 12, "tea")),  # in UTF-16 units, though "tea" stands there twice
        ({"start": 21, "end": 24, "text": "tea"}, (19, 22, "tea")),
        ({"start": 0, "end": 2, "text": "tea"},
         "sizing: its words stand in the answer more than once; give start and end too"),
        ({"start": 2, "end": 3}, "sizing: text[2:3] holds no words"),
        ({"start": 3, "end": 3}, "sizing: text[3:3] is outside the answer, which has 23 characters"),
        ({"start": -4, "end": -1}, "sizing: text[-4:-1] is outside the answer, which has 23 characters"),
        ({"start": 3}, "sizing: no words that show it; `debrief corpus label` proposes them"),
        ({"text": "bun"}, "sizing: its words are not in the answer"),
    ],
)  # fmt: skip
def test_where_a_signal_stands(given_, expected):
    found = place("We cut 🙂🙂tea, yes, tea.", {"signal": "Sizing", **given_})
    assert (found if isinstance(found, str) else (found["start"], found["end"], found["text"])) == expected


def test_a_signal_wants_a_name():
    assert place("We cut it.", {"text": "cut"}) == "a signal without a name"


# --- properties ----------------------------------------------------------------------------------------------

pieces = st.sampled_from(["we", "cut", "tea", "🙂", "é", "no", "\n", "“so”", "e\u0301"])
words = st.lists(pieces, min_size=3, max_size=30)
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def utf16(text, at):
    return len(text[:at].encode("utf-16-le")) // 2


def label_studio(text, spans):
    marks = [
        {"value": {"start": utf16(text, a), "end": utf16(text, b), "text": text[a:b], "labels": [s]}, "from_name": "l"}
        for a, b, s in spans
    ]
    marks.append({"value": {"choices": ["GOOD"]}, "from_name": "v"})
    return {"data": {"text": text}, "annotations": [{"completed_by": 1, "result": marks}]}


def label_studio_min(text, spans):
    marks = [{"start": utf16(text, a), "end": utf16(text, b), "text": text[a:b], "labels": [s]} for a, b, s in spans]
    return {"text": text, "annotation_id": 1, "v": "GOOD", "label": marks}


def doccano(text, spans):
    return {"text": text, "label": [[a, b, s] for a, b, s in spans], "cats": ["GOOD"]}


def prodigy(text, spans):
    marks = [{"start": a, "end": b, "label": s} for a, b, s in spans]
    return {"text": text, "spans": marks, "accept": ["GOOD"], "answer": "accept"}


def native(text, spans):
    marks = [{"id": s, "start": a, "end": b, "text": text[a:b]} for a, b, s in spans]
    return {"text": text, "signals": marks, "verdict": "GOOD"}


@quick
@given(data=st.data(), form=st.sampled_from([native, label_studio, label_studio_min, doccano, prodigy]))
def test_offsets_give_back_the_evidence_in_any_format(tmp_path, data, form):
    text = "we " + " ".join(data.draw(words))
    spans = []
    for _ in range(data.draw(st.integers(0, 4))):
        a = data.draw(st.integers(0, len(text) - 1))
        b = data.draw(st.integers(a + 1, len(text)))
        if text[a:b].strip():
            spans.append((a, b, data.draw(st.sampled_from(SIGNAL_IDS))))
    path = tmp_path / "a.json"
    path.write_text(json.dumps([form(text, spans)]))
    (found,) = read_labelled(path, Defaults("mill", "Q?", "behavioral"))
    assert isinstance(found, Arrived), found
    shown = found.labelled.signals or ()
    assert [(s.id, s.text) for s in shown] == [(name, text[a:b]) for a, b, name in spans]
    assert all(text[s.start : s.end] == s.text for s in shown)
    for s, (a, b, _) in zip(shown, spans, strict=True):
        once = text.find(s.text) == text.rfind(s.text)
        if once or form not in (label_studio, label_studio_min):  # else both ways to count may fit
            assert (s.start, s.end) == (a, b)


KEYS = """text answer question round verdict strength author signals near_misses annotations label labels cats entities
data meta spans accept options result value choices start end id completed_by pair _task_hash annotation_id annotator
predictions was_cancelled from_name rating number globalOffsets proposed"""
leaves = st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.sampled_from(["GOOD", "we cut tea", ""])
keys = st.sampled_from(KEYS.split())
some_json = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=25
)


@settings(quick, max_examples=300)
@given(items=st.lists(some_json, max_size=5))
def test_nothing_is_lost_whatever_comes_in(tmp_path, items):
    path = tmp_path / "a.jsonl"
    items = [{"text": "first"}, *items]  # a file that begins with a list is one list
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    read_ = read_labelled(path, Defaults("mill", "Q?", "behavioral"))
    assert [r.where for r in read_] == [f"{path}:{n}" for n in range(1, len(items) + 1)]
    assert all(isinstance(r, Arrived) or r.reasons for r in read_)
