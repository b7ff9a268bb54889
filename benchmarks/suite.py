"""What the tests contain, now and at an earlier commit: `python -m benchmarks.suite 568eb9c`.

Counts lines, test functions, laws (`@given`), asserts and collected tests for each folder, and names the test functions
that were removed, were added, or have fewer asserts. A renamed test is one removed and one added.
"""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLUMNS = ("lines", "functions", "laws", "asserts", "collected")


@dataclass
class Suite:
    folders: dict[str, Counter[str]] = field(default_factory=dict)
    asserts: Counter[str] = field(default_factory=Counter)
    """By the name of a test function."""

    def folder(self, name: str) -> Counter[str]:
        return self.folders.setdefault(name, Counter())


def count(root: Path) -> Suite:
    """The suite of the tree at ``root``."""
    made = Suite()
    for path in sorted((root / "tests").rglob("*.py")):
        parts = path.relative_to(root / "tests").parts
        folder, text = made.folder(parts[0] if len(parts) > 1 else "."), path.read_text()
        folder["lines"] += text.count("\n")
        tree = ast.parse(text)
        folder["asserts"] += sum(isinstance(node, ast.Assert) for node in ast.walk(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                folder["functions"] += 1
                folder["laws"] += any(ast.unparse(mark).startswith("given(") for mark in node.decorator_list)
                made.asserts[node.name] += sum(isinstance(each, ast.Assert) for each in ast.walk(node))
    for line in _collect(root).splitlines():
        if line.startswith("tests/"):
            parts = line.partition("::")[0].split("/")
            made.folder(parts[1] if len(parts) > 2 else ".")["collected"] += 1
    return made


def _collect(root: Path) -> str:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests"]
    env = {**os.environ, "PYTHONPATH": str(root / "operator")}
    return subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True).stdout


def at(commit: str) -> Suite:
    """The suite of a commit."""
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        return count(Path(folder))


def main(commit: str) -> None:
    before, now = at(commit), count(ROOT)
    print(f"{'':12}" + "".join(f"{name:>20}" for name in COLUMNS))
    for name in sorted({*before.folders, *now.folders}):
        old, new = before.folder(name), now.folder(name)
        print(f"{name:12}" + "".join(f"{old[c]:>9} -> {new[c]:>7}" for c in COLUMNS))
    old, new = (sum(suite.folders.values(), Counter[str]()) for suite in (before, now))
    print(f"{'all':12}" + "".join(f"{old[c]:>9} -> {new[c]:>7}" for c in COLUMNS))
    for title, names in (
        ("removed", before.asserts.keys() - now.asserts.keys()),
        ("added", now.asserts.keys() - before.asserts.keys()),
        (
            "fewer asserts",
            {name for name in before.asserts if now.asserts.get(name, 99) < before.asserts[name]},
        ),
    ):
        print(f"\n{title}: {len(names)}")
        for name in sorted(names):
            print(f"  {name}: {before.asserts[name]} -> {now.asserts[name]} asserts")


if __name__ == "__main__":
    main(sys.argv[1])
