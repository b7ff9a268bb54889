"""INI: the first segment of a key is its section, a key without dots is in ``[DEFAULT]``.

INI has no standard; the reference reader is Python's ``configparser.ConfigParser(interpolation=None)``. A
text is written raw where it reads back exactly, else as a JSON string in double quotes; hence one rule for
readers: **a value that parses as a JSON string is that string**. Quoted is whatever configparser would change
(white space at an end, control characters, line breaks) or take for a JSON string, and also what other common
readers would change, so that all agree: ``#`` and ``;`` (comments to git, PHP and Go's ini), quotes in front
(stripped), a backslash at the end (a continued line). Lists and maps are JSON, in which ``#`` and ``;`` are
escaped for those readers.

Most readers ignore the case of names, so names that differ only in case clash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trimtab.core.formats.flat import escaped, flat_text, json_text
from trimtab.core.formats.writer import Format, Value, Writer

_EXOTIC = r"\x7f-\x9f\u2028\u2029\ufeff"
_RAW = re.compile(rf"""(?![\s"'`])[^\x00-\x1f#;{_EXOTIC}]*(?<![\s\\])""")
_ESCAPED = re.compile(f"[{_EXOTIC}]")
_ESCAPED_IN_JSON = re.compile(f"[#;{_EXOTIC}]")


def _place(key: str) -> tuple[str, str]:
    """A key's section and its name there."""
    section, dot, name = key.partition(".")
    return (section, name) if dot else ("DEFAULT", key)


def _names(keys: Sequence[str], prefix: str) -> dict[str, str]:
    return {key: "[{}] {}".format(*_place(key)).lower() for key in keys}


def ini_text(value: Value) -> str:
    """One value on one line, as configparser and the rule above read it back."""
    text = flat_text(value)
    if type(value) is str:
        return text if _RAW.fullmatch(text) else escaped(_ESCAPED, json_text(text))
    return escaped(_ESCAPED_IN_JSON, text) if type(value) in (list, dict) else text


@dataclass(frozen=True, slots=True)
class INIWriter(Writer):
    """``sections``: each section's header with its keys and their names, ``[DEFAULT]`` first."""

    sections: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    def text(self, values: Mapping[str, Value]) -> str:
        parts = []
        for header, options in self.sections:
            lines = [f"{name} = {ini_text(values[key])}".rstrip() for key, name in options if key in values]
            if lines:
                parts.append("\n".join((header, *lines)))
        return "\n\n".join(parts) + "\n" if parts else ""


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> INIWriter:
    sections: dict[str, list[tuple[str, str]]] = {"DEFAULT": []}
    for key in keys:
        section, name = _place(key)
        sections.setdefault(section, []).append((key, name))
    return INIWriter(tuple((f"[{section}]", tuple(options)) for section, options in sections.items()))


FORMAT = Format("INI", _names, _compile)
