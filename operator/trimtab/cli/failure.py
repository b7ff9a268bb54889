"""How a verb fails: one line for people, an exit code for scripts."""

from __future__ import annotations

import typer
from rich.console import Console


class Failure(typer.Exit):
    """Print what was wrong and what to do, and exit with ``code`` (1: the answer is no; 2: wrong usage)."""

    def __init__(self, message: str, code: int = 1) -> None:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"[bold red]error:[/] {_escaped(message)}")
        super().__init__(code)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
