"""The lock file is in step with pyproject.toml, and nothing in the repository names a machine or a registry."""

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


def test_one_module_imports_mlflow():
    importing = [
        p.name
        for p in (ROOT / "pipeline").glob("*.py")
        if re.search(r"^\s*(import mlflow|from mlflow)", p.read_text(), re.MULTILINE)
    ]
    assert importing == ["track.py"]


def test_only_the_command_line_prints_or_exits():
    for path in (ROOT / "pipeline").glob("*.py"):
        if path.name != "cli.py":
            assert not re.search(r"\bprint\(|sys\.exit|SystemExit", path.read_text()), path.name
