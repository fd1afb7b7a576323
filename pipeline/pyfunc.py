"""The model on DataFrames, as MLflow serves it: answers in, results out, one row each, in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.corpus import explain
from pipeline.encode import TransformerEncoder
from pipeline.errors import InputError
from pipeline.model import load_model
from pipeline.records import Answer
from pipeline.rubric import read_rubric
from pipeline.score import Scorer

COLUMNS = (
    "id",
    "round",
    "round_source",
    "verdict",
    "p_good",
    "reasons",
    "signals",
    "missing",
    "nearest",
    "delivery",
    "model",
)
_NESTED = COLUMNS[5:]


class Predictor:
    """Scores rows of a DataFrame."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def predict(self, answers: Any) -> Any:
        """A pandas DataFrame with the fields of a result; nested ones are JSON text.

        Args:
            answers: DataFrame with ``answer`` (or ``text``) and, if known, ``id``, ``question`` and ``round``; a row
                without an id is named by its number, from 1.

        Raises:
            InputError: a row is not an answer; every such row is named.
        """
        import pandas as pd

        read, wrong = [], []
        for number, row in enumerate(answers.to_dict("records"), 1):
            fields = {key: None if pd.isna(value) else value for key, value in row.items()}
            try:
                read.append(Answer.model_validate({**fields, "id": fields.get("id") or str(number)}))
            except ValidationError as error:
                reasons = [explain(e) for e in error.errors(include_input=False, include_url=False)]
                wrong.append(f"row {number}: {'; '.join(reasons)}")
        if wrong:
            raise InputError("; ".join(wrong), "Mend these rows.")
        rows = [json.loads(f.result.to_json()) for f in self._scorer.score(read)]
        flat = [{c: json.dumps(r[c], ensure_ascii=False) if c in _NESTED else r[c] for c in COLUMNS} for r in rows]
        return pd.DataFrame(flat, columns=list(COLUMNS))


def load_predictor(folder: Path) -> Predictor:
    """The model in a folder, with its encoder and the default rubric."""
    model = load_model(folder)
    return Predictor(Scorer(model, TransformerEncoder(model.encoder, model.adapter), read_rubric()))
