"""What every test shares: a tiny encoder without a neural network, a small corpus and a model fitted on it."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pipeline import cli
from pipeline.adapter import Adapter
from pipeline.corpus import read_corpus
from pipeline.encode import Encoded
from pipeline.features import gold_labels
from pipeline.model import Model
from pipeline.ngrams import NgramReader, fit_ngrams, pieces
from pipeline.params import EncoderParams, Params, read_params
from pipeline.records import Answer, Exemplar, Feedback, Result
from pipeline.rubric import read_rubric
from pipeline.score import Scorer
from pipeline.segment import Sentence, Splitter, fit_splitter, sentences
from pipeline.signals import SIGNAL_IDS
from pipeline.splits import fold_of
from pipeline.train import Encoders, Featurized, featurize, fit

ROOT = Path(__file__).parents[1]
TINY_HASH = hashlib.sha256(b"tiny").hexdigest()


@dataclass(frozen=True)
class TinyEncoder:
    """Sums a fixed random vector per word: the same interface, deterministic, no model to load.

    Its log-odds are fixed random projections of those vectors: they know nothing of signals, but differ by words.
    """

    params: EncoderParams | None = None
    adapter: Adapter | None = None
    dim: int = 32
    sha256: str = TINY_HASH

    def encode(
        self,
        texts: Sequence[str],
        sentences: Sequence[Sequence[Sentence]],
        advance: Callable[[int], None] | None = None,
    ) -> list[Encoded]:
        encoded = []
        project = np.random.default_rng(7).standard_normal((self.dim, len(SIGNAL_IDS))).astype(np.float32)
        for text, cut in zip(texts, sentences, strict=True):
            rows = np.array([self._vector(text[a:b]) for a, b in cut], np.float32).reshape(-1, self.dim)
            words = [m.span() for m in re.finditer(r"\S+", text)] if cut else []
            tokens = np.array([self._vector(text[a:b]) for a, b in words], np.float32).reshape(-1, self.dim)
            spans = np.array(words, np.int64).reshape(-1, 2)
            encoded.append(Encoded(self._vector(text), rows, rows @ project - 1, tokens @ project - 2, spans))
            if advance:
                advance(1)
        return encoded

    def _vector(self, text: str) -> np.ndarray:
        total = np.zeros(self.dim, np.float32)
        for word in text.lower().split():
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
            total += np.random.default_rng(seed).standard_normal(self.dim).astype(np.float32)
        return total / max(float(np.linalg.norm(total)), 1e-12)


@pytest.fixture(scope="session")
def params() -> Params:
    """The project's own parameters."""
    return read_params(ROOT / "params.yaml")


@pytest.fixture(scope="session")
def exemplars() -> list[Exemplar]:
    """Four authors of the corpus, two of each of two folds, ten pairs each."""
    everyone = read_corpus(ROOT / "corpus/exemplars")
    return [e for a in ("e01", "e02", "e04", "e05") for e in [e for e in everyone if e.author == a][:20]]


@pytest.fixture(scope="session")
def splitter(exemplars: list[Exemplar], params: Params) -> Splitter:
    """A splitter that learnt from them."""
    return fit_splitter([e.text for e in exemplars if e.style != "asr"], params.segment)


@pytest.fixture(scope="session")
def featurized(exemplars: list[Exemplar], params: Params, splitter: Splitter) -> Featurized:
    """Their features, by the tiny encoder."""
    encoders = Encoders([TinyEncoder(), TinyEncoder()], TinyEncoder(), TinyEncoder())
    return featurize(exemplars, [fold_of(e.author, 2) for e in exemplars], params, splitter, encoders)[0]


@pytest.fixture(scope="session")
def ngrams(exemplars: list[Exemplar], params: Params, splitter: Splitter) -> NgramReader:
    """What their words alone say."""
    cuts = [sentences(e.text, params.segment, splitter) for e in exemplars]
    labels = [gold_labels(c, [(s.id, s.start, s.end) for s in e.signals]) for c, e in zip(cuts, exemplars, strict=True)]
    words = [piece for e, cut in zip(exemplars, cuts, strict=True) for piece in pieces(e.text, cut)]
    return fit_ngrams(words, np.vstack(labels), params.ngrams)


@pytest.fixture(scope="session")
def adapter() -> Adapter:
    """An adapter of nothing but its readers, for the tiny encoder."""
    rng = np.random.default_rng(3)
    shapes = {"token.weight": (24, 32), "token.bias": (24,), "sentence.weight": (24, 32)}
    shapes |= {"sentence.bias": (24,), "sentence.mix": (24,)}
    return Adapter({name: rng.standard_normal(shape).astype(np.float16) for name, shape in shapes.items()})


