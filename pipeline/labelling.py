"""Label answers one by one, by keys: the dialogue, and the file the labels go into.

The dialogue knows no terminal: it is given what asks for a key, what asks for a line and what shows something. The
person judges first; nothing of what the model thinks is shown before the verdict and its strength are given.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError
from rich.console import RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from pipeline.corpus import explain
from pipeline.errors import DebriefError, InputError
from pipeline.readers import Record
from pipeline.records import Answer, Rejection
from pipeline.signals import NEAR_MISS_KINDS, POSITIVE, ROUNDS, SIGNAL_IDS, SIGNALS
from pipeline.suggest import CARRIED, Proposed, proposals

if TYPE_CHECKING:
    from pipeline.score import Scorer

AskKey = Callable[[str, str], str]  # a prompt and the keys that are taken; answers with one of them
AskLine = Callable[[str], str]
Show = Callable[[RenderableType], None]

STRENGTHS = {"GOOD": "56789", "BAD": "1234"}  # tenths; the corpus wants 0.5 and more for GOOD, less for BAD
CONTEXT_WORDS = 25  # words shown on either side of a proposal where no sentence ends before
MAX_PLACES = 9  # places that one key can tell apart

_KIND_SAYS = {
    "negated": "it says that it was not so",
    "other_person": "somebody else did it",
    "wished": "it was wished for or should have been",
    "general_advice": "it is advice to anybody",
    "mere_word": "the word is there, the thing is not",
    "no_reason": "no reason is given",
}
_BEGINS = b'{"id": '  # how each line of a label file begins
_PROPOSALS = TypeAdapter(tuple[Proposed, ...])


@dataclass(frozen=True)
class Task:
    """An answer to label; ``proposed`` is None where the model has not been asked."""

    answer: Answer
    proposed: tuple[Proposed, ...] | None = None

    @property
    def id(self) -> str:
        """The id the label gets: the answer's own, made fit for the corpus where it is not."""
        fit = re.sub(r"[^\w-]+", "-", self.answer.id)
        if fit == self.answer.id:
            return fit
        return f"{fit.strip('-')}-{hashlib.sha256(self.answer.id.encode()).hexdigest()[:6]}"


@dataclass
class Tally:
    """How a session went."""

    done: int = 0
    skipped: int = 0
    left: int = 0


# --- what is to be labelled, and what has been ---------------------------------------------------------------


def read_tasks(
    records: Iterable[Record], source: str, kept: Mapping[str, str]
) -> tuple[list[Task], list[Rejection], int]:
    """The answers to label, the records that cannot be, and how many are labelled already.

    Args:
        records: what the readers make of ``source``.
        source: where they come from, for the reasons.
        kept: text by id of what has been labelled.
    """
    tasks: list[Task] = []
    refused: list[Rejection] = []
    already = 0
    for record in records:
        if isinstance(record, Rejection):
            refused.append(record)
            continue
        task = _task(record)
        if isinstance(task, str):
            refused.append(Rejection(file=source, line=_line_of(source, record.id), id=record.id, reason=task))
        elif task.id not in kept:
            tasks.append(task)
        elif kept[task.id] == record.text:
            already += 1
        else:
            reason = f"id {task.id!r} is labelled already, with another text; give each answer its own"
            refused.append(Rejection(file=source, line=_line_of(source, record.id), id=record.id, reason=reason))
    return tasks, refused, already


def _task(answer: Answer) -> Task | str:
    """What there is to label, or why nothing."""
    if not answer.text.strip():
        return f"the answer {answer.id!r} is empty"
    if answer.extra.get("proposed") is None:
        return Task(answer)
    try:
        proposed = _PROPOSALS.validate_python(answer.extra["proposed"])
    except ValidationError as error:
        return "; ".join(f"proposed.{explain(e)}" for e in error.errors(include_input=False, include_url=False))
    for p in proposed:
        if answer.text[p.start : p.end] != p.text:
            return f"proposed {p.id}: text[{p.start}:{p.end}] is not the quoted evidence"
    return Task(answer, proposed)


def propose(
    tasks: Sequence[Task], scorer: Scorer, advance: Callable[[int], None] | None = None, chunk: int = 64
) -> list[Task]:
    """The same tasks, with the model's evidence where nothing was proposed yet; so many are scored at once."""
    asked = [t for t in tasks if t.proposed is None]
    proposed: dict[str, tuple[Proposed, ...]] = {}
    for at in range(0, len(asked), chunk):
        for said in scorer.score([t.answer for t in asked[at : at + chunk]], advance):
            proposed[said.answer.id] = tuple(proposals(said.result))
    return [replace(t, proposed=proposed[t.answer.id]) if t.proposed is None else t for t in tasks]


