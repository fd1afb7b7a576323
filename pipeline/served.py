"""What MLflow keeps as the model's code and runs when it loads the model ("models from code"); nothing here imports it.

It holds no logic: the model folder is read by :mod:`pipeline.pyfunc` of the installed debrief, which checks it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from pipeline.pyfunc import Predictor, load_predictor


class Served(PythonModel):
    """MLflow's side of :class:`pipeline.pyfunc.Predictor`."""

    _predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder that was logged with this file."""
        self._predictor = load_predictor(Path(context.artifacts["model"]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A DataFrame of answers to a DataFrame of results."""
        return self._predictor.predict(model_input)


set_model(Served())