@pytest.fixture(scope="session")
def model(
    featurized: Featurized,
    exemplars: list[Exemplar],
    params: Params,
    adapter: Adapter,
    ngrams: NgramReader,
    splitter: Splitter,
) -> Model:
    """A model fitted on them."""
    return fit(featurized, exemplars, params, TINY_HASH, adapter, ngrams, splitter)


@pytest.fixture(scope="session")
def _saved(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    model.save(folder)
    return folder


@pytest.fixture
def model_folder(_saved: Path, tmp_path: Path) -> Path:
    """A saved copy of it that a test may damage."""
    return Path(shutil.copytree(_saved, tmp_path / "model"))


@pytest.fixture(scope="session")
def scorer(model: Model) -> Scorer:
    """The model with the tiny encoder."""
    return Scorer(model, TinyEncoder(), read_rubric())


@pytest.fixture
def command(monkeypatch, capsys):
    """The command as it is typed: exit code, standard output, standard error."""

    def go(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["debrief", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return go


@pytest.fixture
def tiny_default(monkeypatch, tmp_path, model_folder):
    """In an empty folder, with the tiny encoder and its model as the default."""
    monkeypatch.setattr("pipeline.encode.TransformerEncoder", TinyEncoder)
    monkeypatch.setattr("pipeline.model.default_model", lambda: model_folder)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(command, tiny_default):
    """The command with the tiny model; standard error on one line."""

    def go(*words: object) -> tuple[int, str, str]:
        code, out, err = command(*words)
        return code, out, err.replace("\n", " ").strip()

    return go


@pytest.fixture(scope="session")
def answers() -> list[str]:
    """Three answers to score: plain, spoken, recogniser output."""
    return [
        "The owner refused to close the till. I told him I would not sign for the money until we counted it twice, "
        "and we lost an hour that evening. Otherwise we would have paid the wrong wages again.",
        "Um, so, we had a meeting every week, you know, and everybody was aligned. It was a big success for the team.",
        "so i looked at the cold room first because if the meat was warm there it was the fridge and if it was fine it "
        "was the van and it turned out the van door did not shut so we lost about forty pounds a week",
    ]


@pytest.fixture(scope="session")
def fixed_feedback(model: Model) -> Feedback:
    """Feedback written out by hand, so that golden reports change with the templates only."""
    text = "The owner refused. I told him I would not sign & we lost <an hour>. Everyone was happy."

    def piece(words: str, source: str) -> dict[str, object]:
        start = text.index(words)
        return {"start": start, "end": start + len(words), "text": words, "source": source}

    good = next(e for e in model.exemplars if e.verdict == "GOOD")
    bad = next(e for e in model.exemplars if e.verdict == "BAD")
    result = {
        "schema": "debrief.result/1",
        "id": "a1",
        "round": "behavioral",
        "round_source": "predicted",
        "verdict": "GOOD",
        "p_good": 0.874,
        "reasons": ["It names who refused or disagreed and about what: “The owner refused”."],
        "signals": [
            {"id": "resistance", "polarity": "positive", "confidence": 0.93,
             "evidence": [piece("The owner refused", "rule:res-01")]},
            {"id": "stated_tradeoff", "polarity": "positive", "confidence": 0.7,
             "evidence": [piece("I told him I would not sign & we lost <an hour>", "model")]},
            {"id": "vague_claim", "polarity": "negative", "confidence": 0.6,
             "evidence": [piece("Everyone was happy", "model")]},
        ],
        "missing": [{"id": "cost_of_inaction", "advice": "Say what would have happened.", "ask": "And otherwise?",
                     "p_good_if_shown": 0.94}],
        "nearest": [{"exemplar": good.id, "verdict": "GOOD", "similarity": 0.71},
                    {"exemplar": bad.id, "verdict": "BAD", "similarity": 0.6}],
        "delivery": {"words": 18, "fillers_per_100_words": 0.0, "first_person_singular_share": 0.67,
                     "words_per_minute": 121.5},
        "model": {"version": "VERSION", "corpus": "CORPUS", "code": "0.1.0"},
    }  # fmt: skip
    answer = Answer(id="a1", text=text, question="Who *objected*?")
    return Feedback(answer=answer, result=Result.model_validate(result))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden reports")
