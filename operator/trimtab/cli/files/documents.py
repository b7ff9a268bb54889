"""Reads text as kubectl does: a stream of YAML documents or JSON objects, as plain JSON values.

kubectl splits a stream at lines of ``---`` and reads each piece separately, so any piece may begin with a byte order
mark. PyYAML's constructor is not used: it silently keeps the last of two equal keys, reads ``1:30`` as 90 and
``2001-01-01`` as a date, and expands aliases without a bound. Positions of keys and values are computed on demand, by
composing the document a second time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trimtab.cli.files.composer import MAX_DEPTH, Composer, Path, Spot, TextFlaw, twice
from trimtab.cli.files.scalars import MalformedError, number
from trimtab.core.violations import Fault

_SEPARATOR = re.compile(r"^---([^\n]*)(?:\n|\Z)", re.MULTILINE)
_EMPTY = re.compile(r"(?:[ \r]*(?:#[^\n]*)?(?:\n|\Z))*\Z")
_SPACES = re.compile(r"[ \t\r\n]*")
_BOM = "\ufeff"
_MISPLACED = re.compile("[\n\r\x85\u2028\u2029]\ufeff")

_UNUSUAL_NUMBER = re.compile(r"[eE][-+]?[0-9]|\.[0-9]*0\b|[0-9]{16}")
"""In JSON: matches every number whose text may differ from its value's, and some other text."""


@dataclass(frozen=True)
class Document:
    """One document of a text. ``flaws`` are its errors, for example a key that occurs twice."""

    index: int
    line: int
    value: Any
    flaws: tuple[TextFlaw, ...] = ()
    piece: str = field(default="", repr=False)
    """The text that it was read from, after ``before`` lines."""
    before: int = 0
    inexact: bool = False
    """Whether a scalar's value may lack something of its text."""

    def spot(self, path: Path) -> Spot:
        """The position of a path's key and value; if there is none, of the nearest parent."""
        for length in range(len(path), 0, -1):
            found = self._spots.get(path[:length])
            if found is not None:
                return found
        return Spot(self.line, 1, self.line, 1)

    def misread(self) -> list[tuple[Path, Spot]]:
        """The scalars whose values lack something of their texts."""
        return [(path, spot) for path, spot in self._spots.items() if spot.text] if self.inexact else []

    @cached_property
    def _spots(self) -> dict[Path, Spot]:
        try:
            spots = Composer(self.piece, self.before, spots={}).document()
        except MalformedError:  # JSON that is no YAML, as one with pairs of surrogates
            return {}
        return spots.spots or {} if spots is not None else {}


def read(text: str) -> Iterator[Document]:
    """Every document that is not empty.

    :raises MalformedError: naming the line.
    """
    done, before = 0, 0
    if text.removeprefix(_BOM).lstrip()[:1] == "{":
        try:
            for index, start, end, value, doubled in _objects(text):
                before += text.count("\n", done, start)
                done = start
                yield _json(text[start:end], Document(index, before + 1, value, (), "", before), doubled)
                before += text.count("\n", start, end)
                done = end
        except _NotJSONError as stop:
            before += text.count("\n", done, stop.start)
            done = stop.start
            if stop.index:
                _refuse_mark(text[done:], before)
            yield from _pieces(text[done:], before, stop.index)
        return
    yield from _pieces(text, 0, 0)


def _pieces(text: str, before: int, index: int) -> Iterator[Document]:
    """The documents between lines of ``---``, each read separately."""
    start = 0
    for count, cut in enumerate([*_SEPARATOR.finditer(text), None]):
        piece = text[start : cut.start() if cut else len(text)]
        if not _EMPTY.match(piece.removeprefix(_BOM)):
            index += not count
            if count == 1 and text.startswith("---"):  # kubectl does not split here
                _refuse_mark("\n" + piece, before - 1)
            yield from _piece(piece, before, index)
        if cut is None:
            return
        before += piece.count("\n") + 1
        if cut[1].strip().partition("#")[0]:
            raise MalformedError(
                f"line {before}: nothing may follow --- on its line; begin the document on the next line"
            )
        index += 1
        start = cut.end()


