"""Golden reports: what people read, word for word. `pytest --update-golden` rewrites them after a look at the diff."""

import re
from html.parser import HTMLParser

import pytest
from conftest import ROOT

from pipeline.records import Answer
from pipeline.report import answer_page, answer_section, highlighted, plain_markdown

GOLDEN = ROOT / "tests/golden"
HOSTILE = (
    "<script>alert(1)</script> {{ 7*7 }} {% raw %} | **bold** [x](javascript:alert(1)) <img src=x onerror=alert(1)> "
    "I told the owner no and we lost an hour because nobody would sign `rm`."
)


@pytest.fixture
def golden(request):
    def check(name, text):
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is missing; run pytest --update-golden and look at it"
        assert text == path.read_text(encoding="utf-8")

    return check


def settled(text, model):
    """Without what differs from one model or day to the next."""
    return re.sub(
        r"\d{4}-\d{2}-\d{2}", "DATE", text.replace(model.version, "VERSION").replace(model.corpus[:12], "CORPUS")
    )


@pytest.mark.parametrize("kind", ["markdown", "html"])
def test_golden_sections(kind, fixed_feedback, model, golden):
    ending = {"markdown": "md", "html": "html"}[kind]
    golden(f"answer.{ending}", settled(answer_section(fixed_feedback, model, kind), model))


def test_golden_terminal(fixed_feedback, golden):
    from rich.console import Console

    from pipeline.terminal import feedback_view

    console = Console(width=80, no_color=True, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(feedback_view(fixed_feedback))
    golden("answer.txt", console.export_text())


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_hostile_text_is_only_text(scorer, model):
    feedback = scorer.score([Answer(id="<b>id</b>", text=HOSTILE, question=HOSTILE)])[0]
    page = answer_page(feedback, model)
    tags = Tags()
    tags.feed(page)
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "img", "b", "a"}
    assert not any(key.startswith("on") for _, attrs in tags.seen for key in attrs)
    assert "&lt;script&gt;" in page
    section = answer_section(feedback, model, "markdown")
    assert "<script" not in section.replace("\\<", "")
    assert "49" not in section.split("Why")[0]


def test_markdown_is_inert():
    assert plain_markdown("a|b *c*\n# d <e>") == r"a\|b \*c\* \# d \<e\>"


def test_highlights_keep_every_character(scorer, answers):
    feedback = scorer.score([Answer(id="x", text=answers[0])])[0]
    without_labels = re.sub(r"<sup>.*?</sup>", "", str(highlighted(feedback)))
    assert re.sub(r"<[^>]+>", "", without_labels) == answers[0].replace("'", "&#39;")
