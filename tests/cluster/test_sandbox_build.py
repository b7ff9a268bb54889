"""The control plane is built once, atomically, and reports its progress. A script replaces Go."""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import re
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from trimtab.sandbox import BuildError, ensure_binaries, progress
from trimtab.sandbox.progress import BuildStep, ShowProgress
from trimtab.sandbox.toolchain import find_go

FAKE_GO = """#!/bin/sh
case "$1" in
env) echo "${FAKE_VERSION:-go1.26.8}";;
list)
  echo "go: downloading example.org/module v1.0.0" >&2
  printf 'example.org/module\\nexample.org/program\\n';;
build)
  echo built >> "$FAKE_LOG"
  echo example.org/module >&2
  if [ -n "$FAKE_ERROR" ]; then echo "$FAKE_ERROR" >&2; exit 1; fi
  echo example.org/program >&2
  while [ "$1" != -o ]; do shift; done
  echo binary > "$2";;
esac
"""


class Reported:
    """All steps that were reported."""

    def __init__(self) -> None:
        self.steps: list[BuildStep] = []

    def __call__(self, step: BuildStep) -> None:
        self.steps.append(step)

    @property
    def text(self) -> str:
        return "\n".join(step.doing for step in self.steps)


@pytest.fixture
def reported() -> Reported:
    return Reported()


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A separate cache and a Go that compiles nothing; returns the directory of the builds."""
    tools = tmp_path / "bin"
    tools.mkdir()
    go = tools / "go"
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "log"))
    return tmp_path / "cache" / "trimtab" / "controlplane"


def times_built(builds: Path) -> int:
    log = builds.parents[2] / "log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_a_build_happens_once_and_shows_what_it_does(builds: Path, reported: Reported) -> None:
    binaries = ensure_binaries(reported)
    assert binaries.controlplane.read_text() == "binary\n"
    assert binaries.kubectl.resolve() == binaries.controlplane
    assert "go: downloading example.org/module v1.0.0" in reported.text
    assert any((step.doing, step.compiled, step.total) == ("linking", 2, 2) for step in reported.steps)

    quiet = Reported()
    assert ensure_binaries(quiet) == binaries
    assert quiet.steps == []
    assert times_built(builds) == 1


def test_a_failed_build_reports_the_error_of_go_and_leaves_no_build(
    builds: Path, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ERROR", "main.go:1: does not compile")
    with pytest.raises(BuildError, match=r"main\.go:1: does not compile"):
        ensure_binaries(reported)
    assert [left.name for left in builds.iterdir()] == [".lock"]

    monkeypatch.delenv("FAKE_ERROR")
    assert ensure_binaries(reported).controlplane.exists()


def test_a_build_removes_what_an_interrupted_one_left(builds: Path, reported: Reported) -> None:
    (builds / ".building-dead").mkdir(parents=True)
    ensure_binaries(reported)
    assert not (builds / ".building-dead").exists()


def test_a_second_process_waits_reports_it_and_does_not_build(builds: Path, reported: Reported) -> None:
    builds.mkdir(parents=True)
    with (builds / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        second = threading.Thread(target=ensure_binaries, args=(reported,))
        second.start()
        deadline = time.monotonic() + 30
        while not reported.steps:
            assert time.monotonic() < deadline
            time.sleep(0.01)

        assert "waiting for process 4711" in reported.text
        assert times_built(builds) == 0
    second.join(30)
    third = Reported()
    ensure_binaries(third)

    assert times_built(builds) == 1
    assert third.steps == []


def test_a_go_that_is_too_old_is_not_used(
    builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VERSION", "go1.19.8")
    wheel = tmp_path / "cache" / "trimtab" / "go" / "1.26.0" / "go" / "bin" / "go"
    wheel.parent.mkdir(parents=True)
    wheel.write_text("#!/bin/sh\necho go1.26.6\n")
    wheel.chmod(0o755)
    lines: list[str] = []
    assert find_go((1, 26, 0), lines.append) == wheel
    assert lines == ["the Go toolchain on PATH is 1.19.8; 1.26.0 or later is required"]


def test_without_a_terminal_a_line_appears_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    console = Console(file=io.StringIO())

    with ShowProgress(console) as show:
        show(BuildStep("building in [dim]", milestone=True))
        for _ in range(15):
            show(BuildStep("compiling", 1, 2))

    assert console.file.getvalue() == (
        "sandbox: building in [dim]\nsandbox: 0:00:11 1/2 packages, compiling\n"
    )


def test_on_a_terminal_a_bar_is_replaced_by_the_lines_that_remain() -> None:
    console = Console(
        file=io.StringIO(), force_terminal=True, force_interactive=True, color_system=None, width=100
    )

    with ShowProgress(console) as show:
        show(BuildStep("compiling [x]", 1, 2))
        show(BuildStep("built", milestone=True))

    shown = console.file.getvalue()
    assert "1/2 packages, compiling [x]" in shown
    assert re.search(r"\r\x1b\[2Ksandbox: built\n", shown)
    assert shown.endswith("\x1b[2K")
