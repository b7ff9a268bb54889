"""Java properties, with the dotted names as they are.

The escapes are those of ``java.util.Properties.store`` (its Javadoc is the format's rule), written by
javaproperties. The text is pure ASCII: ``Properties.load(InputStream)`` reads Latin-1 and Java 9's
``ResourceBundle`` reads UTF-8, and with ``\\uXXXX`` both are right. There is no time-stamp comment: equal
values give equal bytes. Every Unicode string can be written, NUL included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from javaproperties import join_key_value

from trimtab.core.formats.flat import flat_text
from trimtab.core.formats.tree import dotted
from trimtab.core.formats.writer import Format, Value, Writer

_PLAIN = re.compile(r'(?! )[ "$-9;<>-\[\]-~]*')
"""Printable ASCII but ``\\ # ! : =``, without a space in front: stands for itself."""


@dataclass(frozen=True, slots=True)
class PropertiesWriter(Writer):
    keys: tuple[str, ...]

    def text(self, values: Mapping[str, Value]) -> str:
        lines = []
        for key in self.keys:
            if key in values:
                text = flat_text(values[key])
                line = f"{key}={text}" if _PLAIN.fullmatch(text) else join_key_value(key, text)
                lines.append(line + "\n")
        return "".join(lines)


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> PropertiesWriter:
    return PropertiesWriter(tuple(keys))


FORMAT = Format("Properties", dotted, _compile)
