"""Commands on the labelled exemplars."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.shared import (
    EXEMPLARS,
    ModelOption,
    RoundOption,
    checked_corpus,
    err,
    load,
    out,
    progress,
    say,
    write_page,
)
from pipeline.errors import DebriefError, InputError

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.corpus import Placed
    from pipeline.intake import Outlook
    from pipeline.records import Exemplar

app = typer.Typer(help="The labelled exemplars.", no_args_is_help=True)


class TaskFormat(StrEnum):
    """What answers to label are written for."""

    jsonl = "jsonl"
    label_studio = "label-studio"
    doccano = "doccano"
    prodigy = "prodigy"


class Setting(StrEnum):
    """Where an answer plays."""

    everyday = "everyday"
    professional = "professional"


class Style(StrEnum):
    """How an answer came to be text."""

    edited = "edited"
    spoken = "spoken"
    asr = "asr"


CorpusFolder = Annotated[Path, typer.Argument(help="Folder with the exemplars.")]


@app.command("check")
def corpus_check(folder: CorpusFolder = EXEMPLARS) -> None:
    """Validate the exemplars: all problems at once, each with its file and line."""
    _, measured = checked_corpus(folder)
    counts = measured["counts"]
    out.print(f"{counts['answers']} answers, {counts['pairs']} pairs, {counts['authors']} authors: no problems found.")


@app.command("stats")
def corpus_stats(
    folder: CorpusFolder = EXEMPLARS,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    page: Annotated[Path | None, typer.Option("--page", help="Write a page of tables and plots (HTML).")] = None,
) -> None:
    """Show what the corpus holds, and what length or words alone give away."""
    from pipeline.corpus import read_corpus
    from pipeline.survey import survey
    from pipeline.terminal import survey_tables

    exemplars = read_corpus(folder)
    measured = survey(exemplars)
    if page:
        from pipeline.plots import corpus_pictures
        from pipeline.report import corpus_page

        write_page(page, corpus_page(measured, corpus_pictures(exemplars, measured)))
    if as_json:
        print(json.dumps(measured, indent=1))
    else:
        for table in survey_tables(measured):
            out.print(table)


@app.command("suggest")
def corpus_suggest(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="results.jsonl of `debrief score`, or its folder.")
    ],
    answers: Annotated[
        list[str] | None,
        typer.Option("--answers", metavar="INPUT", help="Where the answers are, if not where they were; repeatable."),
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many at most.")] = 20,
    kind: Annotated[TaskFormat, typer.Option("--format", help="For the tool you label with.")] = TaskFormat.jsonl,
    target: Annotated[
        Path | None, typer.Option("--out", help="The file to write (to_label.jsonl or to_label.json).")
    ] = None,
) -> None:
    """Choose which scored answers to label next, and write them with the model's evidence as suggestions."""
    from pipeline.readers import read_inputs
    from pipeline.suggest import (
        choose,
        inputs_of,
        join,
        read_results,
        rejection_line,
        without_unscorable,
        write_tasks,
    )
    from pipeline.terminal import suggestions_view

    target = target or Path("to_label.json" if kind is TaskFormat.label_studio else "to_label.jsonl")
    found, refused = read_results(results)
    scorable = without_unscorable(found)
    inputs = answers or inputs_of(results)
    joined, missing, unread = join(scorable, read_inputs(inputs))
    for rejection in [*refused, *missing, *unread]:
        say(rejection_line(rejection), quiet=False)
    if not joined:
        fact = "every answer is UNSCORABLE" if not scorable else "the answer of no result was found"
        step = "Score others." if not scorable else "Name the files they were scored from with --answers."
        raise DebriefError(fact, step, str(results))
    choice = choose(joined, count)
    files = write_tasks(choice, kind.value, target)
    out.print(suggestions_view(choice))
    out.print(f"Written: {', '.join(str(file) for file in files)}", soft_wrap=True, highlight=False, markup=False)
    left_out = {
        "UNSCORABLE": len(found) - len(scorable),
        "nearly the same as one of these": choice.near_duplicates,
        "without their answer": len(missing),
        "in no readable line of the results": len(refused),
        "not readable among the answers": len(unread),
    }
    if any(left_out.values()):
        say(f"Left out: {', '.join(f'{n} {what}' for what, n in left_out.items() if n)}.", quiet=False)
    if kind is TaskFormat.jsonl:
        say(f"Next: debrief corpus label {target}", quiet=False)
    else:
        say("Next: label them there, export them, then debrief corpus add the export.", quiet=False)
    if refused or missing or unread:
        raise typer.Exit(1)


