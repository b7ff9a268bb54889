"""Composes libyaml's events into plain values and, on request, the position of each key and value.

PyYAML's own composer does not fit: it rejects an anchor that is defined twice, which kubectl accepts, it recurses, and
its nodes do not state whether a scalar was plain. Values of aliases are shared, so a closed value never changes.
Nothing here recurses, and memory grows with the text and with at most MAX_ALIASED bytes of aliases.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml

from trimtab.cli.files import syntax
from trimtab.cli.files.scalars import PREFIX, TAGS, MalformedError, Scalar, is_exact, resolve
from trimtab.core.text import cut
from trimtab.core.violations import Fault

MAX_DEPTH = 200
MAX_ALIASED = 4 * 1024 * 1024
"""Bytes that aliases may add to one document; an object of more than 1.5 MiB fits no API server anyway."""
_SECOND = frozenset(("apiVersion", "kind"))
_KEPT_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,2})\.[0-9]{0,2}[1-9]")
_SLASH = re.compile(r"(?<!\\)(?:\\\\)*\\/")
_MERGE = object()
"""Represents the key ``<<``."""

Path = tuple[str | int, ...]


class Spot(NamedTuple):
    """The position of a key and its value, from 1; for an entry of a list, both are the value's. ``text`` is the
    scalar's text if its value is not exact."""

    key_line: int
    key_column: int
    line: int
    column: int
    text: str = ""


