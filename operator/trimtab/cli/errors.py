"""How a verb fails: one line for people, an exit code for scripts."""

from __future__ import annotations

import typer

from trimtab.cli.view.output import say


class Failure(typer.Exit):
    """Print what was wrong and what to do, and exit with ``code`` (1: the answer is no; 2: wrong usage)."""

    def __init__(self, message: str, code: int = 1) -> None:
        for line in message.splitlines():
            say(f"error: {line}", stderr=True, style="bold red")
        super().__init__(code)