@app.command("label")
def corpus_label(
    source: Annotated[
        str, typer.Argument(metavar="INPUT", help="What `suggest` wrote, or any file or folder of answers.")
    ],
    target: Annotated[Path, typer.Option("--out", help="Where the labels go; what is there stays.")] = Path(
        "labelled.jsonl"
    ),
    author: Annotated[
        str | None, typer.Option("--author", help="Who gave the answers, where they do not say so.")
    ] = None,
    annotator: Annotated[str | None, typer.Option("--annotator", help="Your name, to stand beside the labels.")] = None,
    model: ModelOption = None,
    blind: Annotated[bool, typer.Option("--blind", help="Show no proposals of the model.")] = False,
) -> None:
    """Label answers by keys: the verdict first, then what the model proposes. Stop and go on as you like."""
    from pipeline.cli.keyboard import Keyboard
    from pipeline.labelling import LabelFile, Session, propose, read_tasks
    from pipeline.readers import read_inputs
    from pipeline.suggest import rejection_line

    if source == "-":
        raise DebriefError("answers on standard input leave no way to type", "Write them to a file and name it.")
    if author and not re.fullmatch(r"[\w-]+", author):
        raise DebriefError(f"--author {author!r} holds more than letters, digits, - and _", "Name it without them.")
    labels = LabelFile(target)
    tasks, refused, already = read_tasks(read_inputs([source]), source, labels.kept)
    for rejection in refused:
        say(rejection_line(rejection), quiet=False)
    if not tasks and not already:
        raise DebriefError("nothing to label", "See the reasons above.", source)
    if already:
        say(f"{already} labelled already, in {target}", quiet=False)
    unread = [] if blind else [task for task in tasks if task.proposed is None]
    if unread:
        _, scorer = load(model, "tpm", quiet=False)
        with progress("scoring", len(unread), quiet=False) as advance:
            tasks = propose(tasks, scorer, advance)
    keyboard = Keyboard()
    if tasks and not annotator:
        annotator = keyboard.ask_name("your name, to stand beside the labels (Enter: none):")
    session = Session(labels, keyboard.ask_key, keyboard.ask_line, out.print, annotator or "anonymous", author, blind)
    stopped = False
    try:
        session.run(tasks)
    except KeyboardInterrupt:
        stopped = True
    tally = session.tally
    out.print(f"\n{tally.done} done, {tally.skipped} skipped, {tally.left} left.", highlight=False)
    if labels.kept:
        say(f"Next: debrief corpus add {target}", quiet=False)
    if stopped:
        raise typer.Exit(130)
    if refused:
        raise typer.Exit(1)


@app.command("add")
def corpus_add(
    source: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="JSONL, CSV, or an export of Label Studio (JSON), doccano or Prodigy."),
    ],
    folder: Annotated[Path, typer.Option("--to", help="Folder with the exemplars.")] = EXEMPLARS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    author: Annotated[str | None, typer.Option("--author", help="Who said it, where a record does not tell.")] = None,
    round_: RoundOption = None,
    question: Annotated[str | None, typer.Option("--question", help="What was asked, where a record lacks it.")] = None,
    setting: Annotated[Setting, typer.Option(help="Where a record names none.")] = Setting.professional,
    style: Annotated[Style, typer.Option(help="Where a record names none.")] = Style.spoken,
) -> None:
    """Take labelled answers into the corpus; what breaks its rules is refused with the reason."""
    from pipeline.intake import admit, append, look_ahead
    from pipeline.labelled import Defaults, read_labelled

    corpus = _standing(folder)
    defaults = Defaults(author, question, round_.value if round_ else None, setting.value, style.value)
    admission = admit(read_labelled(source, defaults), corpus)
    for refusal in admission.refused:
        say(str(refusal), quiet=False)
    shown: set[frozenset[str]] = set()
    for refusal in admission.refused:
        if refusal.both and (places := frozenset(p.where for p in refusal.both)) not in shown:
            shown.add(places)
            out.print(_contradiction(*refusal.both))
    accepted, refused = admission.accepted, len(admission.refused)
    if not accepted:
        raise DebriefError(f"none of the {refused} answers was accepted", "See the reasons above.", str(source))
    files = [] if dry_run else append(accepted, folder)
    out.print(_accepted(accepted, refused, dry_run))
    for file in files:
        out.print(f"written: {file}", soft_wrap=True, highlight=False, markup=False)
    if err.is_terminal:
        with err.status("measuring what length and words alone give away …"):
            outlook = look_ahead(corpus, accepted, folder.parent.parent / "metrics/corpus.json")
    else:
        outlook = look_ahead(corpus, accepted, folder.parent.parent / "metrics/corpus.json")
    out.print(_outlook(outlook))
    for problem in outlook.problems:
        out.print(problem, soft_wrap=True, highlight=False, markup=False)
    if not outlook.problems:
        would = "would" if dry_run else "will"
        out.print(f"`debrief corpus check` {would} find no problems.", highlight=False)
    if dry_run:
        say("Nothing was written. Next: the same without --dry-run.", quiet=False)
    elif outlook.problems:
        say("Next: mend what is listed above (other answers, or more of the other kind), then debrief retrain", False)
    else:
        say("Next: debrief retrain", quiet=False)
    if refused:
        raise typer.Exit(1)


