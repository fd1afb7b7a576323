"""MLflow with a store of its own in a temporary folder."""

import pytest
from conftest import TinyEncoder

from pipeline import track
from pipeline.errors import DebriefError, ModelError
from pipeline.model import load_model


@pytest.fixture(autouse=True)
def _store(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_register_list_and_fetch(model, model_folder, tmp_path, monkeypatch, scorer, answers):
    plots = tmp_path / "plots"
    plots.mkdir()
    (plots / "x.csv").write_text("a\n1\n")
    version, new = track.register(model_folder, {"heads.C": 0.01}, {"git.commit": "abc"}, [plots])
    assert (version.number, version.model, version.aliases, new) == ("1", model.version, ("challenger",), True)
    assert [v.number for v in track.versions()] == ["1"]

    again, new = track.register(model_folder, {"heads.C": 0.01}, {}, [])
    assert (again.number, new) == ("1", False)

    for ref in ("models:/debrief/1", "models:/debrief@challenger"):
        assert load_model(track.fetch(ref)).version == model.version

    import mlflow
    import pandas as pd

    monkeypatch.setattr("pipeline.pyfunc.TransformerEncoder", TinyEncoder)
    served = mlflow.pyfunc.load_model("models:/debrief/1").predict(pd.DataFrame({"answer": answers}))
    from pipeline.records import Answer

    folder = scorer.score([Answer(id=str(i), text=t) for i, t in enumerate(answers, 1)])
    assert served["p_good"].tolist() == [f.result.p_good for f in folder]
    assert served["verdict"].tolist() == [f.result.verdict for f in folder]

    run = mlflow.search_runs(experiment_names=["debrief"]).iloc[0]
    assert run["params.heads.C"] == "0.01"
    assert run["tags.git.commit"] == "abc"
    assert run["tags.debrief.version"] == model.version


def test_a_version_that_is_not_there():
    with pytest.raises(ModelError, match=r"MLflow has no models:/debrief/9 .*See `debrief models list`"):
        track.fetch("models:/debrief/9")


def test_a_server_out_of_reach_is_one_line(model_folder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(DebriefError, match=r"MLflow at http://127.0.0.1:9 did not take it"):
        track.register(model_folder, {}, {}, [])


def test_figures_are_flattened():
    tree = {"a": {"b": 1, "c": float("nan"), "d": "text"}, "round=x": {"e": 0.5}}
    assert dict(track.flat_figures(tree)) == {"a.b": 1.0, "round.x.e": 0.5}
