"""The control plane is built once, whole or not at all, and says how far it is. A stand-in plays Go."""

from __future__ import annotations

import fcntl
import io
import os
import threading
import time
from pathlib import Path

import pytest

from trimtab.sandbox import BuildError, ensure_binaries
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


class Said:
    """Everything that was reported."""

    def __init__(self) -> None:
        self.steps: list[BuildStep] = []

    def __call__(self, step: BuildStep) -> None:
        self.steps.append(step)

    @property
    def text(self) -> str:
        return "\n".join(step.doing for step in self.steps)


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own and a Go that compiles nothing; the folder in which the builds appear."""
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


def test_a_build_happens_once_and_shows_what_it_does(builds: Path, said: Said) -> None:
    binaries = ensure_binaries(said)
    assert binaries.controlplane.read_text() == "binary\n"
    assert binaries.kubectl.resolve() == binaries.controlplane
    assert "go: downloading example.org/module v1.0.0" in said.text
    assert any((step.doing, step.compiled, step.total) == ("linking", 2, 2) for step in said.steps)

    quiet = Said()
    assert ensure_binaries(quiet) == binaries
    assert quiet.steps == []
    assert times_built(builds) == 1


def test_a_failed_build_tells_what_go_said_and_leaves_nothing_to_be_taken_for_a_build(
    builds: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ERROR", "main.go:1: does not compile")
    with pytest.raises(BuildError, match=r"main\.go:1: does not compile"):
        ensure_binaries(said)
    assert [left.name for left in builds.iterdir()] == [".lock"]

    monkeypatch.delenv("FAKE_ERROR")
    assert ensure_binaries(said).controlplane.exists()


def test_what_an_interrupted_build_left_is_removed(builds: Path, said: Said) -> None:
    (builds / ".building-dead").mkdir(parents=True)
    ensure_binaries(said)
    assert not (builds / ".building-dead").exists()


def test_who_comes_second_waits_says_so_and_does_not_build_again(builds: Path, said: Said) -> None:
    builds.mkdir(parents=True)
    with (builds / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        second = threading.Thread(target=ensure_binaries, args=(said,))
        second.start()
        deadline = time.monotonic() + 30
        while not said.steps:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert "waiting for process 4711" in said.text
        assert times_built(builds) == 0
    second.join(30)
    third = Said()
    ensure_binaries(third)
    assert times_built(builds) == 1
    assert third.steps == []


def test_a_go_that_is_too_old_is_passed_over(
    builds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VERSION", "go1.19.8")
    wheel = tmp_path / "cache" / "trimtab" / "go" / "1.26.0" / "go" / "bin" / "go"
    wheel.parent.mkdir(parents=True)
    wheel.write_text("#!/bin/sh\necho go1.26.6\n")
    wheel.chmod(0o755)
    lines: list[str] = []
    assert find_go((1, 26, 0), lines.append) == wheel
    assert lines == ["the Go on PATH is 1.19.8, 1.26.0 or later is needed"]


def test_without_a_terminal_a_line_comes_now_and_then() -> None:
    stream = io.StringIO()
    show = ShowProgress(stream)
    show(BuildStep(0, "building", milestone=True))
    for _ in range(50):
        show(BuildStep(1, "compiling", 1, 2))
    assert stream.getvalue() == "sandbox: building\n"


def test_on_a_terminal_a_bar_stays_on_one_line() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    show = ShowProgress(stream)
    show(BuildStep(61, "compiling", 1, 2))
    show(BuildStep(62, "built", milestone=True))
    assert stream.getvalue() == (
        "\r\x1b[Ksandbox: 1:01 [############............] 1/2 packages, compiling\r\x1b[Ksandbox: built\n"
    )
