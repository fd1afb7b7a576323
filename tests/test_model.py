import json
import pickle

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
    ],
)
def test_a_damaged_folder_is_refused(model_folder, damage, message):
    damage(model_folder)
    with pytest.raises(ModelError, match=message):
        load_model(model_folder)


def test_a_payload_in_the_weights_does_not_run(model_folder, tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    blob = pickle.dumps(Payload())
    (model_folder / "weights.safetensors").write_bytes(blob)
    import hashlib

    manifest = json.loads((model_folder / "manifest.json").read_text())
    manifest["files"]["weights.safetensors"] = hashlib.sha256(blob).hexdigest()
    (model_folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="damaged"):
        load_model(model_folder)
    assert not (tmp_path / "ran").exists()


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
