"""Errors that a user can act on: a fact, where it is, and what to do next."""

from __future__ import annotations


class DebriefError(Exception):
    """Nothing could be done. ``fact`` says what is wrong, ``next_step`` what to do about it.

    The message never holds the text of an answer: answers are private.
    """

    def __init__(self, fact: str, next_step: str = "", where: str = "") -> None:
        self.fact = fact
        self.next_step = next_step
        self.where = where
        place = f"{where}: " if where else ""
        step = f" {next_step}" if next_step else ""
        super().__init__(f"{place}{fact}.{step}")


class ModelError(DebriefError):
    """A model folder or encoder cannot be trusted or read."""


class InputError(DebriefError):
    """An input file as a whole cannot be read."""


class CorpusError(DebriefError):
    """The exemplar corpus breaks its own rules; ``problems`` lists every one as ``file:line: text``."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(
            f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in the corpus",
            "Mend the lines listed above, then run `debrief corpus check` again.",
        )
