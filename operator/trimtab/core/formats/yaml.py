"""YAML that readers of version 1.1 (PyYAML) and 1.2 (Go, ruamel.yaml) see alike, nested by the dots.

An own writer of the small part that values need, because PyYAML's C dumper costs seven times as much for each of
100,000 users and would also have to be adapted to version 1.2. A text is plain only if no version can read it as
anything else: it begins with a letter or a slash and is not a word such as ``no`` or ``null``
(https://yaml.org/type/bool.html), or it is a duration such as ``5m``. All others are double-quoted, with JSON's escapes
(YAML 1.2.2, 5.7 and 7.3.1); texts of several lines are literal blocks where that is exact. A Number always has a point
(``2.0``, ``1.0e+16``): 1.1 reads ``1e16`` as text. Every Unicode string can be written, NUL included; characters that
YAML calls unprintable are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core.formats.flat import boolean_text, escaped, json_text
from trimtab.core.formats.tree import Branch, Leaf, dotted, nest
from trimtab.core.formats.writer import Format, Value, Writer

_SAFE = r'!"$-9;-Z\\^-z|~'  # printable ASCII but the space and # : [ ] { }
_PLAIN = re.compile(
    rf"[A-Za-z/](?:[{_SAFE}]++|(?<! )\#|[ :](?=[{_SAFE}]))*+|(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|[smh]))+"
)
_PLAIN_KEY = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*+(?: [A-Za-z0-9_./-]++)*+")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NOT_LITERAL = re.compile(
    "\\A[ \n]| (?:\n|\\Z)|\n\n\\Z|[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]"
)
_BIDIRECTIONAL = re.compile("[\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069]")
"""Characters that are invisible or reverse text on a terminal. A literal block cannot escape them, so it has none."""
_IMPLICIT_KEY = 128  # readers look for a colon in 1024 characters at most; escapes are at most six for one


def _quoted(text: str) -> str:
    return escaped(_UNPRINTABLE, json_text(text))


def _string(text: str) -> str:
    if _PLAIN.fullmatch(text) and not (len(text) < 6 and text.lower() in _WORDS):
        return text
    return _quoted(text)


def _number(value: float) -> str:
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


_SCALARS: Mapping[type, Callable[[Any], str]] = {str: _string, bool: boolean_text, int: repr, float: _number}


def _head(name: str, indent: str) -> str:
    """A name up to its colon; one that is too long for readers to expect a colon gets a question mark."""
    plain = _PLAIN_KEY.fullmatch(name) and name.lower() not in _WORDS
    text = name if plain else _quoted(name)
    return f"{indent}{text}:" if len(name) <= _IMPLICIT_KEY else f"{indent}? {text}\n{indent}:"


def _literal(text: str, indent: str) -> str:
    lines = text.removesuffix("\n").split("\n")
    body = "\n".join([indent + line if line else "" for line in lines])
    return ("|\n" if text.endswith("\n") else "|-\n") + body


def _entry(head: str, value: Any, indent: str) -> str:
    """``head`` with its value; lines of its own are indented by ``indent``."""
    if type(value) in _SCALARS and not (type(value) is str and "\n" in value):
        return f"{head} {_SCALARS[type(value)](value)}\n"
    if isinstance(value, dict):
        return _map(head, value, indent)
    if isinstance(value, list):
        items = "".join([f"{indent}- {_string(item)}\n" for item in value])
        return f"{head}\n{items}" if items else f"{head} []\n"
    return f"{head} {_quoted(value) if _NOT_LITERAL.search(value) else _literal(value, indent)}\n"


def _map(head: str, value: dict[str, Any], indent: str) -> str:
    if not value:
        return f"{head} {{}}\n"
    deeper = indent + "  "
    below = "".join([_entry(_head(k, indent), v, deeper) for k, v in sorted(value.items())])
    return f"{head}\n{below}"


def document(value: Any) -> str:
    """Any JSON value as a document, names in their order: for the CLI's output."""
    return _below(value, "").lstrip("\n ") if isinstance(value, dict | list) else _below(value, "")[1:]


def _below(value: Any, indent: str) -> str:
    """The text after a name's colon, or after the dash of a list's entry."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        entries = [f"{_head(str(name), indent)}{_below(each, deeper)}" for name, each in value.items()]
        return "\n" + "".join(entries)
    if isinstance(value, list) and value:
        return "\n" + "".join([f"{indent}-{_item(each, deeper)}" for each in value])
    return f" {_line(value, indent)}\n"


def _line(value: Any, indent: str) -> str:
    """A value without entries; a text may have several lines."""
    if isinstance(value, str) and "\n" in value:
        escapes = _NOT_LITERAL.search(value) or _BIDIRECTIONAL.search(value)
        return _quoted(value) if escapes else _literal(value, indent)
    return _SCALARS.get(type(value), json_text)(value)  # json_text for null, {} and []


def _item(value: Any, indent: str) -> str:
    """An entry's first line is on the line of its dash."""
    text = _below(value, indent)
    return " " + text[1 + len(indent) :] if text.startswith("\n") else text


@dataclass(frozen=True, slots=True)
class _Node:
    """A ``key``, or a segment with its ``children``; ``indent`` is that of its children."""

    head: str
    indent: str
    key: str
    children: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class YAMLWriter(Writer):
    nodes: tuple[_Node, ...]

    def text(self, values: Mapping[str, Value]) -> str:
        return _block(self.nodes, values) or "{}\n"


def _block(nodes: tuple[_Node, ...], values: Mapping[str, Value]) -> str:
    parts = []
    for node in nodes:
        if node.children:
            below = _block(node.children, values)
            if below:
                parts.append(f"{node.head}\n{below}")
        elif node.key in values:
            parts.append(_entry(node.head, values[node.key], node.indent))
    return "".join(parts)


def _nodes(branch: Branch, indent: str) -> tuple[_Node, ...]:
    deeper = indent + "  "
    return tuple(
        _Node(_head(child.name, indent), deeper, child.key, ())
        if isinstance(child, Leaf)
        else _Node(_head(child.name, indent), deeper, "", _nodes(child, deeper))
        for child in branch.children
    )


def _compile(keys: Sequence[str], prefix: str, compact: bool) -> YAMLWriter:
    return YAMLWriter(_nodes(nest(keys), ""))


FORMAT = Format("YAML", dotted, _compile)
