import pytest

from pipeline.corpus import corpus_hash, read_corpus
from pipeline.errors import CorpusError, InputError
from pipeline.records import Annotation
from pipeline.survey import agreement, find_shortcuts, survey

GOOD_TEXT = "We gave up the window display so that the heating could stay on until March for the old people."
BAD_TEXT = "We improved the window display so that the heating could stay on until March for the old people."


def record(**change):
    base = {
        "id": "a-1-good",
        "text": GOOD_TEXT,
        "question": "What did you choose?",
        "round": "behavioral",
        "verdict": "GOOD",
        "strength": 0.8,
        "author": "a",
        "split": "train",
        "setting": "everyday",
        "style": "edited",
        "scenario": "a/window",
        "pair": "a-1",
        "twin": "plain",
        "signals": [{"id": "stated_tradeoff", "start": 0, "end": 29, "text": GOOD_TEXT[:29]}],
    }
    return {**base, **change}


def twin(**change):
    return record(id="a-1-bad", text=BAD_TEXT, verdict="BAD", strength=0.2, signals=[], **change)


def write(folder, *records):
    import json

    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in records) + "\n")
    return path


def problems(folder, *records):
    path = write(folder, *records)
    with pytest.raises(CorpusError) as caught:
        read_corpus(folder)
    return [p.removeprefix(f"{path}:") for p in caught.value.problems]


def test_a_sound_pair_is_read(tmp_path):
    write(tmp_path, record(), twin())
    assert [e.id for e in read_corpus(tmp_path)] == ["a-1-good", "a-1-bad"]


def test_every_problem_is_reported_at_once(tmp_path):
    found = problems(
        tmp_path,
        record(verdict="FINE"),
        record(
            id="a-2", pair=None, scenario="a/2", signals=[{"id": "escalation", "start": 0, "end": 4, "text": "They"}]
        ),
        record(id="a-3", pair=None, scenario="a/3", text=f"{GOOD_TEXT} {BAD_TEXT}", strength=0.2),
        record(id="a-3", pair="a-9", scenario="a/4", text="nothing like the others", signals=[], extra=1),
    )
    assert found == [
        "1: verdict: Input should be 'GOOD' or 'BAD'",
        "4: extra: Extra inputs are not permitted",
        "2: escalation: text[0:4] is not the quoted evidence",
        "3: verdict GOOD with strength 0.2",
        "3: nearly the answer at " + str(tmp_path / "a.jsonl") + ":2 (67% of the runs of 6 words shared)",
    ]


@pytest.mark.parametrize(
    ("records", "problem"),
    [
        ([record()], "1: pair 'a-1' wants one GOOD and one BAD, has 1 answers"),
        ([record(), twin(question="Why?")], "1: the twins of 'a-1' differ in question"),
        (
            [record(text=GOOD_TEXT + " and more" * 3), twin()],
            "1: the twins of 'a-1' have 18 and 25 words, more than 15% apart",
        ),
        (
            [record(), twin(), record(id="b", pair=None, text="another one entirely", signals=[])],
            "3: scenario 'a/window' stands at {}:1 too, outside this pair",
        ),
        (
            [
                record(pair=None),
                record(id="b", pair=None, scenario="b", split="test", text="something else", signals=[]),
            ],
            "2: author 'a' is test here and train at {}:1",
        ),
        (
            [record(pair=None), record(pair=None, text="something else", scenario="b", signals=[])],
            "2: id 'a-1-good' is taken at {}:1",
        ),
    ],
)
def test_rules_across_lines(tmp_path, records, problem):
    assert problem.format(tmp_path / "a.jsonl") in problems(tmp_path, *records)


def test_an_empty_folder_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no \*.jsonl files. Name the folder that holds the exemplars."):
        read_corpus(tmp_path)


def test_the_hash_is_of_content_not_of_layout(exemplars):
    assert corpus_hash(exemplars) == corpus_hash(exemplars[::-1])
    changed = exemplars[0].model_copy(update={"strength": 0.99})
    assert corpus_hash(exemplars) != corpus_hash([changed, *exemplars[1:]])


def test_survey_counts(exemplars):
    measured = survey(exemplars)
    assert measured["counts"]["answers"] == len(exemplars) == 80
    assert measured["counts"]["pairs"] == 40
    assert measured["signals"]["escalation"]["answers"] == sum(e.shows("escalation") for e in exemplars)
    assert measured["shortcuts"]["length_auc"] < 0.6


def test_shortcuts_over_their_limit_are_named():
    found = find_shortcuts({"length_auc": 0.7, "tfidf_accuracy": 0.6})
    assert found == [
        "corpus: length_auc is 0.700, at most 0.60 is allowed: something other than judgment tells the verdict"
    ]


def test_agreement_of_an_annotator_with_themself_is_perfect(exemplars):
    def twice(e):
        same = Annotation(annotator="x", verdict=e.verdict, strength=e.strength, signals=e.signals)
        return e.model_copy(update={"annotations": (same, same)})

    measured = agreement([twice(e) for e in exemplars])
    assert (measured["kappa"], measured["macro_f1"], measured["evidence_iou"]) == (1.0, 1.0, 1.0)


def test_agreement_counts_what_one_of_them_missed(exemplars):
    def half(e):
        first = Annotation(annotator="x", verdict=e.verdict, strength=e.strength, signals=e.signals)
        return e.model_copy(update={"annotations": (first, first.model_copy(update={"signals": ()}))})

    assert agreement([half(e) for e in exemplars])["macro_f1"] == 0.0
