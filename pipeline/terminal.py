"""Feedback and summaries as rich renderables, for 80 columns and for a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.batch import Summary
from pipeline.feedback import quote
from pipeline.records import VERDICTS, Feedback

if TYPE_CHECKING:
    from pipeline.compare import Comparison, Difference
    from pipeline.suggest import Choice
    from pipeline.track import Term

_DONE = {"promote": "promoted", "rollback": "rolled back to"}
_COLOUR = {"GOOD": "green", "BAD": "red", "BORDERLINE": "yellow", "UNSCORABLE": "bright_black"}


def feedback_view(feedback: Feedback) -> Group:
    """One answer's feedback."""
    r = feedback.result
    likely = "" if r.p_good is None else f"  {r.p_good:.0%} likely GOOD"
    source = ", predicted" if r.round_source == "predicted" else ""
    parts: list[RenderableType] = [
        Text.assemble(
            (r.verdict, f"bold {_COLOUR[r.verdict]}"),
            likely,
            f"  ({r.round.replace('_', ' ')} round{source})",
        ),
    ]
    parts += [_indented(reason) for reason in r.reasons]
    for polarity, heading in (("positive", "What is there"), ("negative", "What hurts")):
        chosen = [s for s in r.signals if s.polarity == polarity]
        if chosen:
            parts.append(Text(f"\n{heading}", style="bold"))
        for s in chosen:
            quotes = " / ".join(f"“{quote(e.text)}”" for e in s.evidence)
            parts.append(_indented(f"[bold]{s.name}[/] ({s.confidence:.0%}): {escape(quotes)}", markup=True))
    if r.missing:
        parts.append(Text("\nWhat is missing, what would lift it most first", style="bold"))
    for number, m in enumerate(r.missing, 1):
        line = f"{number}. [bold]{m.name}[/] (with it: {m.p_good_if_shown:.0%}). {escape(m.advice)}"
        parts.append(_indented(line, markup=True))
        parts.append(Padding(Text(f"Asked next: {m.ask}", style="italic"), (0, 0, 0, 5)))
    if r.nearest:
        near = ", ".join(f"{n.verdict} {n.exemplar} ({n.similarity:.2f})" for n in r.nearest)
        parts.append(Text(f"\nNearest exemplars: {near}"))
    d = r.delivery
    said = [f"{d.words} words"]
    if d.fillers_per_100_words is not None:
        said.append(f"{d.fillers_per_100_words} fillers per 100 words")
    if d.first_person_singular_share is not None:
        said.append(f"“I” in {d.first_person_singular_share:.0%} of I and we")
    if d.words_per_minute is not None:
        said.append(f"{d.words_per_minute} words a minute")
    parts.append(Text(f"How it was said (does not count): {', '.join(said)}."))
    parts.append(Text(f"Model debrief {r.model.version} (corpus {r.model.corpus}, code {r.model.code})", style="dim"))
    return Group(*parts)


def _indented(text: str, markup: bool = False) -> Padding:
    return Padding(Text.from_markup(text) if markup else Text(text), (0, 0, 0, 2))


def summary_table(summary: Summary) -> Table:
    """Verdicts by round."""
    table = Table(title=f"{summary.scored} scored, {summary.rejected} rejected", title_justify="left")
    table.add_column("round")
    for verdict in VERDICTS:
        table.add_column(verdict, justify="right", style=_COLOUR[verdict])
    for name, counts in sorted(summary.by_round.items()):
        table.add_row(name.replace("_", " "), *(str(counts[v]) for v in VERDICTS))
    table.add_section()
    table.add_row("all", *(str(summary.verdicts[v]) for v in VERDICTS))
    return table


def comparison_view(found: Comparison, against: Sequence[str], shown: int = 15) -> Group:
    """What `debrief models compare` shows: figures, slices, signals, changed verdicts, robustness and the rules."""
    said = Text(
        f"{found.old} (old) against {found.new} (new) on {found.answers} answers of {found.authors} authors that both "
        f"held out; {found.level:.0%} intervals of the difference over authors. Left out: {found.only_old} only in "
        f"old, {found.only_new} only in new, {found.relabelled} labelled anew."
    )
    m = found.mcnemar
    test = Text(f"Right in old only {m.old_only}, in new only {m.new_only}: McNemar's exact p = {m.p:.3f}.")
    counts = Counter(c.outcome for c in found.changed)
    tally = ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common()) or "none"
    first = f". The first {shown}, by how far p(GOOD) moved:" if len(found.changed) > shown else ""
    changed: list[RenderableType] = [Text(f"\nverdicts that changed: {tally}{first}", style="bold")]
    for c in found.changed[:shown]:
        verdicts = f"  {c.label}: {c.old_verdict} {c.old_p:.2f} → {c.new_verdict} {c.new_p:.2f}"
        changed += [Text.assemble((c.id, "bold"), verdicts), Padding(Text("; ".join(c.why)), (0, 0, 0, 4))]
    title = "\nmean change of p(GOOD) when disturbed"
    robust = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("disturbance", "old", "new"):
        robust.add_column(column, justify="left" if column == "disturbance" else "right")
    for name, row in found.new_robustness.items():
        before = found.old_robustness.get(name)
        robust.add_row(name, f"{before['mean_change']:.3f}" if before else "–", f"{row['mean_change']:.3f}")
    rules = [_indented(f"- {sentence}") for sentence in against]
    verdict = Text(
        f"{len(against)} rules stand against promoting it:" if rules else "No rule stands against promoting it."
    )
    return Group(
        said,
        _differences("figures", found.figures),
        test,
        _differences("share right in", found.slices),
        _differences("F1 of signals", found.signals),
        *changed,
        robust,
        verdict,
        *rules,
    )


