"""Output: lines and tables for humans, JSON and YAML for programs, no colors where there is no terminal."""

from __future__ import annotations

import enum
import json
import re
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from trimtab.core.formats.yaml import document

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
WIDE = 100_000
"""Columns where there is no terminal: lines are not wrapped there, so that `grep` and `cut` work."""


class Format(enum.StrEnum):
    """The values of ``-o``."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Line(NamedTuple):
    """A line in one style."""

    text: str = ""
    style: str = ""


Part = Line | Text | Table
"""A part of what a command prints: a line, a line of several styles, or a table."""


class View(Protocol):
    """A command's result."""

    def content(self) -> Any:
        """The whole result for programs, as plain values."""

    def parts(self) -> Iterable[Part]:
        """The result for humans."""


def show(view: View, output: Format) -> None:
    """Print a result on stdout."""
    if output is Format.JSON:
        typer.echo(as_json(view.content(), indent=2))
    elif output is Format.YAML:
        typer.echo(as_yaml(view.content()), nl=False)
    else:
        printed(view.parts())


def printed(parts: Iterable[Part], *, stderr: bool = False) -> None:
    """Print parts on stdout or stderr."""
    for part in parts:
        if isinstance(part, Line):
            say(part.text, style=part.style, stderr=stderr)
        elif isinstance(part, Text):
            _print(part, stderr=stderr)
        else:
            _print_table(part)


def drawn(parts: Iterable[Part]) -> RenderableType:
    """Parts for a live display."""
    return Group(*(_text(part) if isinstance(part, Line) else part for part in parts))


def say(text: str = "", *, style: str = "", stderr: bool = False) -> None:
    """Print one line on stdout or stderr."""
    _print(_text(Line(text, style)), stderr=stderr)


def notes(lines: Iterable[str]) -> None:
    """Print remarks on stderr."""
    for line in lines:
        say(f"note: {line}", stderr=True, style="dim")


def pieces(*texts: tuple[str, str]) -> Text:
    """One line of texts, each with its style."""
    return Text.assemble(*((plain(text), style) for text, style in texts))


def section(title: str, made: Table) -> Iterable[Part]:
    """A table below its title, after an empty line."""
    return (Line(), Line(title, "bold"), made)


def table(columns: str, rows: Iterable[Iterable[object]]) -> Table:
    """A table; ``columns`` are separated by spaces (``_`` is a space), cells are text and never markup."""
    made = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns.strip()))
    for number, column in enumerate(columns.split(" ")):
        made.add_column(column.replace("_", " "), overflow="fold", no_wrap=number == 0)
    for cells in rows:
        made.add_row(*(Text(plain(cell)) for cell in cells))
    return made


def console(*, stderr: bool = False) -> Console:
    """A console that interprets no markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def _text(line: Line) -> Text:
    return Text(plain(line.text), line.style)


def _print(text: Text, *, stderr: bool) -> None:
    if (sys.stderr if stderr else sys.stdout).isatty():
        console(stderr=stderr).print(text, soft_wrap=True)
    else:
        typer.echo(text.plain, err=stderr)


def _print_table(made: Table) -> None:
    """As wide as the terminal; without one, a line for each row, with trailing spaces removed."""
    out = console()
    if out.is_terminal:
        out.print(made)
        return
    with out.capture() as caught:
        out.print(made)
    typer.echo("\n".join(line.rstrip() for line in caught.get().splitlines()))


def plain(text: object) -> str:
    """``text`` with the characters escaped that would move a terminal's cursor or reverse its letters."""
    return _CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), str(text))


def as_json(content: Any, indent: int | None = None) -> str:
    """JSON with readable letters; what would affect a terminal is escaped, which JSON reads back as the same text."""
    return _escaped(json.dumps(content, indent=indent, ensure_ascii=False))


def as_yaml(*documents: Any) -> str:
    """YAML that every reader, kubectl too, reads as the same values: by the rules of the output format YAML."""
    mark = "---\n" if len(documents) > 1 else ""
    return _escaped("".join(mark + document(each) for each in documents))


def _escaped(text: str) -> str:
    """Escapes of JSON and of YAML in double quotes."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