def _standing(folder: Path) -> list[Placed]:
    """What the corpus holds; an empty folder is a corpus of none."""
    from pipeline.corpus import read_placed

    if not folder.is_dir():
        raise InputError("no such folder", "Make it, or name the folder of the exemplars with --to.", str(folder))
    return read_placed(folder) if any(folder.glob("*.jsonl")) else []


def _accepted(accepted: list[Exemplar], refused: int, dry_run: bool) -> Table:
    from rich.table import Table

    would = "would be accepted" if dry_run else "accepted"
    table = Table(title=f"{len(accepted)} {would}, {refused} refused", title_justify="left")
    for column in ("author", "answers", "GOOD", "BAD", "annotated", "verdict only", "split"):
        table.add_column(column, justify="left" if column in ("author", "split") else "right")
    for author in dict.fromkeys(e.author for e in accepted):
        some = [e for e in accepted if e.author == author]
        good, annotated = sum(e.is_good for e in some), sum(e.annotated for e in some)
        counts = (len(some), good, len(some) - good, annotated, len(some) - annotated)
        table.add_row(author, *map(str, counts), some[0].split)
    return table


def _contradiction(one: Placed, other: Placed) -> Table:
    """Both answers side by side: the same words under two verdicts."""
    from rich.table import Table
    from rich.text import Text

    title = "The same answer under two verdicts: decide which is right; change or delete the other"
    table = Table(title=title, title_justify="left", show_lines=True)
    for header in ("", one.where, other.where):
        table.add_column(Text(header))
    for name in ("id", "author", "verdict", "strength", "signals", "text"):
        cells = []
        for exemplar in (one.exemplar, other.exemplar):
            value = getattr(exemplar, name)
            if name == "signals":
                value = _signals_of(exemplar)
            cells.append(Text(str(value)))
        table.add_row(name, *cells)
    return table


def _signals_of(exemplar: Exemplar) -> str:
    if not exemplar.annotated:
        return "nobody looked"
    return "\n".join(f"{s.id}: {s.text}" for s in exemplar.shown) or "none"


def _outlook(outlook: Outlook) -> Table:
    from rich.table import Table

    from pipeline.survey import MAX_LENGTH_AUC, MAX_TFIDF

    limits = {"length_auc": MAX_LENGTH_AUC, "tfidf_accuracy": MAX_TFIDF, "tfidf_pairs_right": MAX_TFIDF}
    table = Table(title="the corpus", title_justify="left")
    for column in ("", "before", "now", "at most"):
        table.add_column(column, justify="left" if not column else "right")
    for name in outlook.counts[1]:
        table.add_row(name, *(str(counts[name]) for counts in outlook.counts), "")
    for name, limit in limits.items():
        table.add_row(name, *(_figure(measured.get(name)) for measured in outlook.shortcuts), f"{limit:.2f}")
    return table


def _figure(value: Any) -> str:
    return "–" if value is None or value != value else f"{value:.3f}"
