import csv
import json

import pyarrow.parquet
import pytest

from pipeline import batch as batch_module
from pipeline.batch import inert, score_batch
from pipeline.errors import DebriefError
from pipeline.records import Answer, Rejection
from pipeline.report import BatchReport


def records(answers, n=20):
    made = []
    for i in range(n):
        if i % 7 == 3:
            made.append(Rejection(file="f", line=i, reason="broken"))
        else:
            made.append(Answer(id=f"a{i}", text=answers[i % 3], round="behavioral", extra={"team": "=cmd()"}))
    return made


@pytest.fixture
def run(scorer, model, answers, monkeypatch):
    monkeypatch.setattr(batch_module, "CHUNK", 4)

    def go(out, source=None, **options):
        report = BatchReport("markdown", model, "tpm")
        return score_batch(source or records(answers), scorer, out, report, **options)

    return go


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != ".lock"}


def test_every_record_is_scored_or_rejected_in_order(run, tmp_path):
    summary = run(tmp_path)
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    rejected = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert [r["id"] for r in results] == [f"a{i}" for i in range(20) if i % 7 != 3]
    assert [r["line"] for r in rejected] == [3, 10, 17]
    assert (summary.scored, summary.rejected) == (17, 3)
    assert sorted(contents(tmp_path)) == ["rejected.jsonl", "report.md", "results.jsonl"]


@pytest.mark.parametrize("stop_at", [0, 1, 3, 4, 5, 11, 16, 19])
def test_a_stopped_batch_resumes_to_the_same_bytes(run, tmp_path, answers, stop_at):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, key="k")

    def until():
        for i, record in enumerate(records(answers)):
            if i == stop_at:
                raise KeyboardInterrupt
            yield record

    with pytest.raises(KeyboardInterrupt):
        run(broken, until(), key="k")
    assert not (broken / "results.jsonl").exists()
    for part in broken.glob("*.part"):  # as a kill in the middle of a write leaves it
        with part.open("a") as file:
            file.write('{"half": ')
    summary = run(broken, key="k", resume=True)
    assert contents(broken) == contents(whole)
    assert (summary.scored, summary.rejected) == (17, 3)


def test_a_batch_stopped_while_files_got_their_names_resumes(run, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(whole, key="k")

    def fail(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(BatchReport, "finish", fail)
        run(broken, key="k")
    run(broken, key="k", resume=True)
    assert contents(broken) == contents(whole)


def test_another_batch_is_not_gone_on_with(run, tmp_path, answers):
    def until():
        yield from records(answers)[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, until(), key="one")
    with pytest.raises(DebriefError, match="an unfinished batch of other inputs, options or another model lies here"):
        run(tmp_path, key="two", resume=True)


def test_without_resume_a_batch_starts_anew(run, tmp_path, answers):
    def until():
        yield from records(answers)[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, until(), key="one")
    assert run(tmp_path, key="one").scored == 17
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 17


def test_two_batches_at_once_are_refused(run, tmp_path):
    with batch_module._locked(tmp_path), pytest.raises(DebriefError, match="another debrief is writing here"):
        run(tmp_path)


def test_a_folder_that_cannot_be_written(run, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(DebriefError, match=r"cannot write here \(Permission denied\). Name another folder with --out."):
        run(tmp_path / "x")


def test_a_file_where_the_folder_should_be(run, tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DebriefError, match=r"cannot write here \(File exists\). Name another folder with --out."):
        run(tmp_path / "x")


def test_csv_holds_no_live_formula(run, tmp_path):
    run(tmp_path, extra_format="csv")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 17
    assert {r["team"] for r in rows} == {"'=cmd()"}


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_formulas_are_made_inert(cell):
    assert inert(cell) == f"'{cell}"


def test_parquet_has_the_same_rows(run, tmp_path):
    run(tmp_path, extra_format="parquet")
    table = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(r["id"], r["p_good"]) for r in table] == [(r["id"], r["p_good"]) for r in results]
