"""Choose which scored answers a person should label next, and write them down for the tool they label with.

Three reasons, each of them a ranking of the answers of one batch:

- *unsure*: the probability is near one half (least-confidence sampling, Lewis and Gale 1994);
- *unlike*: even the nearest exemplar is not very near;
- *disagreeing*: the nearest exemplars, weighted by their similarity, speak for both verdicts or against the one given.

The highest of each is taken in turn. No threshold decides, only the order, so a batch always gives its best.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from pydantic import Field, ValidationError

from pipeline.batch import ORIGIN
from pipeline.corpus import NEAR_DUPLICATE, explain, shingles_of
from pipeline.delivery import delivery
from pipeline.errors import DebriefError, InputError
from pipeline.readers import Record
from pipeline.records import AnnotatedSignal, Answer, Rejection, Result
from pipeline.signals import NEGATIVE, SIGNALS

FORMATS = ("jsonl", "label-studio", "doccano", "prodigy")
CARRIED = ("author", "setting", "style", "scenario")  # what the corpus wants to know and a column may tell

_NAME_THEM = "Name the files they were scored from with --answers."


class Proposed(AnnotatedSignal):
    """Words the model takes for a signal, for a person to judge."""

    confidence: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Scored:
    """A result beside the answer it is about, and the line it stands in."""

    answer: Answer
    result: Result
    where: str


@dataclass(frozen=True)
class Why:
    """One reason to label an answer: its number, where that stands in the batch, and a sentence."""

    reason: str
    value: float
    rank: int
    sentence: str


@dataclass(frozen=True)
class Suggestion:
    """An answer to label; ``why`` begins with the reason it was taken for."""

    answer: Answer
    result: Result
    why: tuple[Why, ...]


@dataclass(frozen=True)
class Choice:
    """What was taken, in order, and how many were passed over because they nearly repeat one of these."""

    taken: tuple[Suggestion, ...]
    near_duplicates: int


# --- read results and their answers --------------------------------------------------------------------------


def read_results(path: Path) -> tuple[list[tuple[str, Result]], list[Rejection]]:
    """The results of a batch with their lines, and the lines that hold none.

    Args:
        path: `results.jsonl`, or the folder it lies in.

    Raises:
        InputError: the file cannot be read or holds no result at all.
    """
    path = path / "results.jsonl" if path.is_dir() else path
    wanted = "Name the results.jsonl that `debrief score` wrote."
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        fact = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise InputError(fact, wanted, str(path)) from None
    results: list[tuple[str, Result]] = []
    refused: list[Rejection] = []
    first: dict[str, str] = {}
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        where = f"{path}:{number}"
        try:
            result = Result.model_validate_json(raw)
        except ValidationError as error:
            reason = "; ".join(explain(e) for e in error.errors(include_input=False, include_url=False))
            refused.append(Rejection(file=str(path), line=number, reason=f"not a result: {reason}"))
            continue
        if result.id in first:
            reason = f"duplicate id {result.id!r}, first at {first[result.id]}"
            refused.append(Rejection(file=str(path), line=number, id=result.id, reason=reason))
            continue
        first[result.id] = where
        results.append((where, result))
    if not results:
        raise InputError("it holds no result", wanted, str(path))
    return results, refused


def inputs_of(path: Path) -> list[str]:
    """What a batch was scored from, as `batch.json` beside its results says.

    Raises:
        DebriefError: it does not say, or they cannot be read again.
    """
    origin = (path if path.is_dir() else path.parent) / ORIGIN
    try:
        inputs = json.loads(origin.read_text(encoding="utf-8"))["inputs"]
    except FileNotFoundError:
        fact = "no such file, so nothing says where the answers are"
        raise DebriefError(fact, _NAME_THEM, str(origin)) from None
    except (OSError, ValueError, KeyError, TypeError):
        inputs = None
    if not isinstance(inputs, list) or not inputs or not all(isinstance(i, str) for i in inputs):
        raise DebriefError("it does not say where the answers are", _NAME_THEM, str(origin))
    if "-" in inputs:
        raise DebriefError("the answers came from standard input and are gone", _NAME_THEM, str(origin))
    return inputs


def join(
    results: Iterable[tuple[str, Result]], records: Iterable[Record]
) -> tuple[list[Scored], list[Rejection], list[Rejection]]:
    """Each result with its answer, found by id.

    Returns:
        What was joined; the results whose answer is not there or is another one by now; the records of the input
        that are no answers.
    """
    answers: dict[str, Answer] = {}
    unread: list[Rejection] = []
    for record in records:
        if isinstance(record, Answer):
            answers[record.id] = record
        else:
            unread.append(record)
    joined: list[Scored] = []
    missing: list[Rejection] = []
    for where, result in results:
        answer = answers.get(result.id)
        if answer and _same(answer, result):
            joined.append(Scored(answer, result, where))
            continue
        reason = "is not the text that was scored; score it again" if answer else "was not found"
        file, _, line = where.rpartition(":")
        reason = f"the answer {result.id!r} {reason}"
        missing.append(Rejection(file=file, line=int(line), id=result.id, reason=reason))
    return joined, missing, unread


def _same(answer: Answer, result: Result) -> bool:
    """Whether the answer is still the one the result quotes."""
    evidence = [e for s in result.signals for e in s.evidence]
    return delivery(answer.text).words == result.delivery.words and all(
        answer.text[e.start : e.end] == e.text for e in evidence
    )


# --- choose --------------------------------------------------------------------------------------------------


def choose(scored: Sequence[Scored], count: int) -> Choice:
    """Up to ``count`` answers to label next: the highest by each reason in turn, none nearly the same as another.

    What the model calls UNSCORABLE is not for labelling and must not be among ``scored``. The order of ``scored`` does
    not matter.
    """
    rankings = [_ranked(scored, reason, rank) for reason, rank in _REASONS.items()]
    turns = [iter(ranking) for ranking in rankings]
    by_id: dict[str, list[Why]] = {}
    for ranking in rankings:
        for one, why in ranking:
            by_id.setdefault(one.result.id, []).append(why)
    taken: list[Suggestion] = []
    shingles: list[set[int]] = []
    seen: set[str] = set()
    near = 0
    while turns and len(taken) < count:
        turn = turns.pop(0)
        for one, why in turn:
            if one.result.id in seen:
                continue
            seen.add(one.result.id)
            words = shingles_of(one.answer.text)
            if any(_overlap(words, other) >= NEAR_DUPLICATE for other in shingles):
                near += 1
                continue
            also = (w for w in by_id[one.result.id] if w is not why and w.rank <= why.rank)
            taken.append(Suggestion(one.answer, one.result, (why, *also)))
            shingles.append(words)
            turns.append(turn)
            break  # a turn without anything left is not put back
    return Choice(tuple(taken), near)


@dataclass(frozen=True)
class _Said:
    """What a reason says of one answer: what to rank by (higher first), the number, and the two ends of a sentence."""

    key: float
    value: float
    fact: str
    by: str


_Ranker = Callable[[Result], _Said | None]


def _ranked(scored: Sequence[Scored], reason: str, rank: _Ranker) -> list[tuple[Scored, Why]]:
    """The answers a reason speaks of, highest first; ties by id."""
    found = [(said, one) for one in scored if (said := rank(one.result))]
    found.sort(key=lambda pair: (-pair[0].key, pair[1].result.id))
    return [
        (one, Why(reason, said.value, number, f"{said.fact}, number {number} of {len(found)} {said.by}"))
        for number, (said, one) in enumerate(found, 1)
    ]


def _unsure(result: Result) -> _Said | None:
    """Least confidence: one minus the probability of the likelier verdict, 0 to 0.5."""
    if result.p_good is None:
        return None
    doubt = round(1 - max(result.p_good, 1 - result.p_good), 4)
    return _Said(doubt, doubt, f"unsure: p(GOOD) is {result.p_good:.2f}", "by nearness to one half")


def _unlike(result: Result) -> _Said | None:
    """The similarity of the nearest exemplar; the lower, the higher it ranks."""
    if not result.nearest:
        return None
    nearest = max(result.nearest, key=lambda n: n.similarity)
    fact = f"unlike the exemplars: the nearest, {nearest.exemplar}, is at {nearest.similarity:.2f}"
    return _Said(-nearest.similarity, nearest.similarity, fact, "from below")


def _disagreeing(result: Result) -> _Said | None:
    """Share of the nearest exemplars' similarity that is not for the verdict, 0 to 1; one half: they are split.

    For BORDERLINE it is the share of the weaker side.
    """
    weight = {v: sum(max(n.similarity, 0.0) for n in result.nearest if n.verdict == v) for v in ("GOOD", "BAD")}
    total = sum(weight.values())
    against = {"GOOD": weight["BAD"], "BAD": weight["GOOD"]}.get(result.verdict, min(weight.values()))
    if not against:
        return None
    share = round(against / total, 4)
    near = ", ".join(
        f"{n.verdict} {n.exemplar} at {n.similarity:.2f}" for n in sorted(result.nearest, key=lambda n: -n.similarity)
    )
    side = "on the weaker side" if result.verdict == "BORDERLINE" else f"against {result.verdict}"
    return _Said(share, share, f"exemplars disagree: {near}; {share:.1%} of their weight is {side}", "by that share")


_REASONS: Mapping[str, _Ranker] = {"unsure": _unsure, "unlike": _unlike, "disagreeing": _disagreeing}


def _overlap(one: set[int], two: set[int]) -> float:
    """Jaccard similarity."""
    return len(one & two) / len(one | two)


# --- show and write ------------------------------------------------------------------------------------------


def _sentence(suggestion: Suggestion) -> str:
    return "; ".join(w.sentence for w in suggestion.why)


def proposals(result: Result) -> list[Proposed]:
    """The evidence of a result as suggestions, in text order."""
    found = [
        Proposed(id=s.id, start=e.start, end=e.end, text=e.text, confidence=s.confidence)
        for s in result.signals
        for e in s.evidence
    ]
    return sorted(found, key=lambda p: (p.start, p.end, p.id))


def write_tasks(choice: Choice, kind: str, path: Path) -> list[Path]:
    """Write what was taken in one of :data:`FORMATS`; each file whole or not at all. Returns the files.

    Raises:
        DebriefError: it cannot be written.
    """
    tasks = [_TASK[kind](s) for s in choice.taken]
    if kind == "label-studio":
        files = {path: json.dumps(tasks, ensure_ascii=False, indent=1) + "\n"}
        files[path.with_name("label_config.xml")] = label_config()
    else:
        files = {path: "".join(json.dumps(task, ensure_ascii=False) + "\n" for task in tasks)}
    for target, text in files.items():
        fresh = target.with_name(f"{target.name}.part")
        try:
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(target)
        except OSError as error:
            raise DebriefError(
                f"cannot write it ({error.strerror})", "Name another file with --out.", str(target)
            ) from None
    return list(files)


def _columns(suggestion: Suggestion) -> dict[str, Any]:
    """What every format tells beside the text and the evidence."""
    answer = suggestion.answer
    carried = {name: answer.extra[name] for name in CARRIED if isinstance(answer.extra.get(name), str)}
    return {"id": answer.id, "question": answer.question or "", "round": suggestion.result.round, **carried}


def _native_task(suggestion: Suggestion) -> dict[str, Any]:
    columns = _columns(suggestion)
    return {
        "id": columns.pop("id"),
        "text": suggestion.answer.text,
        "question": columns.pop("question") or None,
        **columns,
        "why": [vars(w) for w in suggestion.why],
        "proposed": [{"id": p.id} | p.model_dump() for p in _spans(suggestion)],
    }


def _label_studio_task(suggestion: Suggestion) -> dict[str, Any]:
    marks = [
        {
            "id": f"p{number}",
            "from_name": "signals",
            "to_name": "text",
            "type": "labels",
            "score": p.confidence,
            "value": {"start": p.start, "end": p.end, "text": p.text, "labels": [p.id]},
        }
        for number, p in enumerate(_spans(suggestion), 1)
    ]
    return {
        "data": {"text": suggestion.answer.text, **_columns(suggestion), "why": _sentence(suggestion)},
        "predictions": [{"model_version": _model(suggestion), "result": marks}],
    }


def _doccano_task(suggestion: Suggestion) -> dict[str, Any]:
    spans = [[p.start, p.end, p.id] for p in _spans(suggestion)]
    return {
        "text": suggestion.answer.text,
        "label": spans,
        **_columns(suggestion),
        "why": _sentence(suggestion),
        "model": _model(suggestion),
    }


def _prodigy_task(suggestion: Suggestion) -> dict[str, Any]:
    from pipeline.segment import tokenizer

    text = suggestion.answer.text
    doc = tokenizer().make_doc(text)
    spans = []
    for p in _spans(suggestion):
        inside = [t for t in doc if t.idx < p.end and t.idx + len(t) > p.start]  # Prodigy marks whole tokens only
        first, last = inside[0], inside[-1]
        ends = {"token_start": first.i, "token_end": last.i}
        spans.append({"start": first.idx, "end": last.idx + len(last), **ends, "label": p.id})
    return {
        "text": text,
        "tokens": [
            {"text": t.text, "start": t.idx, "end": t.idx + len(t), "id": t.i, "ws": bool(t.whitespace_)} for t in doc
        ],
        "spans": spans,
        "options": [{"id": verdict, "text": verdict} for verdict in ("GOOD", "BAD")],
        "meta": {**_columns(suggestion), "why": _sentence(suggestion), "model": _model(suggestion)},
    }


_TASK: Mapping[str, Callable[[Suggestion], dict[str, Any]]] = {
    "jsonl": _native_task,
    "label-studio": _label_studio_task,
    "doccano": _doccano_task,
    "prodigy": _prodigy_task,
}


def _spans(suggestion: Suggestion) -> list[Proposed]:
    return proposals(suggestion.result)


def _model(suggestion: Suggestion) -> str:
    return f"{suggestion.result.model.name} {suggestion.result.model.version}"


def label_config() -> str:
    """Label Studio's labelling configuration: the signals, the verdict and its strength.

    It shows neither what the model thinks of the verdict nor why the answer was chosen: the person judges first.
    """
    return "\n".join(_config_lines()) + "\n"


def _config_lines() -> Iterator[str]:
    yield "<View>"
    yield '  <Header value="$round"/>'
    yield '  <Text name="question" value="$question"/>'
    yield '  <Choices name="verdict" toName="text" choice="single" required="true" showInLine="true">'
    yield '    <Choice value="GOOD"/>'
    yield '    <Choice value="BAD"/>'
    yield "  </Choices>"
    yield '  <Header size="6" value="How strong, 0 to 1? GOOD: 0.5 and more, BAD: less than 0.5."/>'
    yield '  <Number name="strength" toName="text" min="0" max="1" step="0.05"/>'
    yield '  <Labels name="signals" toName="text">'
    for signal in SIGNALS.values():
        colour = "#d4380d" if signal.id in NEGATIVE else "#389e0d"
        yield f'    <Label value="{signal.id}" hint={quoteattr(_definition(signal.shows))} background="{colour}"/>'
    yield "  </Labels>"
    yield '  <Text name="text" value="$text" granularity="word"/>'
    yield "</View>"


def _definition(shows: str) -> str:
    return f"The answer {shows}."


def without_unscorable(results: Sequence[tuple[str, Result]]) -> list[tuple[str, Result]]:
    """The results that say something; an answer that nobody can judge is none to learn from."""
    return [(where, result) for where, result in results if result.verdict != "UNSCORABLE"]


def rejection_line(rejection: Rejection) -> str:
    """A rejection as ``file:line: reason``."""
    return f"{rejection.file}{f':{rejection.line}' if rejection.line else ''}: {rejection.reason}"
