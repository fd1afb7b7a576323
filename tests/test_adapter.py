import numpy as np
import pytest
from conftest import ROOT

from pipeline.adapt import adapt
from pipeline.adapter import Adapter
from pipeline.encode import TransformerEncoder
from pipeline.errors import ModelError
from pipeline.segment import sentences
from pipeline.signals import SIGNAL_IDS


def test_an_adapter_comes_back_as_it_was_saved(adapter, tmp_path):
    adapter.save(tmp_path / "a.safetensors")
    assert Adapter.load(tmp_path / "a.safetensors").sha256 == adapter.sha256


def test_a_damaged_adapter_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\x80\x04payload")
    with pytest.raises(ModelError, match="not a safetensors file"):
        Adapter.load(tmp_path / "a.safetensors")


def test_a_sentence_is_read_from_its_mean_and_its_surest_tokens(adapter):
    rng = np.random.default_rng(0)
    tokens, means = rng.standard_normal((5, 24)).astype(np.float32), rng.standard_normal((2, 32)).astype(np.float32)
    owner = np.array([0, 0, 0, 1, 1])
    arrays = {name: a.astype(np.float64) for name, a in adapter.arrays.items()}
    soft = np.array([np.log(np.exp(tokens[owner == i].astype(np.float64)).mean(axis=0)) for i in (0, 1)])
    wanted = means @ arrays["sentence.weight"].T + arrays["sentence.bias"] + arrays["sentence.mix"] * soft
    assert np.allclose(adapter.read_sentences(means, tokens, owner), wanted, atol=1e-4)


@pytest.mark.real
def test_fine_tuning_learns_what_it_is_shown_and_twice_the_same(exemplars, params, splitter):
    """Trained on sixteen answers it must tell their evidence from the rest; it is not asked about any others."""
    few = exemplars[:16]
    cuts = [sentences(e.text, params.segment, splitter) for e in few]
    settings = params.adapt.model_copy(update={"passes": 24, "batch": 8})
    trained = [adapt(few, cuts, TransformerEncoder(params.encoder), settings, seed=1) for _ in range(2)]
    assert trained[0].sha256 == trained[1].sha256
    said = TransformerEncoder(params.encoder, trained[0]).encode([e.text for e in few], cuts)
    inside, outside = [], []
    for e, read in zip(few, said, strict=True):
        for s in e.signals:
            column = SIGNAL_IDS.index(s.id)
            mine = (read.tokens[:, 0] < s.end) & (read.tokens[:, 1] > s.start)
            inside.append(read.token_logits[mine, column].mean())
            outside.append(read.token_logits[~mine, column].mean())
    assert np.mean(inside) > np.mean(outside) + 1


@pytest.mark.real
def test_an_adapter_for_another_encoder_is_refused(params):
    wrong = Adapter({"layer.5.output.dense.down": np.zeros((2, 7), np.float16),
                     "layer.5.output.dense.up": np.zeros((384, 2), np.float16)})  # fmt: skip
    with pytest.raises(ModelError, match=r"layer\.5\.output\.dense does not fit the encoder"):
        TransformerEncoder(params.encoder, wrong).load()


def test_the_committed_adapters_are_one_a_fold_and_one_of_all(params):
    from pipeline.adapt import Adapters

    adapters = Adapters.load(ROOT / "models/adapters")
    assert len(adapters.folds) == params.adapt.folds
    assert len({a.sha256 for a in (*adapters.folds, adapters.whole)}) == len(adapters.folds) + 1
