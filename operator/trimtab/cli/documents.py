"""Text to documents: YAML as kubectl reads it, or JSON, into plain JSON values, one pass, nothing executed.

YAML is composed from libyaml's events instead of by PyYAML's loader, which takes the last of two equal keys silently,
reads ``1:30`` as 90 and ``2001-01-01`` as a date, and follows aliases however often they multiply.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from trimtab.cli.scalars import PREFIX, MalformedError, checked, scalar, whole

MAX_DEPTH = 200
MAX_ALIASED = 4 * 1024 * 1024
"""Bytes that aliases may add to one document; an object of more than 1.5 MiB fits no API server anyway."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text. ``flaws`` are what a reader must not overlook, such as a key that is there twice."""

    index: int
    line: int
    value: Any
    flaws: tuple[str, ...] = ()


def read(text: str) -> Iterator[Document]:
    """Every document that is not empty.

    :raises MalformedError: naming the line.
    """
    if text.lstrip()[:1] == "{":
        try:
            yield _json(text)
            return
        except json.JSONDecodeError:
            pass  # YAML may begin with a brace as well, and says better what is wrong
        except RecursionError:
            raise MalformedError(f"nested more than {MAX_DEPTH} levels deep") from None
    yield from _Composer().documents(text)


def _json(text: str) -> Document:
    flaws: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    flaws.append(f"the key {_shown(key)} is there twice; remove one")
                seen.add(key)
        return made

    def numeral(digits: str) -> float | int:
        return checked(float(digits) if set(digits) & set(".eE") else whole(digits, 1), 1)

    def constant(name: str) -> None:
        raise MalformedError(f"{name} is no JSON number; quote it if it is text")

    value = json.loads(
        text, object_pairs_hook=pairs, parse_int=numeral, parse_float=numeral, parse_constant=constant
    )
    try:
        text.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedError("a string holds half of a surrogate pair (\\ud800 to \\udfff)") from None
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise RecursionError
    return Document(1, 1, value, tuple(flaws))


def _depth(value: Any) -> int:
    level, below = 0, [value]
    while below:
        level += 1
        below = [
            child
            for node in below
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return level


def _shown(key: str) -> str:
    return repr(key if len(key) <= 60 else key[:57] + "...")


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being filled; ``bytes`` is its size with aliases written out."""

    line: int
    items: dict[str, Any] | list[Any]
    anchor: str | None
    key: str | None = None
    keyed: bool = False
    merged: list[Any] = field(default_factory=list)
    bytes: int = 2


_MERGE = object()
"""Stands for the key ``<<``."""


class _Composer:
    """Events to values. Aliased values are shared, so nothing here may change one once it is closed."""

    def __init__(self) -> None:
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open: set[str] = set()
        self.stack: list[_Frame] = []
        self.flaws: list[str] = []
        self.aliased = 0
        self.root: Any = None

    def documents(self, text: str) -> Iterator[Document]:
        index = 0
        line = 1
        try:
            for event in yaml.parse(text, Loader=yaml.CSafeLoader):
                if isinstance(event, yaml.DocumentStartEvent):
                    index += 1
                    line = _line(event)
                    self.__init__()  # type: ignore[misc]
                elif isinstance(event, yaml.DocumentEndEvent):
                    if self.root is not None:
                        yield Document(index, line, self.root, tuple(self.flaws))
                else:
                    self._take(event)
        except yaml.YAMLError as error:
            raise MalformedError(_syntax(error, text)) from None

    def _take(self, event: yaml.Event) -> None:
        line = _line(event)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._begin(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor or "", line)

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        if event.tag not in (None, "!", PREFIX + "map", PREFIX + "seq"):
            raise MalformedError(f"line {line}: the tag {event.tag[:60]} is not understood; remove it")
        if len(self.stack) >= MAX_DEPTH:
            raise MalformedError(f"line {line}: nested more than {MAX_DEPTH} levels deep")
        top = self.stack[-1] if self.stack else None
        if top is not None and isinstance(top.items, dict) and not top.keyed:
            raise MalformedError(f"line {line}: a mapping or list cannot be a key; write text")
        if event.anchor:
            self.open.add(event.anchor)
        items: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Frame(line, items, event.anchor))

    def _end(self) -> None:
        frame = self.stack.pop()
        value = frame.items
        if frame.merged and isinstance(value, dict):
            for source in frame.merged:
                value = {**source, **value}
        if frame.anchor:
            self.open.discard(frame.anchor)
            self.anchors[frame.anchor] = (value, frame.bytes)
        self._put(value, frame.bytes, frame.line)

    def _alias(self, name: str, line: int) -> None:
        if name in self.open:
            raise MalformedError(f"line {line}: *{name[:60]} refers to itself")
        if name not in self.anchors:
            raise MalformedError(f"line {line}: there is no anchor &{name[:60]}; write the value out")
        value, size = self.anchors[name]
        self.aliased += size
        if self.aliased > MAX_ALIASED:
            raise MalformedError(
                f"line {line}: aliases make the document larger than {MAX_ALIASED} bytes; write the values out"
            )
        if isinstance(value, str) or not self._expects_key():
            self._put(value, size, line)
        else:
            raise MalformedError(f"line {line}: *{name[:60]} is not text, so it cannot be a key")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        value: Any = scalar(event, line)
        size = len(event.value) + 2
        if event.anchor:
            self.anchors[event.anchor] = (value, size)
        if self._expects_key():
            if event.value == "<<" and not event.style and event.tag is None:
                value = _MERGE
            elif not isinstance(value, str):
                self.flaws.append(f"line {line}: the key {_shown(event.value)} is not text; quote it")
                value = event.value
        self._put(value, size, line)

    def _expects_key(self) -> bool:
        return bool(self.stack) and isinstance(self.stack[-1].items, dict) and not self.stack[-1].keyed

    def _put(self, value: Any, size: int, line: int) -> None:
        if not self.stack:
            self.root = value
            return
        frame = self.stack[-1]
        frame.bytes += size
        if isinstance(frame.items, list):
            frame.items.append(value)
        elif not frame.keyed:
            frame.key, frame.keyed = value, True
            if value is not _MERGE and value in frame.items:
                self.flaws.append(f"line {line}: the key {_shown(value)} is there twice; remove one")
        else:
            if frame.key is _MERGE:
                frame.merged += _mergeable(value, line)
            else:
                frame.items[frame.key] = value  # type: ignore[index]
            frame.keyed = False


def _mergeable(value: Any, line: int) -> list[dict[str, Any]]:
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise MalformedError(f"line {line}: << takes a mapping, or a list of mappings")
    return sources


def _syntax(error: yaml.YAMLError, text: str) -> str:
    mark = (error.problem_mark or error.context_mark) if isinstance(error, yaml.MarkedYAMLError) else None
    if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
        context = f" {error.context}" if error.context else ""
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}{context}"
    if isinstance(error, yaml.reader.ReaderError):
        character = error.character if isinstance(error.character, int) else ord(error.character[:1] or "?")
        where = text[: error.position].count("\n") + 1
        return f"line {where}: the character U+{character:04X} is not allowed in YAML; remove it, or write it escaped"
    return str(error).splitlines()[0]


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 0
