"""Every rule matches and rejects what it says it does, and context voids what does not count."""

import re
from collections import defaultdict

import pytest
from spacy.matcher import Matcher

from pipeline.rules import Proposal, Rule, propose, read_rules, token_pattern
from pipeline.segment import tokenizer
from pipeline.signals import SIGNAL_IDS

RULES = read_rules()


def counting(rule: Rule, sentence: str) -> list[Proposal]:
    return [p for p in propose(sentence) if p.rule == rule.id and p.void is None]


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_rule_does_what_its_sentences_say(rule: Rule) -> None:
    missed = [s for s in rule.matches if not counting(rule, s)]
    fired = [s for s in rule.rejects if counting(rule, s)]
    assert (missed, fired) == ([], [])


def test_library_is_well_formed() -> None:
    prefixes = defaultdict(set)
    for rule in RULES:
        assert len(set(rule.matches)) >= 3, rule.id
        assert len(set(rule.rejects)) >= 2, rule.id
        assert token_pattern(rule.pattern), rule.id
        assert re.fullmatch(r"[a-z]{3}-\d\d", rule.id), rule.id
        prefixes[rule.signal].add(rule.id[:3])
    assert len({rule.id for rule in RULES}) == len(RULES)
    assert set(prefixes) == set(SIGNAL_IDS)
    assert all(len(found) == 1 for found in prefixes.values())
    assert len({next(iter(found)) for found in prefixes.values()}) == len(prefixes)


@pytest.mark.parametrize(
    ("sentence", "signal", "void"),
    [
        ("I took it to the director that night.", "escalation", None),
        ("I didn't take it to the director.", "escalation", "negated"),
        ("we never took it to the board", "escalation", "negated"),
        ("It was not only late, I took it to the director.", "escalation", None),
        ("I should have taken it to the director.", "escalation", "wished"),
        ("My manager took it to the director.", "escalation", "other_person"),
        ("We had no say, though: I took it to the director.", "escalation", None),
        ("It was never quiet, but we froze every release until Monday.", "forcing_action", None),
        ("You should always rank them by cost.", "prioritization", "general_advice"),
        ("I refused to sign the form.", "resistance", "own_act"),
        ("Nobody would sign the form.", "resistance", None),
    ],
)
def test_context(sentence: str, signal: str, void: str | None) -> None:
    voids = {p.void for p in propose(sentence) if p.signal == signal}
    if void is None:
        assert None in voids
    else:
        assert None not in voids


def test_windows_lose_no_match() -> None:
    text = " ".join(s for rule in RULES for s in (*rule.matches, *rule.rejects))
    doc = tokenizer()(text)
    matcher = Matcher(doc.vocab)
    for rule in RULES:
        matcher.add(rule.id, [token_pattern(rule.pattern)], greedy="LONGEST")
    whole = {(doc.vocab.strings[k], doc[a:b].start_char, doc[a:b].end_char) for k, a, b in matcher(doc)}
    assert {(p.rule, p.start, p.end) for p in propose(text)} == whole
