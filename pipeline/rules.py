"""Rules kept as data propose evidence; context decides whether it counts.

`rules/*.jsonl` hold one rule a line: ``id``, ``signal``, ``pattern``, ``matches`` (sentences it must match)
and ``rejects`` (sentences in which it must propose nothing that counts). `rules/words.yaml` holds word lists.

A pattern is a row of words in lower case, read left to right over spaCy tokens:

=============  =====================================================================
``word``       that token; ``a|b|c`` any of these; ``word?`` may be absent
``<list>``     any word of a list in `words.yaml`; ``<list>?`` may be absent; ``<list>|c`` one of these too
``#``          a number, in digits or in words
``*3``         up to three tokens of any kind but sentence ends
=============  =====================================================================
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from spacy.matcher import Matcher
from spacy.tokens import Doc

from pipeline.context import void_reason
from pipeline.errors import DebriefError
from pipeline.segment import tokenizer
from pipeline.signals import SIGNAL_IDS


@dataclass(frozen=True)
class Rule:
    """One line of a rule file."""

    id: str
    signal: str
    pattern: str
    matches: tuple[str, ...]
    rejects: tuple[str, ...]


@dataclass(frozen=True)
class Proposal:
    """A run of text that a rule proposes. ``void`` says why it does not count, or is None."""

    rule: str
    signal: str
    start: int
    end: int
    void: str | None


@cache
def read_rules() -> tuple[Rule, ...]:
    """All rules that ship with the package, in file and line order; ids are unique."""
    rules: list[Rule] = []
    for path in sorted(files("pipeline").joinpath("rules").iterdir(), key=lambda p: p.name):
        if not path.name.endswith(".jsonl"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            where = f"rules/{path.name}:{number}"
            entry = json.loads(line)
            rule = Rule(
                entry["id"],
                entry["signal"],
                entry["pattern"],
                tuple(entry["matches"]),
                tuple(entry["rejects"]),
            )
            if rule.signal not in SIGNAL_IDS:
                raise DebriefError(f"unknown signal {rule.signal!r}", "See corpus/CODEBOOK.md.", where)
            if any(rule.id == r.id for r in rules):
                raise DebriefError(f"rule id {rule.id!r} is taken", "Give it another.", where)
            rules.append(rule)
    return tuple(rules)


@cache
def word_lists() -> dict[str, list[str]]:
    """Named lists of single lower-case words for ``<list>`` in patterns."""
    tree = yaml.safe_load(files("pipeline").joinpath("rules/words.yaml").read_text(encoding="utf-8"))
    return {name: words.split() for name, words in tree.items()}


def token_pattern(pattern: str) -> list[dict[str, Any]]:
    """Turn a rule's pattern into a spaCy ``Matcher`` token pattern."""
    tokens: list[dict[str, Any]] = []
    lists = word_lists()
    for part in pattern.split():
        optional = part.endswith("?") and len(part) > 1
        core = part[:-1] if optional else part
        token: dict[str, Any]
        if core.startswith("*") and core[1:].isdigit():
            token = {"LOWER": {"NOT_IN": [".", "!", "?", ";"]}, "OP": f"{{0,{core[1:]}}}"}
        elif core == "#":
            token = {"LIKE_NUM": True}
        else:
            words = [w for one in core.split("|") for w in (lists[one[1:-1]] if one[:1] == "<" else [one])]
            token = {"LOWER": {"IN": words}}
        if optional:
            token["OP"] = "?"
        tokens.append(token)
    return tokens


@dataclass(frozen=True)
class _Need:
    """Words of which a match holds one, and how many tokens of it may stand before and after that one."""

    words: frozenset[str]
    before: int
    after: int


@dataclass(frozen=True)
class _Compiled:
    """A rule ready to run: its matcher, the words it spells out, and what a match cannot do without."""

    rule: Rule
    matcher: Matcher
    spelt: frozenset[str]
    needs: tuple[_Need, ...]


@cache
def _compiled() -> tuple[_Compiled, ...]:
    ready = []
    for rule in read_rules():
        tokens = token_pattern(rule.pattern)
        matcher = Matcher(tokenizer().vocab, validate=True)
        matcher.add(rule.id, [tokens], greedy="LONGEST")
        most = [int(t["OP"][3:-1]) if t.get("OP", "").startswith("{") else 1 for t in tokens]
        needs = []
        spelt: set[str] = set()
        for at, token in enumerate(tokens):
            words = frozenset(token.get("LOWER", {}).get("IN", ()))
            spelt |= words
            if words and "OP" not in token:
                needs.append(_Need(words, sum(most[:at]), sum(most[at + 1 :])))
        ready.append(_Compiled(rule, matcher, frozenset(spelt), tuple(needs)))
    return tuple(ready)


def _windows(words: list[str], known: set[str], one: _Compiled) -> list[tuple[int, int]]:
    """The stretches of tokens that could hold a match of a rule: the matcher is slow, and most texts have none."""
    if any(need.words.isdisjoint(known) for need in one.needs):
        return []
    if not one.needs:
        return [(0, len(words))]
    need = min(one.needs, key=lambda need: len(need.words & known))
    windows: list[tuple[int, int]] = []
    for at in [i for i, word in enumerate(words) if word in need.words]:
        start, end = max(0, at - need.before), min(len(words), at + need.after + 1)
        if any(other.words.isdisjoint(words[start:end]) for other in one.needs):
            continue
        if windows and start <= windows[-1][1]:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def propose(text: str) -> list[Proposal]:
    """Everything the rules see in ``text``, by start, each checked for context."""
    return propose_in(tokenizer()(text))


def propose_in(doc: Doc) -> list[Proposal]:
    """The same over a text that is already cut into tokens."""
    words = [token.lower_ for token in doc]
    known = set(words)
    found = []
    for one in _compiled():
        for first, last in _windows(words, known, one):
            for _, start, end in one.matcher(doc[first:last]):
                span = doc[first + start : first + end]
                void = void_reason(span, one.rule.signal, one.spelt)
                found.append(Proposal(one.rule.id, one.rule.signal, span.start_char, span.end_char, void))
    return sorted(found, key=lambda p: (p.start, p.end, p.rule))
