"""The output of the demo: numbered steps, in color on a terminal."""

from __future__ import annotations

import re
import shlex
import textwrap
import time
from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

WIDTH = 118
INDENT = "   "
COLUMNS = (18, 6, 6)
"""Widths of the columns of a rollout: phase, wave, updated."""


class Telling:
    """Writes to stdout."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.steps = 0
        self.started = time.perf_counter()

    def title(self, text: str) -> None:
        """Start a numbered step."""
        self.steps += 1
        line = Text("\n")
        line.append(f"{self.steps:2} ", style="bold cyan")
        line.append(text, style="bold")
        self.console.print(line)

    def text(self, text: str) -> None:
        """A remark of the demo."""
        self._lines(text.splitlines(), "")

    def command(self, *words: str) -> None:
        """A command line."""
        line = "$ " + " ".join(word if word == "|" else shlex.quote(word) for word in words)
        parts = textwrap.wrap(line, WIDTH - 2, break_long_words=False, break_on_hyphens=False)
        self._lines([f"{part} \\" for part in parts[:-1]] + parts[-1:], "green")

    def output(self, text: str, *, most: int = 40, prose: bool = False) -> None:
        """Output of a program or content of an object, at most ``most`` lines; ``prose`` is wrapped."""
        split = _folded if prose else _wrapped
        lines = [part for line in text.rstrip().splitlines() for part in split(line)]
        rest = len(lines) - most
        self._lines(lines[:most], "dim")
        if rest > 0:
            self._lines([f"... and {rest} more lines"], "dim italic")

    def progress(self, seconds: float, columns: Iterable[str], message: str) -> None:
        """One line of a rollout's progress: time, columns and message."""
        places = zip(columns, COLUMNS, strict=True)
        head = f"{seconds:5.1f} s  " + "".join(f"{text:{width}}" for text, width in places)
        indent = len(head)
        for number, part in enumerate(textwrap.wrap(message, WIDTH - indent, break_on_hyphens=False) or [""]):
            line = Text(INDENT)
            line.append(head if number == 0 else " " * indent, style="cyan")
            line.append(part, style="dim")
            self.console.print(line)

    def fact(self, text: str) -> None:
        """A check that succeeded."""
        line = Text(INDENT)
        line.append("✓ ", style="bold green")
        line.append(text)
        self.console.print(line)

    def failure(self, text: str, details: Iterable[str] = ()) -> None:
        line = Text("\n")
        line.append("✗ ", style="bold red")
        line.append(text, style="bold")
        self.console.print(line)
        self._lines(list(details), "")

    def _lines(self, lines: Iterable[str], style: str) -> None:
        for line in lines:
            short = line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
            self.console.print(Text(INDENT + short, style=style))


def _wrapped(line: str) -> list[str]:
    """A long line of JSON, broken at commas. Other lines stay whole."""
    parts = [""]
    for piece in re.split(r"(?<=,)", line) if line.startswith("{") else [line]:
        if len(parts[-1] + piece) > WIDTH and parts[-1]:
            parts.append("")
        parts[-1] += piece
    return parts


def _folded(line: str) -> list[str]:
    return textwrap.wrap(
        line,
        WIDTH,
        subsequent_indent=2 * INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
