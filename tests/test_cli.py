"""The command as a user meets it: exit codes, streams, and the exact line of each error."""

import json

import pytest
from conftest import ROOT

TEXT = "The owner refused to close the till so I told him I would not sign and we lost an hour that evening."


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_scoring_the_sample(run, tmp_path):
    code, out, err = run("score", ROOT / "corpus/samples", "--out", "o")
    assert code == 0, err
    assert "16 scored, 0 rejected" in out
    assert err == ""
    results = lines(tmp_path / "o/results.jsonl")
    assert {r["round"] for r in results} == {"product_sense", "behavioral", "analytical", "system_design"}
    report = (tmp_path / "o/report.md").read_text()
    assert report.count("\n## ") == 16


def test_some_rejected_is_exit_1(run, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "answer": TEXT}) + "\n{broken\n")
    code, _, err = run("score", "a.jsonl", "--out", "o", "--report", "none")
    assert code == 1
    assert err == "1 rejected; see o/rejected.jsonl"
    assert [r["line"] for r in lines(tmp_path / "o/rejected.jsonl")] == [2]
    assert len(lines(tmp_path / "o/results.jsonl")) == 1
    assert not (tmp_path / "o/report.md").exists()


def test_nothing_scored_is_exit_2_and_still_lists_why(run, tmp_path):
    code, _, err = run("score", "no.jsonl", "--out", "o", "-q")
    assert code == 2
    assert err == "debrief: no.jsonl: no answer could be scored. See o/rejected.jsonl for each reason."
    assert lines(tmp_path / "o/rejected.jsonl")[0]["reason"] == "no such file or folder"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model", "nowhere"],
            "debrief: nowhere: no manifest.json: not a model folder. "
            "Name another model, or make it anew with `debrief retrain`.",
        ),
        (["--rubric", "nobody"], "debrief: no rubric 'nobody'. Name a YAML file or one of: tpm."),
        (["--out", "a.jsonl"], "debrief: a.jsonl: cannot write here (File exists). Name another folder with --out."),
    ],
)  # fmt: skip
def test_what_makes_a_run_impossible_is_one_line(run, tmp_path, options, message):
    (tmp_path / "a.jsonl").write_text(json.dumps({"answer": TEXT}))
    code, out, err = run("score", "a.jsonl", "--out", "o", *options)
    assert (code, out, err) == (2, "", message)


def test_a_round_given_by_flag_fills_in_only_what_is_absent(run, tmp_path):
    records = [{"id": "1", "answer": TEXT, "round": "analytical"}, {"id": "2", "answer": TEXT}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    assert run("score", "a.jsonl", "--out", "o", "--round", "system_design", "-q")[0] == 0
    results = lines(tmp_path / "o/results.jsonl")
    assert [(r["round"], r["round_source"]) for r in results] == [("analytical", "given"), ("system_design", "given")]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_beside_the_results(run, tmp_path, kind):
    (tmp_path / "a.jsonl").write_text(json.dumps({"answer": TEXT}))
    assert run("score", "a.jsonl", "--out", "o", "--format", kind, "--report", "html")[0] == 0
    assert (tmp_path / f"o/results.{kind}").stat().st_size > 0
    assert (tmp_path / "o/report.html").read_text().startswith("<!doctype html>")


def test_resume_with_nothing_to_resume_just_runs(run, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"answer": TEXT}))
    assert run("score", "a.jsonl", "--out", "o", "--resume", "-q")[0] == 0
    assert len(lines(tmp_path / "o/results.jsonl")) == 1


def test_feedback_as_text_json_and_page(run, tmp_path):
    code, out, err = run("feedback", TEXT, "--round", "behavioral")
    assert (code, err) == (0, "")
    assert "behavioral round" in out
    assert "Model debrief" in out
    assert "\x1b[" not in out
    record = json.loads(run("feedback", TEXT, "--json")[1])
    assert record["schema"] == "debrief.result/1"
    assert run("feedback", TEXT, "--html", "p.html")[0] == 0
    assert TEXT.split()[0] in (tmp_path / "p.html").read_text()


def test_feedback_on_a_file_and_on_standard_input_says_the_same(run, tmp_path, monkeypatch):
    import io
    import sys

    (tmp_path / "answer.txt").write_text(TEXT)
    from_file = json.loads(run("feedback", "answer.txt", "--json")[1])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    from_stdin = json.loads(run("feedback", "-", "--json")[1])
    assert (from_file.pop("id"), from_stdin.pop("id")) == ("answer", "stdin")
    assert from_file == from_stdin


def test_feedback_on_a_file_that_is_not_text(run, tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    assert run("feedback", "a.txt")[2] == "debrief: a.txt: not valid UTF-8 at byte 0. Save it as UTF-8."


def test_transcripts_to_answers(run):
    code, out, _ = run("transcript", ROOT / "corpus/samples/mock-interview.vtt")
    assert code == 0
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["id"] == "mock-interview-1"
    assert first["candidate"] == second["candidate"] == "Hana Sato"
    assert next(iter(first)) == "answer"


def test_what_transcript_writes_score_reads(run, tmp_path):
    out = run("transcript", ROOT / "corpus/samples/mock-interview.vtt")[1]
    (tmp_path / "t.jsonl").write_text(out)
    assert run("score", "t.jsonl", "--out", "o", "-q")[0] == 0
    assert [r["extra"]["candidate"] for r in lines(tmp_path / "o/results.jsonl")] == ["Hana Sato"] * 2


def test_corpus_check_lists_problems_and_fails(run, tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "c/x.jsonl").write_text('{"id": "x"}\n')
    code, _, err = run("corpus", "check", "c")
    assert code == 2
    assert err.startswith("c/x.jsonl:1: text: Field required c/x.jsonl:1: question: Field required")
    assert err.endswith("problems in the corpus. Mend the lines listed above, then run `debrief corpus check` again.")


def test_a_stage_outside_a_checkout_says_so(run):
    code, _, err = run("stage", "featurize")
    assert (code, err) == (2, "debrief: params.yaml is missing. Run this in the root of a debrief checkout.")


def test_the_commands_of_the_contract_are_there(run):
    out = run("--help")[1]
    for command in ("score", "feedback", "transcript", "corpus", "retrain", "models", "stage"):
        assert command in out
