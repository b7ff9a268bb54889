"""Shows a build that takes minutes: a bar on a terminal, elsewhere a line now and then, always on stderr."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from typing import Protocol, TextIO

LINE_EVERY = 10.0


@dataclass(frozen=True)
class BuildStep:
    """Where a build is: packages compiled so far out of at most ``total`` (cached ones are not counted)."""

    elapsed: float
    doing: str
    compiled: int = 0
    total: int = 0
    milestone: bool = False  # worth a line of its own


class Progress(Protocol):
    """What is told how far a build is, about once a second."""

    def __call__(self, step: BuildStep) -> None: ...


class ShowProgress:
    """The default: writes to stderr, as a bar where that is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._bar = self._stream.isatty()
        self._said_at = 0.0
        self._open = False

    def __call__(self, step: BuildStep) -> None:
        now = time.monotonic()
        if step.milestone:
            self._close()
            self._write(f"sandbox: {step.doing}\n")
        elif self._bar:
            self._write("\r\x1b[K" + self._drawn(step))
            self._open = True
            return
        elif now - self._said_at >= LINE_EVERY:
            self._write(f"sandbox: {_clock(step.elapsed)} {_count(step)}{step.doing}\n")
        else:
            return
        self._said_at = now

    def _drawn(self, step: BuildStep) -> str:
        width = 24
        done = width * step.compiled // step.total if step.total else 0
        bar = "#" * done + "." * (width - done)
        line = f"sandbox: {_clock(step.elapsed)} [{bar}] {_count(step)}{step.doing}"
        return line[: shutil.get_terminal_size().columns - 1]

    def _close(self) -> None:
        if self._open:
            self._write("\r\x1b[K")
            self._open = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _count(step: BuildStep) -> str:
    return f"{step.compiled}/{step.total} packages, " if step.total else ""
