"""Score answers: one path for one answer and for a million."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from pipeline.delivery import delivery
from pipeline.encode import Encoded, Encoder
from pipeline.evidence import TokenView, find_evidence
from pipeline.features import sentence_features
from pipeline.feedback import missing_signals, nearest_exemplars, reasons, shown_signals
from pipeline.model import Model
from pipeline.records import Answer, Feedback, Result
from pipeline.rubric import Rubric
from pipeline.rules import propose
from pipeline.scorable import unscorable_reason
from pipeline.segment import Sentence, sentences
from pipeline.verdict import answer_strengths


class Scorer:
    """A model, the encoder it was trained with (its adapter merged), and a rubric.

    ``expected_good_rate`` is the share of GOOD answers among those to be scored, where it is known to differ from the
    share the model was fitted on; probabilities move by Bayes' rule.
    """

    def __init__(self, model: Model, encoder: Encoder, rubric: Rubric, expected_good_rate: float | None = None) -> None:
        self._model = model
        self._encoder = encoder
        self._rubric = rubric
        self._verdict = (
            model.verdict
            if expected_good_rate is None
            else model.verdict.with_prior(model.good_rate, expected_good_rate)
        )

    def score(self, answers: Sequence[Answer], advance: Callable[[int], None] | None = None) -> list[Feedback]:
        """Feedback on each answer, in the order given. What is said of one does not depend on the others."""
        reasons_not = [unscorable_reason(a.text) for a in answers]
        cuts: list[list[Sentence]] = [
            [] if reason else sentences(a.text, self._model.segment, self._model.splitter)
            for a, reason in zip(answers, reasons_not, strict=True)
        ]
        encoded = self._encoder.encode([a.text for a in answers], cuts, advance)
        rounds = self._rounds(answers, encoded)
        return [
            Feedback(
                answer=answer,
                result=self._unscorable(answer, reason, *round_)
                if reason
                else self._result(answer, cut, vectors, *round_),
            )
            for answer, reason, cut, vectors, round_ in zip(answers, reasons_not, cuts, encoded, rounds, strict=True)
        ]

    def _rounds(self, answers: Sequence[Answer], encoded: Sequence[Encoded]) -> list[tuple[str, str]]:
        """Round and its source of each answer; asked of the question where there is one, else of the answer."""
        asking = [i for i, a in enumerate(answers) if a.round is None and a.question]
        questions = [answers[i].question or "" for i in asking]
        vectors = dict(
            zip(asking, self._encoder.encode(questions, [[(0, len(q))] for q in questions]), strict=True)
            if asking
            else ()
        )
        found = []
        for i, answer in enumerate(answers):
            if answer.round is not None:
                found.append((answer.round, "given"))
            else:
                vector = vectors[i].answer if i in vectors else encoded[i].answer
                found.append((self._model.rounds.predict(vector, i in vectors)[0], "predicted"))
        return found

    def _result(self, answer: Answer, cut: list[Sentence], vectors: Encoded, round_: str, source: str) -> Result:
        model, rubric = self._model, self._rubric
        proposals = propose(answer.text)
        ngrams = model.ngrams.logits(answer.text, cut)
        probabilities = model.heads.probabilities(sentence_features(vectors, cut, ngrams, proposals, round_))
        strengths = answer_strengths(probabilities)
        tokens = TokenView(vectors.tokens, expit(vectors.token_logits.astype(np.float64)))
        evidence = find_evidence(answer.text, cut, probabilities, model.thresholds, proposals, tokens)
        p_good = float(self._verdict.p_good(strengths, rubric.weights(round_)))
        verdict = self._verdict.verdict(p_good)
        shown = shown_signals(evidence, strengths)
        missing = missing_signals(self._verdict, rubric, round_, strengths, shown)
        return self._record(
            answer,
            round_,
            source,
            verdict=verdict,
            p_good=round(p_good, 4),
            reasons=reasons(self._verdict, rubric, round_, verdict, shown, missing),
            signals=shown,
            missing=missing,
            nearest=nearest_exemplars(model, vectors.answer),
        )

    def _unscorable(self, answer: Answer, reason: str, round_: str, source: str) -> Result:
        nothing: dict[str, Any] = {"p_good": None, "signals": [], "missing": [], "nearest": []}
        return self._record(answer, round_, source, verdict="UNSCORABLE", reasons=[reason], **nothing)

    def _record(self, answer: Answer, round_: str, source: str, **said: Any) -> Result:
        """What every result holds, whatever is said of the answer."""
        return Result.model_validate(
            {
                "schema": "debrief.result/1",
                "id": answer.id,
                "round": round_,
                "round_source": source,
                "delivery": delivery(answer.text, answer.seconds),
                "model": self._model.stamp,
                "extra": answer.extra,
                **said,
            }
        )