def _line_of(source: str, id_: str) -> int | None:
    """The line of a JSONL file that holds an id, where it can be told."""
    path = Path(source)
    if path.suffix.lower() not in (".jsonl", ".ndjson") or not path.is_file():
        return None
    for number, raw in enumerate(path.read_bytes().splitlines(), 1):
        try:
            fields = json.loads(raw.decode("utf-8-sig"))
        except ValueError:
            continue
        if isinstance(fields, dict) and str(fields.get("id") or f"{path.stem}-{number}") == id_:
            return number
    return None


class LabelFile:
    """The labels kept so far: each is written at once, so that a kill loses at most the answer under way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kept: dict[str, str] = {}
        self._written: list[tuple[str, int, int]] = []  # id, size before, size after
        self._read()

    def _read(self) -> None:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            if not self.path.parent.is_dir():
                fact = "no such folder"
                raise DebriefError(fact, "Make it, or name another file with --out.", str(self.path.parent)) from None
            return
        except OSError as error:
            raise InputError(
                f"cannot be read ({error.strerror})", "Name another file with --out.", str(self.path)
            ) from None
        lines = raw.split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            label = _label_on(line)
            if label:
                self.kept[label[0]] = label[1]
            elif number == len(lines) and _BEGINS.startswith(line[: len(_BEGINS)]):  # killed while it was written
                os.truncate(self.path, len(raw) - len(line))
                return
            else:
                step = "Mend or delete the line, or name another file with --out."
                raise InputError("not a label", step, f"{self.path}:{number}")
        if lines[-1]:
            self._append(b"\n")

    def keep(self, record: Mapping[str, Any]) -> None:
        """Append a label."""
        line = json.dumps(record, ensure_ascii=False) + "\n"
        before = self.path.stat().st_size if self.path.exists() else 0
        self._append(line.encode())
        self._written.append((record["id"], before, before + len(line.encode())))
        self.kept[record["id"]] = record["text"]

    def undo(self) -> None:
        """Take back the label kept last; only those of this run can be."""
        id_, before, after = self._written.pop()
        if self.path.stat().st_size != after:
            raise DebriefError("somebody else writes here too", "Name another file with --out.", str(self.path))
        os.truncate(self.path, before)
        del self.kept[id_]

    def _append(self, data: bytes) -> None:
        try:
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DebriefError(
                f"cannot write here ({error.strerror})", "Name another file with --out.", str(self.path)
            ) from None


def _label_on(line: bytes) -> tuple[str, str] | None:
    """Id and text of the label on a line, if it holds one."""
    try:
        fields = json.loads(line)
        return (str(fields["id"]), str(fields["text"])) if fields["verdict"] in STRENGTHS else None
    except (ValueError, KeyError, TypeError):
        return None


# --- the dialogue --------------------------------------------------------------------------------------------


class _Turn(Exception):  # noqa: N818  # no error: the person wants something else than to go on
    """Leave the answer under way: ``skip``, ``quit``, ``undo`` the one before, or ``again`` from its beginning."""

    def __init__(self, to: str) -> None:
        self.to = to
        super().__init__(to)


@dataclass
class _Marks:
    """What a person sees in the answer under way."""

    signals: list[dict[str, Any]] = field(default_factory=list)
    near_misses: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Session:
    """Walks through answers and keeps what the person says of each.

    Attributes:
        labels: where finished ones go.
        ask_key, ask_line, show: the person. Either may raise EOFError: nobody is there any more, which is to quit.
        annotator: stands beside each label.
        author: who gave the answers, where they do not say so themselves.
        blind: show no proposals.
    """

    labels: LabelFile
    ask_key: AskKey
    ask_line: AskLine
    show: Show
    annotator: str
    author: str | None = None
    blind: bool = False
    tally: Tally = field(default_factory=Tally)

    def run(self, tasks: Sequence[Task]) -> Tally:
        """Label until all are looked through or the person quits."""
        waiting = deque(enumerate(tasks, 1))
        finished: list[tuple[int, Task]] = []
        self.tally.left = len(waiting)
        while waiting or finished:
            try:
                if not waiting:
                    key = self.ask_key("That was the last. u undo the last finished one, q quit:", "uq")
                    raise _Turn("undo" if key == "u" else "quit")
                number, task = waiting[0]
                self._introduce(number, len(tasks), task)
                label = self._label(task)
                self.labels.keep(label)
                finished.append(waiting.popleft())
                self.tally.done += 1
                self.show(Text(_kept(label), style="dim"))
            except EOFError:
                break
            except _Turn as turn:
                if turn.to == "quit":
                    break
                if turn.to == "skip":
                    waiting.popleft()
                    self.tally.skipped += 1
                elif turn.to == "undo" and finished:
                    self.labels.undo()
                    waiting.appendleft(finished.pop())
                    self.tally.done -= 1
                    self.show(Text("Taken back."))
                elif turn.to == "undo":
                    self.show(Text("Nothing was finished in this run, so there is nothing to undo."))
            finally:
                self.tally.left = len(waiting)
        return self.tally

    def _introduce(self, number: int, total: int, task: Task) -> None:
        answer = task.answer
        self.show(Rule(Text(f"{number} of {total}: {_plain(answer.id)}"), align="left"))
        if answer.round:
            self.show(Text(f"{answer.round.replace('_', ' ')} round", style="dim"))
        if answer.question:
            self.show(Text(_plain(answer.question), style="bold"))
        self.show(Padding(Text(_plain(answer.text)), (1, 2)))

    def _label(self, task: Task) -> dict[str, Any]:
        """Everything the person says of one answer, as the record to keep."""
        answer = task.answer
        round_ = answer.round or self._round()
        question = answer.question or self._question()
        verdict = {"g": "GOOD", "b": "BAD"}[
            self._key("verdict: g GOOD, b BAD, s skip, u undo the last finished one, q quit:", "gb", "suq")
        ]
        marks = _Marks()
        strength = self._strength(verdict)
        if not self.blind:
            for p in task.proposed or ():
                self._judge(answer.text, p, marks)
        self._more(answer.text, marks)
        for found in (marks.signals, marks.near_misses):
            found.sort(key=lambda m: (m["start"], m["end"], m["id"]))
        carried = {name: answer.extra[name] for name in CARRIED if isinstance(answer.extra.get(name), str)}
        author = {"author": self.author} if self.author else {}
        return {
            "id": task.id,
            "text": answer.text,
            "question": question,
            "round": round_,
            "verdict": verdict,
            "strength": strength,
            **author,
            **carried,
            "signals": marks.signals,
            "near_misses": marks.near_misses,
            "annotator": self.annotator,
        }

    def _key(self, prompt: str, keys: str, ways_out: str) -> str:
        """One of ``keys``; a way out leaves the answer."""
        key = self.ask_key(prompt, keys + ways_out)
        if key in ways_out:
            raise _Turn({"s": "skip", "u": "undo", "r": "again", "q": "quit"}[key])
        return key

    def _round(self) -> str:
        names = ", ".join(f"{number} {name.replace('_', ' ')}" for number, name in enumerate(ROUNDS, 1))
        keys = "".join(str(number) for number in range(1, len(ROUNDS) + 1))
        key = self._key(f"round: {names}, s skip, u undo the last finished one, q quit:", keys, "suq")
        return ROUNDS[int(key) - 1]

    def _question(self) -> str:
        asked = " ".join(self.ask_line("What was asked? (Enter skips this answer):").split())
        if not asked:
            raise _Turn("skip")
        return asked

    def _strength(self, verdict: str) -> float:
        keys = STRENGTHS[verdict]
        ends = "5 barely, 9 as good as it gets" if verdict == "GOOD" else "4 nearly GOOD, 1 as bad as it gets"
        prompt = f"how {verdict}, {keys[0]} to {keys[-1]} ({ends})? r start over, q quit:"
        return int(self._key(prompt, keys, "rq")) / 10

    def _judge(self, text: str, proposed: Proposed, marks: _Marks) -> None:
        """Have one proposal kept, changed, marked as a near miss or dropped."""
        signal = SIGNALS[proposed.id]
        self.show(Text.assemble("\n", (signal.name, "bold"), f": the answer {signal.shows}"))
        self.show(Padding(_in_context(text, proposed.start, proposed.end), (0, 2)))
        near = ", m near miss" if proposed.id in POSITIVE else ""
        keys = "yne" + ("m" if near else "")
        while True:
            prompt = f"y it is there, n it is not, e other words{near}, r start over, q quit:"
            key = self._key(prompt, keys, "rq")
            if key == "n":
                return
            if key == "y":
                self._mark(marks.signals, proposed.id, text, (proposed.start, proposed.end))
                return
            if key == "m":
                self._near_miss(text, proposed, marks)
                return
            span = self._words(text)
            if span:
                self._mark(marks.signals, proposed.id, text, span)
                return

    def _near_miss(self, text: str, proposed: Proposed, marks: _Marks) -> None:
        for number, kind in enumerate(NEAR_MISS_KINDS, 1):
            self.show(Text(f"  {number} {kind.replace('_', ' ')}: {_KIND_SAYS[kind]}"))
        keys = "".join(str(number) for number in range(1, len(NEAR_MISS_KINDS) + 1))
        kind = NEAR_MISS_KINDS[int(self._key("why is it none? r start over, q quit:", keys, "rq")) - 1]
        self._mark(marks.near_misses, proposed.id, text, (proposed.start, proposed.end), kind=kind)

    def _more(self, text: str, marks: _Marks) -> None:
        """Signals nobody proposed."""
        while name := self.ask_line("another signal? (its name, ? for a list, Enter if there is none):").strip():
            if name == "?":
                for signal in SIGNALS.values():
                    self.show(Text(f"  {signal.id}: the answer {signal.shows}"))
                continue
            found = find_signal(name)
            if len(found) != 1:
                told = f"That may be: {', '.join(found)}." if found else "No signal has that name; ? lists them."
                self.show(Text(told))
                continue
            span = self._words(text)
            if span:
                self._mark(marks.signals, found[0], text, span)

    def _words(self, text: str) -> tuple[int, int] | None:
        """The place of words the person types; None if they type none."""
        while words := self.ask_line("the words that show it (Enter: none):").strip():
            places = find_words(text, words)
            if len(places) == 1:
                return places[0]
            if not places:
                self.show(Text("These words are not in the answer."))
            elif len(places) > MAX_PLACES:
                self.show(Text(f"They are there {len(places)} times; type more of the words around them."))
            else:
                for number, (start, end) in enumerate(places, 1):
                    self.show(Text(f"  {number} ") + _in_context(text, start, end, 5))
                keys = "".join(str(number) for number in range(1, len(places) + 1))
                key = self._key("which? r start over, q quit:", keys, "rq")
                return places[int(key) - 1]
        return None

    def _mark(self, found: list[dict[str, Any]], id_: str, text: str, span: tuple[int, int], **more: str) -> None:
        start, end = span
        mark = {"id": id_, **more, "start": start, "end": end, "text": text[start:end]}
        if mark in found:
            self.show(Text("That is marked already."))
        else:
            found.append(mark)


def _kept(label: Mapping[str, Any]) -> str:
    found, near = len(label["signals"]), len(label["near_misses"])
    counts = f"{found} signal{'' if found == 1 else 's'}, {near} near miss{'' if near == 1 else 'es'}"
    return f"kept: {label['verdict']} {label['strength']}, {counts}"


def find_signal(name: str) -> list[str]:
    """The signals a typed name may mean: by id or name, whole or the beginning of one; case and ``-_`` do not count."""
    wanted = _simple(name)
    whole = [s.id for s in SIGNALS.values() if wanted in (_simple(s.id), _simple(s.name))]
    begun = [s for s in SIGNAL_IDS if _simple(s).startswith(wanted) or _simple(SIGNALS[s].name).startswith(wanted)]
    return (whole or begun) if wanted else []


def _simple(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())


def find_words(text: str, words: str) -> list[tuple[int, int]]:
    """Where whole words occur, white space apart; as they are written, or else whatever their case."""
    pattern = r"\s+".join(re.escape(word) for word in words.split())
    if not pattern:
        return []
    pattern = (r"\b" if re.match(r"\w", words.strip()) else "") + pattern
    pattern += r"\b" if re.search(r"\w$", words.strip()) else ""
    as_written = [m.span() for m in re.finditer(pattern, text)]
    return as_written or [m.span() for m in re.finditer(pattern, text, re.IGNORECASE)]


def _in_context(text: str, start: int, end: int, words: int = CONTEXT_WORDS) -> Text:
    """The evidence highlighted in its sentence, or in so many words on either side of it."""
    before = re.split(r"(?<=[.!?\n])\s+", text[:start])[-1]
    after = re.split(r"(?<=[.!?])\s+|\n", text[end:])[0] if text[end - 1] not in ".!?" else ""
    before = "".join(re.findall(r"\S+\s*", before)[-words:])
    after = "".join(re.findall(r"\s*\S+", after)[:words])
    return Text.assemble((_plain(before), "dim"), (_plain(text[start:end]), "bold reverse"), (_plain(after), "dim"))


def _plain(text: str) -> str:
    """Text that cannot steer a terminal: control characters but line feeds shown as a replacement."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "�", text)
