"""Java properties, with the dotted names unchanged.

The escapes are those of ``java.util.Properties.store`` (its Javadoc is the format's rule), written by
javaproperties. The text is pure ASCII: ``Properties.load(InputStream)`` reads Latin-1 and Java 9's
``ResourceBundle`` reads UTF-8, and with ``\\uXXXX`` both are right. There is no time-stamp comment: equal
values give equal bytes. Every Unicode string can be written, NUL included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from javaproperties import escape

from trimtab.core.formats.flat import flat_text
from trimtab.core.formats.tree import dotted
from trimtab.core.formats.writer import Format, Value, Writer

_PLAIN = re.compile(r'(?! )[ "$-9;<>-\[\]-~]*')
"""Printable ASCII but ``\\ # ! : =``, without a space in front: needs no escape."""


def _escaped(text: str) -> str:
    """A value with each character as the Javadoc says: each kind is looked up once, as there may be half a million."""
    made = text.translate({ord(char): escape(char) for char in set(text) if char != " "})
    return "\\" + made if made.startswith(" ") else made


@dataclass(frozen=True, slots=True)
class PropertiesWriter(Writer):
    keys: tuple[str, ...]

    def text(self, values: Mapping[str, Value]) -> str:
        lines = []
        for key in self.keys:
            if key in values:
                text = flat_text(values[key])
                lines.append(f"{escape(key)}={text if _PLAIN.fullmatch(text) else _escaped(text)}\n")
        return "".join(lines)


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> PropertiesWriter:
    return PropertiesWriter(tuple(keys))


FORMAT = Format("Properties", dotted, _compile)
