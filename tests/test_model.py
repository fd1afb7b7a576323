import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.encode import TransformerEncoder, find_encoder
from pipeline.errors import ModelError
from pipeline.model import load_model
from pipeline.params import EncoderParams
from pipeline.records import Answer
from pipeline.rubric import read_rubric
from pipeline.score import Scorer

from conftest import TinyEncoder  # isort: skip


def test_save_and_load_say_the_same(model, model_folder, scorer, answers):
    loaded = load_model(model_folder)
    assert loaded.version == model.version
    batch = [Answer(id=str(i), text=t) for i, t in enumerate(answers)]
    again = Scorer(loaded, TinyEncoder(), read_rubric()).score(batch)
    assert [f.result for f in again] == [f.result for f in scorer.score(batch)]


def test_the_version_is_of_the_content(model):
    from dataclasses import replace

    assert replace(model, thresholds=model.thresholds + 0.01).version != model.version


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "no manifest.json: not a model folder"),
        (lambda f: (f / "manifest.json").write_text("{}"), r"manifest.json cannot be read"),
        (lambda f: (f / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (
            lambda f: (f / "weights.safetensors").write_bytes(pickle.dumps({"x": 1})),
            r"weights.safetensors is not the file the manifest names",
        ),
        (lambda f: (f / "exemplars.jsonl").write_text("{}\n"), r"exemplars.jsonl is not the file"),
        (lambda f: edit(f, "signals", ["escalation"]), "the model knows other signals or rounds"),
        (lambda f: edit(f, "features", "0" * 64), "the model was fitted on other features"),
        (lambda f: edit(f, "bias", 99.0), "its content has version"),
        (
            lambda f: edit(f, "model_schema", "debrief.model/1"),
            r"its format is 'debrief\.model/1', made by debrief 0\.1\.0; debrief 0\.1\.0 reads 'debrief\.model/2'\. "
            r"Score with debrief 0\.1\.0, or retrain on its exemplars with `debrief retrain`\.",
        ),
        (lambda f: (f / "manifest.json").write_bytes(pickle.dumps({})), r"manifest.json cannot be read"),
        (lambda f: (f / "manifest.json").write_text("[" * 100_000), r"manifest.json cannot be read \(RecursionError\)"),
    ],
)
def test_a_damaged_folder_is_refused(model_folder, damage, message):
    damage(model_folder)
    with pytest.raises(ModelError, match=message):
        load_model(model_folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "adapter.safetensors", "exemplars.jsonl"])
def test_a_hostile_folder_is_refused_and_its_payload_does_not_run(model_folder, tmp_path, monkeypatch, name):
    """Pickles in the place of the files, with hashes that fit, and code of every kind that some loader would run."""
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    blob = pickle.dumps(Payload())
    pickle.loads(blob).close()  # it does run where something unpickles it
    ran.unlink()
    (model_folder / name).write_bytes(blob)
    manifest = json.loads((model_folder / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(blob).hexdigest()
    (model_folder / "manifest.json").write_text(json.dumps(manifest))
    for code in ("__init__.py", "conftest.py", "sitecustomize.py", "pipeline.py", "served.py"):
        (model_folder / code).write_text(f"open({str(ran)!r}, 'w')\n")
    (model_folder / "python_model.pkl").write_bytes(blob)
    (model_folder / "MLmodel").write_text("flavors: {python_function: {loader_module: served, code: .}}\n")
    monkeypatch.chdir(model_folder)
    with pytest.raises(ModelError, match=r"damaged|not a safetensors file"):
        load_model(Path())
    assert not ran.exists()


def edit(folder, key, value):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[key] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_wrong_encoder_hash_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"not the weights")
    with pytest.raises(
        ModelError, match=r"wanted 000000000000\.\.\.\. Install the encoder this model was trained with"
    ):
        TransformerEncoder(EncoderParams(source=str(tmp_path), sha256="0" * 64))


@pytest.mark.parametrize(
    ("source", "message"),
    [("package:no_such_package", "is not installed"), ("nobody/no-such-model", "no encoder 'nobody/no-such-model'")],
)
def test_an_absent_encoder_is_refused(source, message):
    with pytest.raises(ModelError, match=message):
        find_encoder(source)


def test_pickled_weights_are_not_an_encoder(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"no model.safetensors. Pickled weights are not loaded"):
        TransformerEncoder(EncoderParams(source=str(tmp_path)))


def test_training_twice_gives_the_same_model(featurized, exemplars, params, model):
    from pipeline.train import fit

    again = fit(featurized, exemplars, params, model.encoder.sha256, model.adapter, model.ngrams, model.splitter)
    assert again.version == model.version
    assert np.array_equal(again.heads.weights, model.heads.weights)
