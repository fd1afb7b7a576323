"""A rubric: which signals a round looks for, how much, and what to say about them. A data file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import DebriefError
from pipeline.signals import NEGATIVE, ROUNDS, SIGNAL_IDS


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(_Strict):
    """What to say about a signal: advice, and the question an interviewer would ask."""

    advice: str
    ask: str


class About(_Strict):
    """The question put with the answer's own words, ``{words}``: the evidence of the first of ``signals`` it shows."""

    signals: list[str]
    ask: str = Field(pattern=r"\{words\}")


class SignalWords(Words):
    """A signal's words, with others for some rounds."""

    by_round: dict[str, Words] = {}
    about: list[About] = []


class RoundRubric(_Strict):
    """What one round asks, and the weights of the signals it looks for."""

    asks: str
    weights: dict[str, float]


class Rubric(_Strict):
    """Weights are at least 0. ``other`` is the weight of a positive signal a round does not name."""

    name: str
    other: float = Field(ge=0)
    negative: float = Field(ge=0)
    rounds: dict[str, RoundRubric]
    signals: dict[str, SignalWords]

    @model_validator(mode="after")
    def _complete(self) -> Rubric:
        if missing := set(ROUNDS) - set(self.rounds):
            raise ValueError(f"no round {', '.join(sorted(missing))}")
        if missing := set(SIGNAL_IDS) - set(self.signals):
            raise ValueError(f"no words for {', '.join(sorted(missing))}")
        for signal, said in self.signals.items():
            if unknown := {s for about in said.about for s in about.signals} - set(SIGNAL_IDS):
                raise ValueError(f"{signal} asks about unknown signals: {', '.join(sorted(unknown))}")
        for name, entry in self.rounds.items():
            if unknown := set(entry.weights) - set(SIGNAL_IDS):
                raise ValueError(f"round {name} weighs unknown signals: {', '.join(sorted(unknown))}")
            if any(weight < 0 for weight in entry.weights.values()):
                raise ValueError(f"round {name} has a weight below 0")
        return self

    def weights(self, round_: str) -> NDArray[np.float64]:
        """Weights of all 24 signals in a round, (24,) float64."""
        named = self.rounds[round_].weights
        return np.array([named.get(s, self.negative if s in NEGATIVE else self.other) for s in SIGNAL_IDS])

    def words(self, signal: str, round_: str) -> Words:
        """Advice and follow-up question for a signal in a round."""
        entry = self.signals[signal]
        return entry.by_round.get(round_, entry)

    def asked_about(self, signal: str, quotes: Mapping[str, str]) -> str | None:
        """The question about a missing signal in the answer's own words, where it shows something to ask about.

        Args:
            signal: what is missing.
            quotes: words of the answer by the signal they show.
        """
        for about in self.signals[signal].about:
            for shown in about.signals:
                if shown in quotes:
                    return about.ask.replace("{words}", quotes[shown])
        return None


def read_rubric(name: str = "tpm") -> Rubric:
    """A rubric that ships with the program, by name, or one from a YAML file, by path.

    Raises:
        DebriefError: there is none, or it breaks the schema.
    """
    folder = files("pipeline").joinpath("rubrics")
    shipped = sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))
    try:
        path = folder.joinpath(f"{name}.yaml") if name in shipped else Path(name)
        return Rubric.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        raise DebriefError(f"no rubric {name!r}", f"Name a YAML file or one of: {', '.join(shipped)}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DebriefError("not a YAML file", "Start from a copy of pipeline/rubrics/tpm.yaml.", name) from None
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise DebriefError(
            f"{place}: {wrong['msg']}" if place else str(wrong["msg"]), "Mend the rubric.", name
        ) from None
