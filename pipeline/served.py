"""What MLflow keeps as the model's code and runs when it loads the model ("models from code"); nothing here imports it.

It holds no logic: the model folder is read by :mod:`pipeline.pyfunc` of the installed debrief, which checks it.
"""

from __future__ import annotations

from pathlib import Path

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from pipeline.pyfunc import Predictor, load_predictor


class Served(PythonModel):
    """MLflow's side of :class:`pipeline.pyfunc.Predictor`."""

    _predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        """Load the model folder that was logged with this file."""
        self._predictor = load_predictor(Path(context.artifacts["model"]))

    # MLflow takes type hints here for a schema of its own; the signature that is logged says it all
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """A DataFrame of answers to a DataFrame of results."""
        return self._predictor.predict(model_input)


set_model(Served())
