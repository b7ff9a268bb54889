"""How a command fails: one line on stderr, an exit code for scripts."""

from __future__ import annotations

import typer

from trimtab.cli.output import say


class Failure(typer.Exit):
    """Prints what is wrong and what to do, and exits with ``code`` (1: no, or not found; 2: wrong usage)."""

    def __init__(self, message: str, code: int = 1) -> None:
        for line in message.splitlines():
            say(f"error: {line}", stderr=True, style="bold red")
        super().__init__(code)
