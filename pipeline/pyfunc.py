"""The model as MLflow serves it: a DataFrame of answers in, a DataFrame of results out.

MLflow finds this module by name (``loader_module``) and calls :func:`_load_pyfunc` with the model folder, so nothing of
ours is pickled and no code is stored with the model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.encode import TransformerEncoder
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
    """What MLflow calls."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """A pandas DataFrame with the columns of the design; nested fields are JSON text.

        Args:
            model_input: DataFrame with ``answer`` (or ``text``) and, if known, ``id``, ``question`` and ``round``.
            params: not used.
        """
        import pandas as pd

        answers = []
        for number, row in enumerate(model_input.to_dict("records"), 1):
            fields = {key: None if pd.isna(value) else value for key, value in row.items()}
            answers.append(Answer.model_validate({**fields, "id": fields.get("id") or str(number)}))
        rows = [json.loads(f.result.to_json()) for f in self._scorer.score(answers)]
        flat = [{c: json.dumps(r[c], ensure_ascii=False) if c in _NESTED else r[c] for c in COLUMNS} for r in rows]
        return pd.DataFrame(flat, columns=list(COLUMNS))


def _load_pyfunc(path: str) -> Predictor:
    folder = Path(path)
    if not (folder / "manifest.json").is_file():
        folder = next(p.parent for p in sorted(folder.glob("*/manifest.json")))
    model = load_model(folder)
    return Predictor(Scorer(model, TransformerEncoder(model.encoder, model.adapter), read_rubric()))
