"""A person at the keyboard: single keys at a terminal, whole lines where standard input is a pipe or a file."""

from __future__ import annotations

import os
import re
import sys

import typer
from rich.markup import escape

from pipeline.cli.shared import out

_ESCAPE = re.compile(r"\x1b(\[[0-9;]*[A-Za-z~]|O.|.)?")  # what arrow keys and the like send


def _typed() -> str:
    """What was typed at the terminal without Enter, once there is anything."""
    try:
        import termios
    except ImportError:  # not a POSIX system
        return typer.getchar()
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    # typer.getchar would throw away the keys of somebody who is faster than the screen. Ctrl-C comes as a key here: as
    # a signal it could arrive just before the read begins, which then would not notice
    mode = termios.tcgetattr(terminal)
    mode[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
    mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
    termios.tcsetattr(terminal, termios.TCSADRAIN, mode)
    try:
        typed = os.read(terminal, 32)
    except OSError:  # the terminal has gone
        raise EOFError from None
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    if not typed:
        raise EOFError
    if b"\x03" in typed:
        raise KeyboardInterrupt
    return typed.decode("utf-8", "replace")


class Keyboard:
    """Asks for keys and lines; EOFError when nobody answers any more."""

    def __init__(self) -> None:
        self._ahead = ""  # typed before it was asked for

    def ask_key(self, prompt: str, keys: str) -> str:
        """One of ``keys``, whatever its case; any other key is not taken."""
        self._prompt(prompt)
        while True:
            key = self._next()
            if key in keys:
                out.print(key)
                return key
            if not sys.stdin.isatty():
                out.print(f"one of: {' '.join(keys)}", markup=False, highlight=False)
                self._prompt(prompt)

    def ask_line(self, prompt: str) -> str:
        """A line, without its end."""
        self._ahead = ""
        self._prompt(prompt)
        if sys.stdin.isatty():
            return input()
        line = self._line()
        out.print(line, markup=False, highlight=False)
        return line

    def ask_name(self, prompt: str) -> str:
        """A line without blanks at its ends; empty where nobody answers."""
        try:
            return self.ask_line(prompt).strip()
        except EOFError:
            return ""

    def _prompt(self, prompt: str) -> None:
        out.print(escape(prompt), end=" ", highlight=False)

    def _next(self) -> str:
        if not sys.stdin.isatty():
            return self._line().strip().lower()[:1] or "\n"
        while not self._ahead:
            self._ahead = _ESCAPE.sub("", _typed()).lower()
        key, self._ahead = self._ahead[0], self._ahead[1:]
        if key == "\x04":  # Ctrl-D
            raise EOFError
        return key

    @staticmethod
    def _line() -> str:
        out.file.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")