class TextFlaw(NamedTuple):
    """An error in a text that can be read despite it."""

    spot: Spot
    fault: Fault


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being filled; ``bytes`` is its size with aliases written out."""

    line: int
    column: int
    items: dict[str, Any] | list[Any]
    anchor: str | None
    path: Path = ()
    key: Any = None
    keyed: bool = False
    where: tuple[int, int] = (0, 0)
    written: set[str] = field(default_factory=set)
    bytes: int = 2


class Composer:
    """One document of a text, which ``before`` lines precede. Fills ``spots``, if given, with each path's position."""

    def __init__(
        self, text: str, before: int, spots: dict[Path, Spot] | None = None, *, is_json: bool = False
    ) -> None:
        self.text, self.before, self.spots, self.is_json = text, before, spots, is_json
        self.line = before + 1
        self.root: Any = None
        self.flaws: list[TextFlaw] = []
        self.inexact = False
        self._twice: list[tuple[str, int, int]] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._stack: list[_Frame] = []
        self._aliased = 0
        self._quoted: syntax.Quote | None = None
        self._takes: dict[type[yaml.Event], Callable[[Any, int, int], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }

    def document(self) -> Composer | None:
        """Itself when it is read; None if there is no document in the text.

        :raises MalformedError: naming the line.
        """
        there = False
        try:
            for event in yaml.parse(self.text, Loader=yaml.CSafeLoader):
                mark: Any = event.start_mark
                line, column = mark.line + self.before + 1, mark.column + 1
                take = self._takes.get(type(event))
                if take is not None:
                    if there and not self._stack and self.root is None:
                        self.line = line
                    take(event, line, column)
                elif isinstance(event, yaml.DocumentStartEvent):
                    if there:
                        raise MalformedError(
                            f"line {line}: kubectl reads nothing after `...`; write --- instead"
                        )
                    there = True
        except yaml.YAMLError as error:
            raise MalformedError(syntax.message(error, self.text, self.before, self._quoted)) from None
        self._name_twice()
        return self if there else None

    def _begin(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int, column: int) -> None:
        if event.tag not in (None, "!") and not event.tag.startswith(PREFIX):
            raise MalformedError(f"line {line}: the tag {event.tag[:60]} is not supported; remove it")
        if len(self._stack) >= MAX_DEPTH:
            raise MalformedError(f"line {line}: nested more than {MAX_DEPTH} levels deep")
        if self._expects_key():
            raise MalformedError(f"line {line}: a mapping or list cannot be a key; write text")
        if event.anchor:
            self._open.add(event.anchor)
        items: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._path() if self.spots is not None else ()
        self._stack.append(_Frame(line, column, items, event.anchor, path))

    def _path(self) -> Path:
        if not self._stack:
            return ()
        top = self._stack[-1]
        if isinstance(top.items, list):
            return (*top.path, len(top.items))
        return (*top.path, top.key if top.key is not _MERGE else "<<")

    def _end(self, event: yaml.Event, line: int, column: int) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._open.discard(frame.anchor)
            self._anchors[frame.anchor] = (frame.items, frame.bytes)
        self._put(frame.items, frame.bytes, frame.line, frame.column)

    def _alias(self, event: yaml.AliasEvent, line: int, column: int) -> None:
        name = event.anchor or ""
        if name in self._open:
            raise MalformedError(f"line {line}: *{name[:60]} refers to itself")
        if name not in self._anchors:
            raise MalformedError(f"line {line}: there is no anchor &{name[:60]}; write the value out")
        value, size = self._anchors[name]
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise MalformedError(
                f"line {line}: aliases make the document larger than {MAX_ALIASED} bytes; write the values out"
            )
        if isinstance(value, str) or not self._expects_key():
            self._put(value, size, line, column)
        else:
            raise MalformedError(f"line {line}: *{name[:60]} is not text, so it cannot be a key")

    def _scalar(self, event: yaml.ScalarEvent, line: int, column: int) -> None:
        text, plain = event.value, event.tag is None and event.implicit[0]
        if event.style in ("'", '"'):
            self._check_quoted(event, line, column)
        value: Any = self._resolved(event, line)
        if event.anchor:
            self._anchors[event.anchor] = (value, len(text) + 2)
        if self._expects_key():
            value = _MERGE if plain and text == "<<" else self._key(text, value, line, column)
        inexact = plain and value is not _MERGE and not is_exact(text, value)
        self.inexact |= inexact
        self._put(value, len(text) + 2, line, column, text if inexact else "")

    def _check_quoted(self, event: yaml.ScalarEvent, line: int, column: int) -> None:
        r"""Remember a quote over several lines, the likely cause of a syntax error after it. Report ``\/``, which
        JSON and YAML 1.2 have and kubectl does not read."""
        start: Any = event.start_mark
        end: Any = event.end_mark
        if end.line > start.line:
            self._quoted = syntax.Quote(line, column, end.line)
        escapes = not self.is_json and event.style == '"' and "/" in event.value
        if escapes and _SLASH.search(self.text[start.index : end.index]):
            self._flaw(line, column, "kubectl rejects \\/ in YAML", "write /")

    def _resolved(self, event: yaml.ScalarEvent, line: int) -> Scalar:
        text, tag = event.value, event.tag
        if tag is None and not event.implicit[0]:
            return text
        if tag is not None and tag != "!" and tag not in TAGS:
            raise MalformedError(f"line {line}: the tag {tag[:60]} is not supported; remove it")
        try:
            return resolve(text, tag)
        except ValueError as error:
            raise MalformedError(f"line {line}: {error}") from None

    def _key(self, text: str, value: Scalar, line: int, column: int) -> str:
        """The text of a key. kubectl converts a key of another type to text; a flaw if that changes it."""
        if isinstance(value, str):
            return value
        same = (
            text in ("true", "false")
            if isinstance(value, bool)
            else text == str(value)
            if isinstance(value, int)
            else _KEPT_FLOAT.fullmatch(text) is not None
        )
        if value is None or not same:
            self._flaw(line, column, f"the key {shown(text)} is not text", "quote it")
        return text

    def _flaw(self, line: int, column: int, problem: str, remedy: str) -> None:
        self.flaws.append(TextFlaw(Spot(line, column, line, column), Fault(problem, remedy)))

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].items, dict) and not self._stack[-1].keyed

    def _put(self, value: Any, size: int, line: int, column: int, text: str = "") -> None:
        if not self._stack:
            self.root = value
            return
        frame = self._stack[-1]
        frame.bytes += size
        if isinstance(frame.items, list):
            if self.spots is not None:
                self.spots[(*frame.path, len(frame.items))] = Spot(line, column, line, column, text)
            frame.items.append(value)
        elif not frame.keyed:
            frame.key, frame.keyed, frame.where = value, True, (line, column)
            if value is not _MERGE:
                self._written(frame, value, line, column)
        else:
            frame.keyed = False
            if frame.key is _MERGE:
                for source in reversed(_mergeable(value, line)):
                    frame.items.update(source)
                return
            frame.items[frame.key] = value
            if self.spots is not None:
                self.spots[(*frame.path, frame.key)] = Spot(*frame.where, line, column, text)

    def _written(self, frame: _Frame, key: str, line: int, column: int) -> None:
        if key not in frame.written:
            frame.written.add(key)
        elif len(self._stack) == 1:
            self._twice.append((key, line, column))
        else:
            self._flaw(line, column, *twice(key))

    def _name_twice(self) -> None:
        """Report the document's own keys that occur twice: most often a ``---`` is missing."""
        if {key for key, _, _ in self._twice} >= _SECOND:
            _, line, column = self._twice[0]
            problem = "a second object begins here, but a document can contain only one"
            self._flaw(line, column, problem, "put a line of --- before it")
            return
        for key, line, column in self._twice:
            self._flaw(line, column, *twice(key))


def _mergeable(value: Any, line: int) -> list[dict[str, Any]]:
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise MalformedError(f"line {line}: << requires a mapping or a list of mappings; correct it")
    return sources


def twice(key: str) -> tuple[str, str]:
    """The problem and remedy of a key that occurs twice."""
    return f"the key {shown(key)} is there twice", "remove one"


def shown(key: str) -> str:
    """A key as messages show it."""
    return repr(cut(key, 60))
