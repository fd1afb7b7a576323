import io
import json
import sys

import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.readers import MAX_CHARACTERS, read_inputs
from pipeline.records import Answer, Rejection

LONG = "We stopped the van because the brakes were gone and nobody else would say it aloud."


def read(*paths):
    return list(read_inputs([str(p) for p in paths]))


def reasons(records):
    return [(r.line, r.reason) for r in records if isinstance(r, Rejection)]


def test_jsonl_keeps_order_and_what_it_does_not_know(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"id": 7, "answer": LONG, "x": 1}) + "\n\n" + json.dumps({"text": LONG}) + "\n")
    first, second = read(path)
    assert (first.id, first.extra, second.id) == ("7", {"x": 1}, "a-3")


def test_each_bad_line_is_rejected_with_its_reason_and_the_rest_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        b'{"id": "1", "answer": "fine"}',
        b'{"id": "2", "answer": "cut of',
        b'{"id": "3", "answer": "\xff"}',
        b'["a", "list"]',
        b'"only text"',
        b'{"id": "1", "answer": "again"}',
        b'{"id": "7", "answer": "x", "round": "chess"}',
        json.dumps({"id": "8", "answer": "a" * (MAX_CHARACTERS + 1)}).encode(),
        b'{"id": "9", "question": "no answer"}',
        b"[" * 100_000,
        b'{"id": "11", "answer": null}',
    ]
    path.write_bytes(b"\n".join(lines))
    records = read(path)
    assert len(records) == len(lines)
    assert [r.id for r in records if isinstance(r, Answer)] == ["1", "11"]
    assert reasons(records) == [
        (2, "not valid JSON: Invalid control character at at column 30"),
        (3, "not valid UTF-8 at byte 23"),
        (4, "a JSON object is wanted, not list"),
        (5, "a JSON object is wanted, not str"),
        (6, f"duplicate id '1', first at {path}:1; give each answer its own"),
        (7, "round: unknown round 'chess'; one of: product_sense, behavioral, analytical, system_design"),
        (8, "answer of 100,001 characters, the limit is 100,000; split it by question"),
        (9, "no 'answer' (or 'text') field"),
        (10, "not valid JSON: nested too deeply"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"", "empty file"),
        ("a.csv", b"", "empty file"),
        ("a.csv", b"id,reply\n1,x\n", "no column 'answer' (or 'text'); columns found: id, reply"),
        ("a.jsonl", b"\x00\x01\x02", "binary file, not text; export it as UTF-8"),
        ("a.parquet", b"PAR1 no it is not", "not a Parquet file"),
        ("a.exe", b"MZ", "unknown kind of file '.exe'"),
        ("a.vtt", b"no header\n", "not valid WebVTT"),
        ("a.json", b'{"words": []}', "not Whisper JSON: 'segments' with 'text', 'start' and 'end' are wanted"),
        ("a.json", b"{", "not valid JSON"),
    ],
)
def test_files_that_cannot_be_read_are_rejected_whole(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    (record,) = read(path)
    assert isinstance(record, Rejection)
    assert record.file == str(path)
    assert record.reason.startswith(reason)


def test_a_missing_file_is_rejected(tmp_path):
    assert reasons(read(tmp_path / "no.jsonl")) == [(None, "no such file or folder")]


def test_csv_rows_keep_their_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,answer,team\n1,"two\nlines",red\n2,x,blue,extra\n3,\xff,green\n4,,grey\n')
    records = read(path)
    assert [(r.id, r.text, r.extra) for r in records if isinstance(r, Answer)] == [
        ("1", "two\nlines", {"team": "red"}),
        ("4", "", {"team": "grey"}),
    ]
    assert reasons(records) == [(4, "more cells than columns; quote cells that hold commas"), (5, "not valid UTF-8")]


def test_parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pa.parquet.write_table(pa.table({"id": ["1", "2"], "answer": [LONG, None], "n": [1, 2]}), path)
    first, second = read(path)
    assert (first.text, first.extra, second.text) == (LONG, {"n": 1}, "")


def test_standard_input(monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps({"answer": LONG}).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    (answer,) = read_inputs(["-"])
    assert (answer.id, answer.text) == ("stdin-1", LONG)


def test_folders_are_read_by_name_and_ids_are_unique_across_files(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"id": "x", "answer": name}))
    (tmp_path / ".hidden").write_text("no")
    kept, twice = read(tmp_path)
    assert kept.text == "a"
    assert twice.reason == f"duplicate id 'x', first at {tmp_path / 'a.jsonl'}:1; give each answer its own"


def test_an_empty_folder_says_so(tmp_path):
    assert reasons(read(tmp_path)) == [(None, "empty folder: no files in it")]


def test_no_reason_holds_the_answer(tmp_path):
    secret = "the secret merger"
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"answer": secret, "round": 5})
        + "\n"
        + json.dumps({"answer": {"nested": secret}})
        + "\n"
        + json.dumps(secret)
        + f'\n{{"answer": "{secret}'
    )
    records = read(path)
    assert len(records) == 4
    assert all(isinstance(r, Rejection) and secret not in r.model_dump_json() for r in records)
