"""With the real encoder and the committed model: seconds to load, so behind a marker that CI runs too."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from pipeline.encode import TransformerEncoder
from pipeline.model import default_model, load_model
from pipeline.neutral import neutral
from pipeline.readers import read_inputs
from pipeline.records import Answer
from pipeline.rubric import read_rubric
from pipeline.score import Scorer
from pipeline.segment import sentences

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def default():
    return load_model(default_model())


@pytest.fixture(scope="module")
def encoder(default):
    return TransformerEncoder(default.encoder, default.adapter)


@pytest.fixture(scope="module")
def sample():
    return [r for r in read_inputs([str(ROOT / "corpus/samples")]) if isinstance(r, Answer)]


def test_without_an_adapter_answer_vectors_are_those_of_sentence_transformers(params, exemplars):
    from sentence_transformers import SentenceTransformer

    from pipeline.encode import find_encoder

    texts = [e.text for e in exemplars if len(e.text.split()) < 150][:12]
    reference = SentenceTransformer(str(find_encoder(params.encoder.source)), device="cpu")
    ours = TransformerEncoder(params.encoder).encode(texts, [sentences(t, params.segment) for t in texts])
    texts = [neutral(t).text for t in texts]
    cosines = [
        float(a.answer @ b) for a, b in zip(ours, reference.encode(texts, normalize_embeddings=True), strict=True)
    ]
    assert min(cosines) > 0.9999


def test_long_answers_are_read_to_the_end(encoder, params):
    start = "We had to choose between the van and the shop. " * 60
    one, two = start + "I told the owner no.", start + "The weather was nice."
    vectors = encoder.encode([one, two], [sentences(t, params.segment) for t in (one, two)])
    assert not np.allclose(vectors[0].sentences[-1], vectors[1].sentences[-1], atol=0.05)


def test_batches_do_not_change_vectors(encoder, params, exemplars):
    texts = [e.text for e in exemplars[:9]]
    cuts = [sentences(t, params.segment) for t in texts]
    together = encoder.encode(texts, cuts)
    for text, cut, vectors in zip(texts, cuts, together, strict=True):
        alone = encoder.encode([text], [cut])[0]
        assert np.allclose(alone.sentences, vectors.sentences, atol=1e-5)


def test_the_default_model_ranks_the_plain_cases(default, encoder, sample):
    found = {f.answer.id: f.result for f in Scorer(default, encoder, read_rubric()).score(sample)}
    assert {i for i, r in found.items() if r.verdict == "UNSCORABLE"} == {"s12", "s13"}
    good = ("s01", "s03", "s06", "s07", "s09", "s11", "mock-interview-1", "practice-recording-1")
    bad = ("s02", "s04", "s05", "s08", "s10", "mock-interview-2")
    right = [found[g].p_good > found[b].p_good for g in good for b in bad]
    assert np.mean(right) >= 0.9  # of 48 comparisons; the sample was written before the model was fitted


def test_two_runs_say_the_same(default, encoder, sample):
    once = [f.result for f in Scorer(default, encoder, read_rubric()).score(sample)]
    another = TransformerEncoder(default.encoder, default.adapter)
    again = [f.result for f in Scorer(default, another, read_rubric()).score(sample)]
    assert once == again


def test_the_command_needs_no_network_and_leaves_no_answer_in_its_output(tmp_path):
    """Run in its own process, with every socket refused."""
    secret = "we sold the northern depot in secret"
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = refuse\nsocket.getaddrinfo = refuse\n"
    )
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "answer": f"So I told them no because {secret} in May."}))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "score", "a.jsonl", "--out", "o"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert secret not in done.stdout + done.stderr
    assert len((tmp_path / "o/results.jsonl").read_text().splitlines()) == 1
