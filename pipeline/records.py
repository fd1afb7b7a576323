"""What goes in and what comes out. Field names are a contract with tools outside this repository."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.signals import NEAR_MISS_KINDS, POSITIVE, ROUNDS, SIGNAL_IDS, SIGNALS

VERDICTS = ("GOOD", "BAD", "BORDERLINE", "UNSCORABLE")

Verdict = Literal["GOOD", "BAD", "BORDERLINE", "UNSCORABLE"]
Label = Literal["GOOD", "BAD"]


def _known(value: str, allowed: tuple[str, ...], what: str) -> str:
    if value not in allowed:
        raise ValueError(f"unknown {what} {value!r}; one of: {', '.join(allowed)}")
    return value


class Answer(BaseModel):
    """What one candidate said to one question. Unknown fields are passed through in ``extra``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=200)
    text: str
    question: str | None = None
    round: str | None = None
    seconds: float | None = Field(None, gt=0, description="time the answer took, where a transcript tells it")
    extra: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, fields: Any) -> Any:
        """Accept ``answer`` for ``text``, blanks for absent values, and move unknown fields to ``extra``."""
        if not isinstance(fields, dict):
            return fields
        known: dict[str, Any] = {"extra": dict(fields.get("extra") or {})}
        for key, value in fields.items():
            name = "text" if key == "answer" else key
            if name == "extra":
                continue
            if name == "text" and "text" in known:
                raise ValueError("both 'answer' and 'text' are given; keep one")
            if name in cls.model_fields:
                known[name] = None if value == "" and name != "text" else value
            else:
                known["extra"][key] = value
        if "text" not in known:
            raise ValueError("no 'answer' (or 'text') field")
        if isinstance(known.get("id"), int):
            known["id"] = str(known["id"])
        return known

    @field_validator("text", mode="before")
    @classmethod
    def _absent_text_is_empty(cls, value: Any) -> Any:
        return "" if value is None else value

    @field_validator("text", "question")
    @classmethod
    def _encodable(cls, value: str | None) -> str | None:
        if value is not None and any("\ud800" <= ch <= "\udfff" for ch in value):
            raise ValueError("holds characters that are not valid Unicode")
        return value

    @field_validator("round")
    @classmethod
    def _round_known(cls, value: str | None) -> str | None:
        return None if value is None else _known(value.strip().lower().replace(" ", "_"), ROUNDS, "round")


class Span(BaseModel):
    """A run of an answer's text: ``text == answer.text[start:end]``, character offsets, end exclusive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    text: str = Field(min_length=1)


class Evidence(Span):
    """A span and what proposed it: ``rule:<id>`` or ``model``."""

    source: str = Field(pattern=r"^(rule:[\w-]+|model)$")


class AnnotatedSignal(Span):
    """A signal somebody saw, with the words that show it."""

    id: str = Field(validation_alias=AliasChoices("id", "signal"))

    @field_validator("id")
    @classmethod
    def _signal_known(cls, value: str) -> str:
        return _known(value, SIGNAL_IDS, "signal")


class NearMiss(AnnotatedSignal):
    """Words that look like a signal and are none, with the reason why."""

    kind: str

    @field_validator("kind")
    @classmethod
    def _kind_known(cls, value: str) -> str:
        return _known(value, NEAR_MISS_KINDS, "near-miss kind")

    @field_validator("id")
    @classmethod
    def _positive_only(cls, value: str) -> str:
        return _known(value, POSITIVE, "positive signal")


class Annotation(BaseModel):
    """One annotator's own reading of an exemplar, kept even where a third look settled otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    annotator: str
    verdict: Label
    strength: float = Field(ge=0, le=1)
    signals: tuple[AnnotatedSignal, ...] = ()


class Exemplar(BaseModel):
    """An answer with a verdict, a strength and annotated signals: one line of ``corpus/exemplars``.

    ``pair`` joins the two twins of a minimal pair; ``scenario`` never stands on both sides of a split.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[\w-]+$")
    text: str = Field(min_length=1)
    question: str = Field(min_length=1)
    round: Literal["product_sense", "behavioral", "analytical", "system_design"]
    verdict: Label
    strength: float = Field(ge=0, le=1)
    author: str
    split: Literal["train", "test"]
    setting: Literal["everyday", "professional"]
    style: Literal["edited", "spoken", "asr"]
    scenario: str
    pair: str | None = None
    twin: Literal["near_miss", "dense_near_miss", "dense", "plain"] | None = Field(
        None, description="how the BAD answer of the pair falls short; on both twins"
    )
    signals: tuple[AnnotatedSignal, ...] | None = Field((), description="null: nobody looked for signals yet")
    near_misses: tuple[NearMiss, ...] = ()
    annotations: tuple[Annotation, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the verdict is GOOD."""
        return self.verdict == "GOOD"

    @property
    def annotated(self) -> bool:
        """Whether somebody looked for signals; without that only the verdict can be learnt from."""
        return self.signals is not None

    @property
    def shown(self) -> tuple[AnnotatedSignal, ...]:
        """The annotated signals; none where nobody looked."""
        return self.signals or ()

    def shows(self, signal: str) -> bool:
        """Whether the signal is annotated anywhere in the answer."""
        return any(s.id == signal for s in self.shown)


class ShownSignal(BaseModel):
    """A signal the model sees in an answer."""

    id: str
    polarity: Literal["positive", "negative"]
    confidence: float = Field(ge=0, le=1)
    evidence: list[Evidence]

    @property
    def name(self) -> str:
        """The signal's name in plain English."""
        return SIGNALS[self.id].name


class MissingSignal(BaseModel):
    """A positive signal that is absent and would have raised the verdict."""

    id: str
    advice: str
    ask: str
    p_good_if_shown: float = Field(ge=0, le=1)

    @property
    def name(self) -> str:
        """The signal's name in plain English."""
        return SIGNALS[self.id].name


class Neighbour(BaseModel):
    """An exemplar near to the answer. Similarity is the cosine of the answer vectors, -1 to 1."""

    exemplar: str
    verdict: Label
    similarity: float


class Delivery(BaseModel):
    """How it was said. It does not count towards the verdict."""

    words: int
    fillers_per_100_words: float | None
    first_person_singular_share: float | None
    words_per_minute: float | None


class ModelStamp(BaseModel):
    """Which model said it: content hashes, so that two runs can be compared."""

    name: str = "debrief"
    version: str
    corpus: str
    code: str


class Result(BaseModel):
    """Everything the program says about one answer: one line of ``results.jsonl``."""

    schema_: Literal["debrief.result/1"] = Field(
        "debrief.result/1", serialization_alias="schema", validation_alias="schema"
    )
    id: str
    round: str
    round_source: Literal["given", "predicted"]
    verdict: Verdict
    p_good: float | None
    reasons: list[str]
    signals: list[ShownSignal]
    missing: list[MissingSignal]
    nearest: list[Neighbour]
    delivery: Delivery
    model: ModelStamp
    extra: dict[str, Any] = {}

    def to_json(self) -> str:
        """One line of JSON, keys in the order of the contract; ``extra`` only where there is any."""
        return self.model_dump_json(by_alias=True, exclude=None if self.extra else {"extra"})


class Rejection(BaseModel):
    """A record that could not be scored: where it stood and why. It holds no answer text."""

    file: str
    line: int | None
    id: str | None = None
    reason: str


class Feedback(BaseModel):
    """An answer beside what is said of it, for the reports."""

    answer: Answer
    result: Result
