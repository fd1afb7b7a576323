"""The lock file is in step with pyproject.toml, and nothing in the repository names a machine or a registry."""

import json
import re
import subprocess
import tomllib

from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins():
    found = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line.split("#")[0].strip())
            (spec,) = requirement.specifier
            assert spec.operator == "==", line
            found[canonicalize_name(requirement.name)] = spec.version
    return found


def test_every_dependency_is_pinned_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(r for rs in project["optional-dependencies"].values() for r in rs)]
    locked = pins()
    for text in wanted:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is not in requirements.lock; run `make lock`"
        assert requirement.specifier.contains(locked[name]), f"{text} but {locked[name]} is locked; run `make lock`"


def tracked():
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in files.split("\0") if name]


def test_no_file_names_a_registry_or_a_machine():
    # written in pieces, so that this file does not hold what it looks for
    registry = re.compile("|".join(["py" + r"pi\.org", "python" + "hosted", "/(home|root|" + "work)/[a-z]"]))
    for path in tracked():
        if path.is_file() and path.suffix not in (".safetensors", ".lock"):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert not registry.search(text), path


def test_no_large_file_is_tracked():
    sizes = {p.relative_to(ROOT): p.stat().st_size for p in tracked() if p.is_file()}
    assert sum(s for p, s in sizes.items() if str(p).startswith("models/default/")) < 10_000_000
    assert {p: s for p, s in sizes.items() if s > 5_000_000} == {}


def test_mlflow_is_imported_in_one_module_and_in_the_lines_it_keeps():
    importing = [
        p.name
        for p in (ROOT / "pipeline").rglob("*.py")
        if re.search(r"^\s*(import mlflow|from mlflow)", p.read_text(), re.MULTILINE)
    ]
    assert sorted(importing) == ["served.py", "track.py"]


def test_only_the_command_line_prints_or_exits():
    for path in (ROOT / "pipeline").glob("*.py"):
        assert not re.search(r"\bprint\(|sys\.exit|SystemExit", path.read_text()), path.name


def figures_table():
    """The README's table of figures, as `metrics/evaluation.json` has them."""
    metrics = json.loads((ROOT / "metrics/evaluation.json").read_text())
    names = {"accuracy": "right", "pairs_right": "pairs ranked right", "auc": "AUC", "strength_rho": "rank correlation"}
    rows = [f"| | {' | '.join(names.values())} |", "| --- |" + " --- |" * len(names)]
    titles = {"majority": "majority", "length": "length only", "tfidf": "TF-IDF + logistic regression"}
    titles |= {"embedding": "frozen encoder + logistic regression", "nearest": "nearest exemplar"}
    ways = {"**debrief**": metrics["verdict"], **{titles[k]: v for k, v in metrics["baselines"].items()}}
    for title, way in ways.items():
        cells = [
            f"{way[n]['value']:.2f} ({way[n]['low']:.2f} to {way[n]['high']:.2f})" if n in way else "–" for n in names
        ]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    n = metrics["n"]
    signals, band = metrics["signals"], metrics["band"]
    rows += [
        "",
        f"n = {n['answers']} answers in {n['pairs']} minimal pairs by {n['authors']} authors; {metrics['split']};",
        "95% bootstrap intervals over authors; rank correlation with annotated strength. Signals: macro-F1",
        f"{signals['macro_f1']:.2f}, evidence F1 {signals['evidence_macro_f1']:.2f}, false alarms on near misses",
        f"{signals['near_miss_false_alarms']:.0%} (n = {signals['near_misses']}). Verdicts outside the band:",
        f"{band['accuracy_outside']:.0%} right, {band['coverage']:.0%} of the answers.",
    ]
    return "\n".join(rows)


def test_the_readme_quotes_the_committed_figures():
    assert figures_table() in (ROOT / "README.md").read_text(), "the README's table is stale:\n" + figures_table()


def test_the_package_declares_every_data_file():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pipeline"]
    shipped = {path for pattern in declared for path in (ROOT / "pipeline").glob(pattern)}
    data = {p for p in tracked() if p.is_relative_to(ROOT / "pipeline") and p.suffix != ".py"}
    assert sorted(p.name for p in data - shipped) == []
