"""Stages of the DVC pipeline; dvc.yaml calls them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.shared import (
    ADAPTERS,
    CURRENT,
    EXEMPLARS,
    FEATURES,
    JUDGED,
    METRICS,
    NGRAMS,
    PLOTS,
    SPLITTER,
    checked_corpus,
    progress,
    read_exemplars,
    read_features,
    read_json,
    say,
    write_json,
)
from pipeline.errors import DebriefError

app = typer.Typer(help="Stages of the DVC pipeline; dvc.yaml calls them.", no_args_is_help=True)


@app.command("check")
def stage_check() -> None:
    """Check the corpus and measure it: metrics/corpus.json."""
    _, measured = checked_corpus(EXEMPLARS)
    write_json(METRICS / "corpus.json", measured)


@app.command("split")
def stage_split() -> None:
    """Learn where unpunctuated speech is cut: models/splitter.safetensors."""
    from pipeline.params import read_params
    from pipeline.segment import fit_splitter

    params = read_params()
    texts = [e.text for e in read_exemplars(EXEMPLARS) if e.split == "train" and e.style != "asr"]
    fit_splitter(texts, params.segment).save(SPLITTER)


@app.command("adapt")
def stage_adapt(
    share: Annotated[float, typer.Option(help="Of each fold's answers, for a quick try.")] = 1.0,
    workers: Annotated[int, typer.Option(min=0, help="Trainings side by side; 0: one for each core.")] = 0,
    target: Annotated[Path, typer.Option("--out", help="Where the adapters go.")] = ADAPTERS,
) -> None:
    """Fine-tune the encoder, once for each fold of authors and once for all: models/adapters."""
    from pipeline.adapt import adapt_all, steps
    from pipeline.params import read_params
    from pipeline.segment import Splitter, sentences
    from pipeline.splits import fold_of

    params, splitter = read_params(), Splitter.load(SPLITTER)
    every = max(1, round(1 / share))
    exemplars = [e for e in read_exemplars(EXEMPLARS) if e.split == "train" and e.annotated][::every]
    if len({fold_of(e.author, params.adapt.folds) for e in exemplars}) < 2:
        raise DebriefError("nobody can be held out: all authors fall into one fold", "Add exemplars of more authors.")
    cuts = [sentences(e.text, params.segment, splitter) for e in exemplars]
    # each answer is read by every fold's training but its own, and by that of all; long ones go through in two windows,
    # so the total is known to within a few
    total = params.adapt.folds * steps(len(exemplars), params.adapt)
    with progress("fine-tuning", total, quiet=False) as advance:
        adapters = adapt_all(exemplars, cuts, params, workers or os.cpu_count() or 1, advance)
    adapters.save(target)


@app.command("featurize")
def stage_featurize() -> None:
    """Encode and describe every sentence of the corpus: data/features.npz."""
    from pipeline.adapt import Adapters
    from pipeline.encode import TransformerEncoder
    from pipeline.params import read_params
    from pipeline.segment import Splitter
    from pipeline.splits import fold_of
    from pipeline.train import Encoders, featurize

    params, exemplars, adapters = read_params(), read_exemplars(EXEMPLARS), Adapters.load(ADAPTERS)
    folds = [fold_of(e.author, params.adapt.folds) if e.split == "train" else -1 for e in exemplars]
    encoders = Encoders(
        held_out=[TransformerEncoder(params.encoder, adapter) for adapter in adapters.folds],
        whole=TransformerEncoder(params.encoder, adapters.whole),
        plain=TransformerEncoder(params.encoder),
    )
    total = 3 * len(exemplars) + sum(fold >= 0 for fold in folds)  # whole, plain and the questions, and held out
    with progress("encoding", total, quiet=False) as advance:
        data, ngrams = featurize(exemplars, folds, params, Splitter.load(SPLITTER), encoders, advance)
    data.save(FEATURES)
    ngrams.save(NGRAMS)
    say(f"{len(data.ids)} answers, {len(data.owner)} sentences, {data.features.shape[1]} features", quiet=False)


@app.command("evaluate")
def stage_evaluate() -> None:
    """Cross-validate by author: metrics, plots/*.csv and what was said of each answer."""
    import csv

    from pipeline.adapt import Adapters
    from pipeline.encode import TransformerEncoder
    from pipeline.evaluate import evaluate, headline, robustness
    from pipeline.features import BLOCKS
    from pipeline.ngrams import NgramReaders
    from pipeline.params import read_params
    from pipeline.robust import DISTURBANCES
    from pipeline.segment import Splitter

    params = read_params()
    data, exemplars = read_features()
    with progress("evaluating", params.adapt.folds + len(BLOCKS) + 4, quiet=False) as advance:
        found = evaluate(data, exemplars, params, advance)
    write_json(METRICS / "evaluation.json", found.metrics)
    found.answers.save(JUDGED)
    kept = [(e, int(f)) for e, f in zip(exemplars, data.fold, strict=True) if e.split == "train"]
    encoders = [TransformerEncoder(params.encoder, adapter) for adapter in Adapters.load(ADAPTERS).folds]
    readers = NgramReaders.load(NGRAMS).folds
    total = (len(DISTURBANCES) + 1) * params.evaluate.robust_answers
    with progress("disturbing", total, quiet=False) as advance:
        figures = robustness(
            found.fits,
            encoders,
            readers,
            [e for e, _ in kept],
            [f for _, f in kept],
            params,
            Splitter.load(SPLITTER),
            advance,
        )
    write_json(METRICS / "robustness.json", figures)
    write_json(METRICS / "summary.json", headline(found.metrics, figures))
    PLOTS.mkdir(exist_ok=True)
    for name, rows in found.tables.items():
        with (PLOTS / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


@app.command("test")
def stage_test(
    authors: Annotated[str | None, typer.Option(help="Train on these authors only, such as e01,e02.")] = None,
    target: Annotated[Path, typer.Option("--out", help="Where the figures go.")] = METRICS / "test.json",
) -> None:
    """Measure on the held-out test authors. Not part of the pipeline: looked at once, at the end."""
    from pipeline.corpus import corpus_hash
    from pipeline.evaluate import evaluate_test
    from pipeline.params import read_params

    data, exemplars = read_features()
    if authors:
        wanted = set(authors.split(","))
        rows = [i for i, e in enumerate(exemplars) if e.split == "test" or e.author in wanted]
        data, exemplars = data.take(rows), [exemplars[i] for i in rows]
    figures = evaluate_test(data, exemplars, read_params())
    write_json(target, {"corpus": corpus_hash(exemplars)[:12], **figures})


@app.command("curve")
def stage_curve() -> None:
    """Draw the learning curve: metrics/learning_curve.json. Not part of the pipeline: it fine-tunes for a while."""
    from pipeline.adapt import Adapters
    from pipeline.corpus import corpus_hash
    from pipeline.curve import curve_steps, learning_curve
    from pipeline.params import read_params
    from pipeline.segment import Splitter

    params, exemplars = read_params(), read_exemplars(EXEMPLARS)
    train = [e for e in exemplars if e.split == "train"]
    with progress("fine-tuning", curve_steps(train, params), quiet=False) as advance:
        rows = learning_curve(train, Adapters.load(ADAPTERS), params, Splitter.load(SPLITTER), advance)
    write_json(METRICS / "learning_curve.json", {"corpus": corpus_hash(exemplars)[:12], "by_authors": rows})


@app.command("fit")
def stage_fit() -> None:
    """Fit on the train authors: models/current."""
    from dataclasses import replace

    from pipeline.adapt import Adapters
    from pipeline.encode import find_encoder, weights_hash
    from pipeline.heldout import HELD_OUT
    from pipeline.ngrams import NgramReaders
    from pipeline.params import read_params
    from pipeline.segment import Splitter
    from pipeline.train import fit

    params = read_params()
    data, exemplars = read_features()
    metrics = read_json(METRICS / "evaluation.json") | {"robustness": read_json(METRICS / "robustness.json")}
    encoder_hash = weights_hash(find_encoder(params.encoder.source))
    adapter, splitter = Adapters.load(ADAPTERS).whole, Splitter.load(SPLITTER)
    ngrams = NgramReaders.load(NGRAMS).whole
    model = replace(fit(data, exemplars, params, encoder_hash, adapter, ngrams, splitter), metrics=metrics)
    model.save(CURRENT)
    shutil.copy(JUDGED, CURRENT / HELD_OUT)
    say(f"model {model.version} in {CURRENT}", quiet=False)


@app.command("card")
def stage_card() -> None:
    """Write models/MODEL_CARD.md from the metrics."""
    from pipeline.model import load_model
    from pipeline.report import model_card

    model = load_model(CURRENT)
    test_file = METRICS / "test.json"
    test = read_json(test_file) if test_file.is_file() else None
    if test and test.get("corpus") != model.corpus[:12]:
        test = None  # measured on another corpus
    Path("models/MODEL_CARD.md").write_text(model_card(model, test), encoding="utf-8")
