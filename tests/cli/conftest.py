"""The command line as people call it, in this process: output, errors and exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.cli_manifests import Answer, Call, Write
from support.fake_cluster import FakeCluster, credentials
from trimtab.cli.main import app


@pytest.fixture
def trimtab() -> Call:
    """``trimtab("validate", "-f", path, stdin=...)``; a traceback fails the test."""

    def call(*args: str | Path, stdin: str | bytes | None = None) -> Answer:
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="trimtab")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return call


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """``write(text, ..., name="a.yaml")``: a file of these documents."""

    def file(*documents: str, name: str = "objects.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            "---\n".join(d if d.endswith("\n") else f"{d}\n" for d in documents), encoding="utf-8"
        )
        return path

    return file


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """What verbs find when they connect; the context's namespace is ``music``."""
    made = FakeCluster("music", "other")
    monkeypatch.setattr("trimtab.cli.cluster.connection.load", lambda *_: credentials())
    monkeypatch.setattr("trimtab.cli.cluster.connection.Client", lambda *_, **__: made)
    return made
