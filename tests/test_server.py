"""A real `mlflow server` with its own database and artifact store, on loopback; and one that goes away."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline import track
from pipeline.errors import DebriefError
from pipeline.model import load_model

pytestmark = pytest.mark.real

ANSWERS = [
    {"id": "a", "round": "behavioral", "question": "Tell me about a conflict.",
     "answer": "The owner refused to close the till. I told him I would not sign for the money until we counted it "
     "twice, and we lost an hour that evening. Otherwise we would have paid the wrong wages again."},
    {"id": "b", "round": "analytical", "question": "Why did sales fall?",
     "answer": "We had a meeting every week and everybody was aligned, it was a big success for the whole team."},
]  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, "the server stopped"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"nothing answers at {url}")


@contextmanager
def serving(words, url, cwd):
    activated = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (cwd / "server.log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=cwd, env=activated, start_new_session=True)
    try:
        wait_for(url, process)
        yield process
    finally:
        stop(process)


def stop(process):
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def tracking(folder, port):
    """The server keeps database and artifacts in ``folder``; clients reach both through it alone."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    words += ["--artifacts-destination", (folder / "store").as_uri()]
    with serving(words, f"http://127.0.0.1:{port}/health", folder) as process:
        yield process


@pytest.fixture
def away(tmp_path, monkeypatch):
    """A working folder and cache that know nothing of the server's."""
    (tmp_path / "server").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def made():
    return track.Made({"heads.C": 0.01}, {}, {"verdict": {"auc": 0.9}}, [], "# Card", "ann")


def debrief(*words, check=0):
    done = subprocess.run([sys.executable, "-m", "pipeline.cli", *words], capture_output=True, text=True, check=False)
    assert done.returncode == check, done.stderr
    return done.stdout


def test_register_promote_score_and_serve_over_http(away, monkeypatch):
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    default = ROOT / "models/default"
    with tracking(away / "server", port):
        version, new = track.register(default, made())
        assert (version.aliases, new) == (("challenger",), True)
        track.promote(version, "ann", "the first champion")

        (away / "here/answers.jsonl").write_text("".join(json.dumps(a) + "\n" for a in ANSWERS))
        debrief("score", "answers.jsonl", "--out", "by-name", "--model", "models:/debrief@champion", "--quiet")
        debrief("score", "answers.jsonl", "--out", "by-folder", "--model", str(default), "--quiet")
        by_name = (away / "here/by-name/results.jsonl").read_text()
        assert by_name == (away / "here/by-folder/results.jsonl").read_text()
        results = [json.loads(line) for line in by_name.splitlines()]
        assert {r["model"]["version"] for r in results} == {load_model(default).version}

        terms = json.loads(debrief("models", "history", "--json"))
        assert [(t["version"], t["by"], t["why"], t["until"]) for t in terms] == [
            ("1", "ann", "the first champion", None)
        ]

        at = free_port()
        words = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--host", "127.0.0.1"]
        words += ["--port", str(at), "--model-uri", "models:/debrief@champion"]
        with serving(words, f"http://127.0.0.1:{at}/ping", away / "here"):
            asked = json.dumps({"dataframe_records": ANSWERS}).encode()
            request = urllib.request.Request(
                f"http://127.0.0.1:{at}/invocations", asked, {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=120) as response:
                served = json.load(response)["predictions"]
    nested = ("reasons", "signals", "missing", "nearest", "delivery", "model")
    for row, result in zip(served, results, strict=True):
        result.pop("schema")
        assert {k: json.loads(v) if k in nested else v for k, v in row.items()} == result


def test_a_server_lost_in_the_middle_leaves_nothing_half_registered(away, monkeypatch, model_folder):
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    import mlflow

    with tracking(away / "server", port) as process, monkeypatch.context() as patch:
        log_model = mlflow.pyfunc.log_model

        def lost(*words, **named):
            stop(process)
            return log_model(*words, **named)

        patch.setattr("mlflow.pyfunc.log_model", lost)
        with pytest.raises(DebriefError) as caught:
            track.register(model_folder, made())
        said = str(caught.value)
        assert re.match(rf"MLflow at http://127\.0\.0\.1:{port} did not take it \(", said)
        assert said.endswith(f"The model is safe in {model_folder}; register it later with `debrief models register`.")
    assert load_model(model_folder)
    with tracking(away / "server", port):
        assert track.versions() == []
        version, new = track.register(model_folder, made())
        assert (version.number, version.aliases, new) == ("1", ("challenger",), True)
        runs = mlflow.search_runs(experiment_names=["debrief"])
        assert runs["status"].tolist() == ["FINISHED"]
