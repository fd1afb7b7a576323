"""Turn a transcript into answers: cues to turns, turns to questions and what was said to them.

Read so far: Whisper JSON (openai-whisper, and WhisperX with speakers) and WebVTT (with ``<v Name>`` or ``Name:``).
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import webvtt
from webvtt.errors import MalformedCaptionError, MalformedFileError

TRANSCRIPT_KINDS = (".vtt", ".json")

_NAME_PREFIX = re.compile(r"^([A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}):\s+")
_MIN_ANSWER_WORDS = 8  # "Sure, go ahead" is no answer


@dataclass(frozen=True)
class Turn:
    """What one speaker said until another spoke. Times in seconds; ``speaker`` is None where nobody is named."""

    speaker: str | None
    text: str
    start: float
    end: float
    line: int


def read_transcript(raw: bytes, path: Path, candidate: str | None) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """``(line, fields of an answer)`` for each answer in a transcript, or ``(line, reason)`` where there is none."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield 1, f"not valid UTF-8 at byte {error.start}"
        return
    cues = _whisper(text) if path.suffix.lower() == ".json" else _vtt(text)
    if isinstance(cues, str):
        yield 1, cues
        return
    found = False
    for number, (line, fields) in enumerate(_answers(_turns(cues), candidate), 1):
        found = True
        yield line, {"id": f"{path.stem}-{number}", **fields}
    if not found:
        who = f" said by {candidate!r}" if candidate else ""
        yield 1, f"no answer{who} found: no turn of at least {_MIN_ANSWER_WORDS} words"


def _whisper(text: str) -> list[Turn] | str:
    try:
        tree = json.loads(text)
        segments = tree["segments"]
        return [
            Turn(s.get("speaker"), str(s["text"]).strip(), float(s["start"]), float(s["end"]), number)
            for number, s in enumerate(segments, 1)
        ]
    except json.JSONDecodeError as error:
        return f"not valid JSON: {error.msg} at line {error.lineno}"
    except RecursionError:
        return "not valid JSON: nested too deeply"
    except (KeyError, TypeError, ValueError, AttributeError):
        return "not Whisper JSON: 'segments' with 'text', 'start' and 'end' are wanted"


def _vtt(text: str) -> list[Turn] | str:
    try:
        captions: Any = webvtt.from_buffer(StringIO(text), format="vtt")
    except (MalformedFileError, MalformedCaptionError) as error:
        return f"not valid WebVTT: {str(error) or type(error).__name__}"
    except Exception as error:  # the parser raises whatever its regular expressions meet
        return f"not valid WebVTT: {type(error).__name__}"
    turns = []
    for number, caption in enumerate(captions, 1):
        said = " ".join(caption.text.split())
        named = _NAME_PREFIX.match(said)
        speaker = caption.voice or (named.group(1) if named else None)
        said = said[named.end() :] if named and not caption.voice else said
        turns.append(Turn(speaker, said, caption.start_in_seconds, caption.end_in_seconds, number))
    return turns


def _turns(cues: list[Turn]) -> list[Turn]:
    """Join neighbouring cues of one speaker; a cue that names nobody belongs to whoever spoke last."""
    turns: list[Turn] = []
    for cue in cues:
        if not cue.text:
            continue
        if turns and cue.speaker in (None, turns[-1].speaker):
            last = turns[-1]
            turns[-1] = Turn(last.speaker, f"{last.text} {cue.text}", last.start, cue.end, last.line)
        else:
            turns.append(cue)
    return turns


def _answers(turns: list[Turn], candidate: str | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each turn of the candidate that is long enough, with the last thing asked before it."""
    speakers = {turn.speaker for turn in turns}
    name = candidate if candidate is not None else guess_candidate(turns)
    question: list[str] = []
    for turn in turns:
        if len(speakers) > 1 and turn.speaker != name:
            question.append(turn.text)
        elif len(turn.text.split()) >= _MIN_ANSWER_WORDS and (candidate is None or turn.speaker in (candidate, None)):
            fields: dict[str, Any] = {"text": turn.text, "question": " ".join(question) or None}
            if turn.end > turn.start:
                fields["seconds"] = round(turn.end - turn.start, 3)
            if turn.speaker:
                fields["candidate"] = turn.speaker
            yield turn.line, fields
            question = []


def guess_candidate(turns: list[Turn]) -> str | None:
    """Who is being interviewed: the one who speaks more words and asks fewer questions."""
    words: dict[str | None, int] = defaultdict(int)
    asked: dict[str | None, int] = defaultdict(int)
    for turn in turns:
        words[turn.speaker] += len(turn.text.split())
        asked[turn.speaker] += turn.text.count("?")
    return max(words, key=lambda speaker: (words[speaker] / (1 + asked[speaker]), words[speaker]), default=None)
