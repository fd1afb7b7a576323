"""Where a model comes from: commit, pipeline lock, DVC experiment, package versions."""

from __future__ import annotations

import hashlib
import json
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

LOCK = Path("dvc.lock")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def lineage() -> dict[str, str]:
    """Tags that say from which code, inputs and machine a model was made; run in the root of a checkout."""
    lock = _hash(LOCK.read_bytes()) if LOCK.is_file() else "none"
    tags = {
        "git.commit": _git("rev-parse", "HEAD") or "none",
        "git.dirty": str(bool(_git("status", "--porcelain"))).lower(),
        "dvc.lock": lock,
        "dvc.stale": ", ".join(stale_stages()) or "none",
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    if name := next((e["name"] for e in experiments() if _hash(_file_at(e["rev"], LOCK)) == lock), None):
        tags["dvc.exp"] = name
    return tags


def packages() -> dict[str, str]:
    """Version of each package that debrief runs and trains with, by name; those not installed are left out."""
    found = {}
    for line in requires("debrief") or []:
        name, _, marker = line.partition(";")
        if "dev" in marker:
            continue
        name = _NAME.match(name).group()  # type: ignore[union-attr]  # every requirement begins with one (PEP 508)
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return dict(sorted(found.items()))


def stale_stages() -> list[str]:
    """Pipeline stages that `dvc repro` would run: after `--keep-adapters` the fine-tuning is one of them."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json"], capture_output=True, text=True, check=False
    )
    return sorted(json.loads(done.stdout)) if done.returncode == 0 and done.stdout.strip() else []


def experiments() -> list[dict[str, Any]]:
    """DVC experiments of the present commit: ``name``, ``rev``, ``params`` and ``metrics`` (flat, dotted names)."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "show", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not done.stdout.strip():
        return []
    found = []
    for baseline in json.loads(done.stdout):
        for one in baseline.get("experiments") or []:
            for state in one.get("revs") or []:
                data = state.get("data")
                if state.get("name") and data:
                    found.append(
                        {
                            "name": state["name"],
                            "rev": state["rev"],
                            "created": str(data.get("timestamp") or ""),
                            "params": _flat(_files(data.get("params"))),
                            "metrics": _flat(_files(data.get("metrics"))),
                        }
                    )
    return found


def _files(tree: dict[str, Any] | None) -> dict[str, Any]:
    """What stands in all files of one kind, put together."""
    merged: dict[str, Any] = {}
    for entry in (tree or {}).values():
        merged |= entry.get("data") or {}
    return merged


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _file_at(rev: str, path: Path) -> bytes:
    """A file as a commit has it; empty if it has none."""
    done = subprocess.run(["git", "show", f"{rev}:./{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
