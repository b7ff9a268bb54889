"""How verbs speak: tables for people, JSON and YAML for programs, plain where no terminal is."""

from __future__ import annotations

import enum
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
PLUGIN = "kubectl trimtab"
WIDE = 100_000
"""Columns of what is no terminal: lines are not broken there, so that `grep` and `cut` work."""


class Format(enum.StrEnum):
    """What ``-o`` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def plain(text: object) -> str:
    """Text without characters that would move a terminal's cursor or turn its letters around: those are escaped."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def program() -> str:
    """How whoever reads this calls the program."""
    return PLUGIN if Path(sys.argv[0]).name.startswith("kubectl-") else "trimtab"


def console(*, stderr: bool = False) -> Console:
    """A console for people. Text is never taken for markup."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def say(text: str = "", *, style: str = "", stderr: bool = False) -> None:
    """One line for people, on stdout or stderr."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        console(stderr=stderr).print(plain(text), style=style or None, soft_wrap=True)
    else:
        typer.echo(plain(text), err=stderr)


def colour(*pieces: tuple[str, str]) -> None:
    """One line for people, on stdout, of pieces of text each with its style."""
    if not sys.stdout.isatty():
        typer.echo(plain("".join(text for text, _ in pieces)))
        return
    from rich.text import Text

    line = Text.assemble(*((plain(text), style) for text, style in pieces))
    console().print(line, soft_wrap=True)


def notes(lines: Iterable[str]) -> None:
    """Remarks, on stderr."""
    for line in lines:
        say(f"note: {line}", stderr=True, style="dim")


def table(*columns: str) -> Table:
    """An empty table in the house's style."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(column, overflow="fold", no_wrap=number == 0)
    return made


def row(target: Table, *cells: object) -> None:
    """Add a row whose cells are shown as they are."""
    from rich.text import Text

    target.add_row(*(Text(plain(cell)) for cell in cells))


def print_table(made: Table) -> None:
    """On a terminal as wide as it is; elsewhere a line a row, without blanks at its end."""
    out = console()
    if out.is_terminal:
        out.print(made)
        return
    with out.capture() as caught:
        out.print(made)
    typer.echo("\n".join(line.rstrip() for line in caught.get().splitlines()))


def show(content: Any, output: Format, people: Callable[[], None]) -> None:
    """``content`` for programs, or what ``people`` prints."""
    if output is Format.JSON:
        typer.echo(as_json(content, indent=2))
    elif output is Format.YAML:
        typer.echo(as_yaml(content), nl=False)
    else:
        people()


def as_json(content: Any, indent: int | None = None) -> str:
    """JSON as people read it, but for what would play with their terminal: that is escaped, and so the same text."""
    return _escaped(json.dumps(content, indent=indent, ensure_ascii=False))


def _escaped(text: str) -> str:
    """As JSON and YAML write characters in double quotes."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def as_yaml(*documents: Any) -> str:
    """YAML that every reader takes for the same, kubectl too: by the rules of the format that operators are given."""
    from trimtab.core.formats.yaml import document

    mark = "---\n" if len(documents) > 1 else ""
    return _escaped("".join(mark + document(each) for each in documents))