def _differences(title: str, rows: Sequence[Difference]) -> Table:
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for column in ("n", "old", "new", "new-old", "interval"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for d in rows:
        colour = {"better": "green", "worse": "red"}.get(d.trend, "")
        interval = f"{d.low:+.3f} to {d.high:+.3f}"
        numbers = (str(d.n), f"{d.old:.3f}", f"{d.new:.3f}", f"{d.difference:+.3f}", interval)
        table.add_row(d.title, *numbers, Text(d.trend, style=colour))
    return table


def history_view(terms: Sequence[Term]) -> Group:
    """What `debrief models history` shows: two lines a term, the present champion last. Times are UTC."""
    parts: list[RenderableType] = []
    for t in terms:
        until = t.until[:16].replace("T", " ") if t.until else "now"
        how = f"{_DONE.get(t.action, t.action)}{', forced,' if t.forced else ''} by {t.by}"
        when = f"{t.since[:16].replace('T', ' ')} to {until}"
        parts.append(Text.assemble(f"{when:36}  ", (f"version {t.version}", "bold"), f" (model {t.model})"))
        parts.append(Padding(Text(f"{how}: {t.why}"), (0, 0, 0, 4)))
    return Group(*parts)


def suggestions_view(choice: Choice) -> Group:
    """What `debrief corpus suggest` shows: two lines an answer."""
    parts: list[RenderableType] = [Text(f"{len(choice.taken)} to label next", style="bold")]
    for number, s in enumerate(choice.taken, 1):
        r = s.result
        likely = "–" if r.p_good is None else f"{r.p_good:.2f}"
        nearest = f"{max(n.similarity for n in r.nearest):.2f}" if r.nearest else "–"
        facts = f"  {r.round.replace('_', ' ')}, p(GOOD) {likely}, nearest exemplar {nearest}"
        also = f" (also {', '.join(w.reason for w in s.why[1:])})" if s.why[1:] else ""
        parts.append(Text.assemble(f"{number:>3}. ", (r.id, "bold"), f"  {r.verdict}", facts))
        parts.append(Padding(Text(s.why[0].sentence + also), (0, 0, 0, 5)))
    return Group(*parts)


def survey_tables(measured: dict[str, Any]) -> list[RenderableType]:
    """What `debrief corpus stats` shows."""
    counts = measured["counts"]
    words = counts["words"]
    parts: list[RenderableType] = [
        Text(
            f"{counts['answers']} answers ({counts['good']} GOOD), {counts['pairs']} minimal pairs of which "
            f"{counts['everyday_pairs']} everyday, {counts['authors']} authors of which "
            f"{counts['test_authors']} held out; {words['min']} to {words['max']} words, median {words['median']}."
        )
    ]
    groups = Table(title="answers by", title_justify="left")
    for column in ("field", "value", "answers", "GOOD"):
        groups.add_column(column, justify="left" if column in ("field", "value") else "right")
    for field, values in measured["by"].items():
        for value, row in values.items():
            groups.add_row(field, str(value), str(row["answers"]), f"{row['good'] / row['answers']:.0%}")
    parts.append(groups)
    signals = Table(title="signals", title_justify="left")
    f1 = measured["agreement"].get("f1", {})
    for column in ("signal", "answers", "in GOOD", "near misses", "annotators' F1"):
        signals.add_column(column, justify="left" if column == "signal" else "right")
    for name, row in measured["signals"].items():
        agreed = f"{f1[name]:.2f}" if name in f1 else "–"
        signals.add_row(name, str(row["answers"]), str(row["in_good"]), str(row.get("near_misses", "–")), agreed)
    parts.append(signals)
    for title in ("shortcuts", "agreement", "near_miss_kinds"):
        table = Table(title=title.replace("_", " "), title_justify="left", show_header=False)
        for name, value in measured[title].items():
            if isinstance(value, dict):
                for key, inner in value.items():
                    if title == "shortcuts":
                        table.add_row(f"{name} {key}", ", ".join(inner))
            else:
                table.add_row(name, str(value))
        parts.append(table)
    return parts
