"""Messages of libyaml's syntax errors, with the line in the file and a likely cause."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml


class Quote(NamedTuple):
    """A quote over several lines: where it begins, and ``end``, its last line in the parsed text, from 0."""

    line: int
    column: int
    end: int


def message(error: yaml.YAMLError, text: str, before: int, quote: Quote | None) -> str:
    """The message of an error in a text, which ``before`` lines precede. ``quote`` is the last one before the error."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + before + 1
        return (
            f"line {line}: the character {_code(error.character)} is not allowed in YAML; remove or escape it"
        )
    if not isinstance(error, yaml.MarkedYAMLError) or not (error.problem_mark or error.context_mark):
        return str(error).splitlines()[0]
    opened = error.context == "while scanning a quoted scalar" and "unexpected" in str(error.problem)
    mark: Any = (error.context_mark if opened else error.problem_mark) or error.context_mark
    where = f"line {mark.line + before + 1}, column {mark.column + 1}"
    if opened:
        return f"{where}: a quote begins here and does not end; close it"
    context = f" {error.context}" if error.context else ""
    return f"{where}: {error.problem}{context}{_hint(str(error.problem), mark, text, quote)}"


def _code(character: int | str | bytes) -> str:
    return f"U+{character if isinstance(character, int) else ord(character[:1] or '?'):04X}"


def _hint(problem: str, mark: Any, text: str, quote: Quote | None) -> str:
    if quote is not None and mark.line - quote.end in (0, 1):
        return f"; the quote that begins at line {quote.line}, column {quote.column} may not be closed"
    here = text.split("\n")[mark.line : mark.line + 1]
    if here and "\t" in here[0][: mark.column + 1]:
        return "; indent by spaces, not tabs"
    if "expected <document start>" in problem:
        return "; put a line of --- between two objects"
    return ""