def _piece(piece: str, before: int, index: int) -> Iterator[Document]:
    text = piece.removeprefix(_BOM)
    if not text.endswith("\n"):
        text += "\n"  # kubectl reads lines, and ends the last one too
    _refuse_mark(text, before)
    found = Composer(text, before).document()
    if found is not None and found.root is not None:
        yield Document(index, found.line, found.root, tuple(found.flaws), text, before, found.inexact)


def _refuse_mark(text: str, before: int) -> None:
    """Reject a byte order mark that begins a later line: libyaml skips it, and kubectl reads it as part of the line.

    :raises MalformedError: naming the line.
    """
    found = _MISPLACED.search(text)
    if found is not None:
        line = text.count("\n", 0, found.end()) + before + 1
        raise MalformedError(
            f"line {line}: begins with a byte order mark (U+FEFF), which kubectl accepts only at the beginning of a "
            "YAML document; remove it"
        )


class _NotJSONError(Exception):
    """The text from ``start`` is not JSON; it may be YAML."""

    def __init__(self, start: int, index: int) -> None:
        self.start, self.index = start, index


def _objects(text: str) -> Iterator[tuple[int, int, int, Any, list[str]]]:
    """JSON objects one after the other, with or without space between them.

    :raises _NotJSONError: YAML may begin with a brace as well, or follow one JSON object after a ``---``.
    """
    doubled: list[str] = []
    decoder = _decoder(doubled)
    index, end = 0, len(text) - len(text.removeprefix(_BOM))
    while True:
        start = _SPACES.match(text, end).end()  # type: ignore[union-attr]
        if start == len(text):
            return
        doubled.clear()
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if index > 1:
                line = text.count("\n", 0, error.pos) + 1
                raise MalformedError(f"line {line}: {error.msg} in a stream of JSON objects") from None
            raise _NotJSONError(start, index) from None
        except RecursionError:
            raise MalformedError(f"nested more than {MAX_DEPTH} levels deep") from None
        index += 1
        yield index, start, end, value, list(doubled)


def _decoder(doubled: list[str]) -> json.JSONDecoder:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    doubled.append(key)
                seen.add(key)
        return made

    def numeral(digits: str) -> float | int:
        if len(digits) > 400:
            raise MalformedError(f"a number of {len(digits)} digits; quote it if it is text")
        try:
            return number(float(digits) if set(digits) & set(".eE") else int(digits))
        except ValueError as error:
            raise MalformedError(str(error)) from None

    def constant(name: str) -> None:
        raise json.JSONDecodeError(f"{name} is not JSON", "", 0)

    return json.JSONDecoder(
        object_pairs_hook=pairs, parse_int=numeral, parse_float=numeral, parse_constant=constant
    )


def _json(piece: str, document: Document, doubled: list[str]) -> Document:
    value = document.value
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        half = "a string holds half of a surrogate pair (\\ud800 to \\udfff)"
        raise MalformedError(f"line {document.line}: {half}; correct it") from None
    if piece.count("{") + piece.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise MalformedError(f"line {document.line}: nested more than {MAX_DEPTH} levels deep")
    start = Spot(document.line, 1, document.line, 1)
    flaws = tuple(TextFlaw(start, Fault(*twice(key))) for key in doubled)
    if flaws:  # read as YAML they have their lines
        try:
            found = Composer(piece, document.before, is_json=True).document()
            flaws = tuple(found.flaws) if found is not None and found.flaws else flaws
        except MalformedError:
            pass
    inexact = _UNUSUAL_NUMBER.search(piece) is not None
    return Document(document.index, document.line, value, flaws, piece, document.before, inexact)


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
