'''TOML 1.0 (https://toml.io/en/v1.0.0), nested by the dots: a ``[table]`` for each segment that contains
keys.

An own writer of the part of the language that values need: tomli-w gives the same values at three times the cost,
for each of 100,000 users. Strings are basic strings, texts of several lines multi-line ones (``"""``) unless
they hold control characters; maps are tables of their own. A Number is always a float (``2.0``). Every
Unicode string can be written, NUL included.
'''

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core.formats.flat import boolean_text, json_text
from trimtab.core.formats.tree import Branch, Leaf, dotted, nest
from trimtab.core.formats.writer import Format, Value, Writer

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_QUOTES = re.compile(r'"(?="|\Z)')
_LINE = 80
"""A longer list has one line per item."""


def _string(text: str) -> str:
    """A basic string on one line: JSON's escapes are TOML's, but for DEL, which TOML requires escaped."""
    return json_text(text).replace("\x7f", "\\u007f")


def _text(text: str) -> str:
    if "\n" not in text or _CONTROL.search(text):
        return _string(text)
    body = _QUOTES.sub(r'\\"', text.replace("\\", "\\\\"))
    return f'"""\n{body}"""'


def _list(items: list[str]) -> str:
    strings = [_string(item) for item in items]
    line = f"[{', '.join(strings)}]"
    return line if len(line) <= _LINE else "[\n" + "".join([f"  {s},\n" for s in strings]) + "]"


_SCALARS: Mapping[type, Callable[[Any], str]] = {
    str: _text,
    bool: boolean_text,
    int: repr,
    float: repr,
    list: _list,
}


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table's ``header`` line (none for the root); each key with its name and its header if it is a map."""

    header: str
    leaves: tuple[tuple[str, str, str], ...]

    def parts(self, values: Mapping[str, Value]) -> list[str]:
        """The table and, after it, those of its values that are maps, as tables of their own."""
        lines, maps = [], []
        for key, name, header in self.leaves:
            if key not in values:
                continue
            value = values[key]
            if type(value) is dict:
                entries = [f"{_name(k)} = {_SCALARS[type(v)](v)}\n" for k, v in sorted(value.items())]
                maps.append(header + "".join(entries))
            else:
                lines.append(f"{name} = {_SCALARS[type(value)](value)}\n")
        return [self.header + "".join(lines), *maps] if lines else maps


@dataclass(frozen=True, slots=True)
class TOMLWriter(Writer):
    tables: tuple[_Table, ...]

    def text(self, values: Mapping[str, Value]) -> str:
        return "\n".join([part for table in self.tables for part in table.parts(values)])


def _tables(branch: Branch, path: str) -> list[_Table]:
    leaves = tuple((c.key, c.name, f"[{path}{c.name}]\n") for c in branch.children if isinstance(c, Leaf))
    tables = [_Table(f"[{path[:-1]}]\n" if path else "", leaves)] if leaves else []
    for child in branch.children:
        if isinstance(child, Branch):
            tables += _tables(child, f"{path}{child.name}.")
    return tables


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> TOMLWriter:
    return TOMLWriter(tuple(_tables(nest(keys), "")))


FORMAT = Format("TOML", dotted, _compile)
