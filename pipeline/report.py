"""Reports for people: Jinja2 templates over feedback, in Markdown and HTML. All wording is in `templates/`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import jinja2
from markupsafe import Markup, escape

from pipeline.model import Model, Shown
from pipeline.records import VERDICTS, Feedback
from pipeline.signals import ROUNDS, SIGNALS

if TYPE_CHECKING:
    from pipeline.batch import Summary
    from pipeline.compare import Comparison

Kind = Literal["markdown", "html"]

_ENDING = {"markdown": "md", "html": "html"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~&$-])")


@cache
def _environment(kind: Kind) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline"),
        autoescape=kind == "html",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["plain"] = plain_markdown
    environment.filters["percent"] = lambda p: "–" if p is None else f"{100 * p:.0f}%"
    environment.filters["title"] = lambda name: name.replace("_", " ")
    environment.globals.update(signals=SIGNALS, verdicts=[*VERDICTS], rounds=[*ROUNDS], highlighted=highlighted)
    return environment


def plain_markdown(text: str) -> str:
    """``text`` on one line, with every character that Markdown or HTML would act on made inert."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(text).split()))


def highlighted(feedback: Feedback) -> Markup:
    """The answer's text as safe HTML with each run of evidence in a ``<mark>`` that names its signals."""
    text = feedback.answer.text
    marks = [(e.start, e.end, s) for s in feedback.result.signals for e in s.evidence]
    edges = sorted({0, len(text), *(m[0] for m in marks), *(m[1] for m in marks)})
    pieces = []
    for start, end in pairwise(edges):
        inside = [s for a, b, s in marks if a <= start and end <= b]
        if not inside:
            pieces.append(escape(text[start:end]))
            continue
        names = ", ".join(dict.fromkeys(s.name for s in inside))
        polarity = "negative" if all(s.polarity == "negative" for s in inside) else "positive"
        ends_here = [s.name for a, b, s in marks if b == end and a <= start]
        label = Markup("<sup>{}</sup>").format(", ".join(dict.fromkeys(ends_here))) if ends_here else ""
        pieces.append(Markup('<mark class="{}" title="{}">{}{}</mark>').format(polarity, names, text[start:end], label))
    return Markup("").join(pieces)


@dataclass(frozen=True)
class BatchReport:
    """Writes one section an answer as the batch runs, and puts the head before them at the end."""

    kind: Kind
    model: Model
    rubric_name: str

    @property
    def file_name(self) -> str:
        """`report.md` or `report.html`."""
        return f"report.{_ENDING[self.kind]}"

    def section(self, feedback: Feedback) -> str:
        """One answer's section."""
        return answer_section(feedback, self.model, self.kind)

    def finish(self, sections: Path, target: Path, summary: Summary, rejected: Path) -> None:
        """Write head, sections and foot to ``target``, whole or not at all; removes ``sections``."""
        lines = rejected.read_text(encoding="utf-8").splitlines()
        context: dict[str, Any] = {
            "summary": summary,
            "rejected": [json.loads(line) for line in lines],
            "stamp": self.model.stamp,
            "rubric": self.rubric_name,
            "date": datetime.now(UTC).date().isoformat(),
        }
        template = _environment(self.kind).get_template(f"batch.{_ENDING[self.kind]}.j2")
        marker = uuid4().hex  # nothing that came in can hold it
        head, _, foot = template.render(sections=marker, **context).partition(marker)
        fresh = target.with_name(target.name + ".new")
        with fresh.open("w", encoding="utf-8") as file, sections.open(encoding="utf-8") as body:
            file.write(head)
            while block := body.read(1 << 20):
                file.write(block)
            file.write(foot)
        fresh.replace(target)
        sections.unlink()


def answer_section(feedback: Feedback, model: Model, kind: Kind) -> str:
    """One answer's feedback in Markdown or HTML, to stand inside a report."""
    exemplars = {e.id: e for e in model.exemplars} if feedback.result.nearest else {}
    near = [(n, exemplars[n.exemplar]) for n in feedback.result.nearest]
    template = _environment(kind).get_template(f"answer.{_ENDING[kind]}.j2")
    return template.render(answer=feedback.answer, result=feedback.result, feedback=feedback, near=near)


def corpus_page(measured: dict[str, Any], pictures: dict[str, str]) -> str:
    """The measures of the corpus and their pictures (SVG by title) as a whole HTML page."""
    template = _environment("html").get_template("corpus.html.j2")
    return template.render(m=measured, pictures={title: Markup(svg) for title, svg in pictures.items()})


def comparison_page(found: Comparison, against: Sequence[str], exemplars: Sequence[Shown]) -> str:
    """Two versions compared, with the text of the answers whose verdict changed, as a whole HTML page."""
    return (
        _environment("html")
        .get_template("compare.html.j2")
        .render(
            c=found,
            against=against,
            texts={e.id: e for e in exemplars},
            date=datetime.now(UTC).date().isoformat(),
        )
    )


def answer_page(feedback: Feedback, model: Model) -> str:
    """One answer's feedback as a whole HTML page."""
    template = _environment("html").get_template("page.html.j2")
    date = datetime.now(UTC).date().isoformat()
    return template.render(section=Markup(answer_section(feedback, model, "html")), stamp=model.stamp, date=date)


def model_card(model: Model, test: dict[str, Any] | None) -> str:
    """The model card in Markdown: what the model is for and not for, and what was measured.

    Args:
        model: with its metrics, as `debrief stage fit` puts them there.
        test: `metrics/test.json`, where it was measured on this corpus.
    """
    from pipeline.robust import DISTURBANCES  # evaluation only; reports need none of it

    return (
        _environment("markdown")
        .get_template("model_card.md.j2")
        .render(
            metrics=model.metrics,
            robustness=model.metrics["robustness"],
            test=test,
            disturbances={name: (change.__doc__ or name).rstrip(".") for name, change in DISTURBANCES.items()},
            version=model.version,
            corpus_hash=model.corpus[:12],
            code=model.code,
            encoder=model.encoder.source.rpartition(":")[2],
        )
    )
