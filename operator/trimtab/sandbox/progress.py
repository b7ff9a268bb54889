"""Shows a build that takes minutes on stderr: as a bar on a terminal, elsewhere as a line every 10 seconds."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from typing import Protocol, Self

import rich.progress
from rich.console import Console
from rich.markup import escape

LINE_EVERY = 10.0


@dataclass(frozen=True)
class BuildStep:
    """What a build does now, and how many of at most ``total`` packages it has compiled (without cached ones)."""

    doing: str
    compiled: int = 0
    total: int = 0
    milestone: bool = False  # shown on a line of its own


class Progress(Protocol):
    """Receives the steps of a build, about one a second."""

    def __call__(self, step: BuildStep) -> None: ...


class ShowProgress:
    """The default. Use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._bar = rich.progress.Progress(
            "sandbox:",
            rich.progress.TimeElapsedColumn(),
            rich.progress.BarColumn(24),
            "{task.description}",
            console=console,
            transient=True,
            disable=not console.is_interactive,
        )
        self._task = self._bar.add_task("", total=None)
        self._started = self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, step: BuildStep) -> None:
        if step.milestone:
            self._print(step.doing)
            return
        text = f"{step.compiled}/{step.total} packages, {step.doing}" if step.total else step.doing
        total = step.total or None
        self._bar.update(
            self._task, description=escape(text), completed=step.compiled, total=total, refresh=True
        )
        now = time.monotonic()
        if self._bar.disable and now - self._line_at >= LINE_EVERY:
            self._print(f"{datetime.timedelta(seconds=int(now - self._started))} {text}")

    def _print(self, text: str) -> None:
        self._line_at = time.monotonic()
        self._bar.console.print(f"sandbox: {text}", soft_wrap=True, markup=False, highlight=False)
