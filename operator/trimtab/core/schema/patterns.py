"""Regular expressions: what matching one costs at most, estimated before it is compiled; and compiled ones, shared.

Rust's regex engine holds the interpreter's lock while it matches, and its worst case is the number of the pattern's
states times the length of the text (https://docs.rs/regex/latest/regex/#untrusted-input). Nested bounded repeats
multiply states: ``((a?){30}){30}`` has about 1,800. So states are estimated, too high rather than too low, and with
them the longest text that a pattern is applied to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakValueDictionary

from pydantic_core import SchemaValidator
from pydantic_core import core_schema as cs

from trimtab.core.violations import Fault

MAX_STATES = 6_000
"""Compiling that many takes about 25 ms at worst (Unicode classes), a value of 250 characters can still be matched."""
STEPS = 1_500_000
"""States times characters of one match; a step is 7 ns at worst, so a match is about 10 ms at worst."""
TOTAL_STEPS = 5 * STEPS
"""The same of all values of one layer of one document together, which are matched in one go."""
TEMPLATE_STATES = 60_000
"""Of all patterns of a template together, which are compiled one a step: about 60 MiB at worst."""
POLICY_STATES = 12_000
"""The same of a policy, which is compiled in one go."""
EACH = 100
"""States that each pattern counts in addition to its own: what matching it keeps in memory is 400 KiB at worst."""

_REPEAT = re.compile(r"\{\s*(\d+)\s*(,\s*(\d+)?\s*)?\}")
_FLAGS = re.compile(r"\?([A-Za-z-]*)([:)])")
_NAME = re.compile(r"\?P?<[^>]*>")
_ESCAPE = re.compile(r"\\(?:[xuU]\{[^}]*\}|[pP](?:\{[^}]*\}|.)|.)", re.DOTALL)
_LARGE = re.compile(r"(.)-([^\x00-\x7f]|\\)|\\[DSWpP]", re.DOTALL)
_IN_CLASS = re.compile(
    r"(?P<posix>\[:\^?[a-z]+:\])|(?P<open>\[\^?\]?)|(?P<close>\])"  # a ] that comes first is a member
    r"|(?P<escape>\\(?:[xuU]\{[^}]*\}|[pP](?:\{[^}]*\}|.)|.))|(?P<char>.)",
    re.DOTALL,
)
_DEPTH, _RANGES = {"open": 1, "close": -1}, {"escape": 1, "char": 1}
_ENOUGH = MAX_STATES * 1_000
_ANY, _SOME_OF_UNICODE, _MUCH_OF_UNICODE = 6, 20, 50
_CASELESS = 3
_FOLDED, _LARGE_RANGE = 500, 500
"""States for each large set in a class of a caseless pattern, and for each class around it: to find both cases of all
characters in it takes about 2 ms."""


class _Sequence:
    """An alternation while it is read: the states so far, and those of its last atom, which a repeat may follow."""

    def __init__(self, around: int = 0) -> None:
        self.around, self.before, self.last = around, 0, 0

    def add(self, states: int) -> None:
        self.before, self.last = min(_ENOUGH, self.before + self.last), states

    def repeat(self, times: int, forks: int) -> None:
        self.last = min(_ENOUGH, self.last * max(1, times) + forks)

    def total(self) -> int:
        return min(_ENOUGH, self.around + self.before + self.last)


class _Reader:
    """Reads a pattern from left to right. Each method reads one part that starts with a known character."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0
        self.groups = [_Sequence(1)]
        self.caseless, self.folded = False, 0

    def states(self) -> int:
        parts: Mapping[str, Callable[[], None]] = {
            "(": self.open_group,
            ")": self.close_group,
            "[": self.read_class,
            "{": self.read_bounds,
            "\\": self.read_escape,
            **dict.fromkeys("*+?", self.read_quantifier),
        }
        while self.at < len(self.pattern):
            parts.get(self.pattern[self.at], self.read_literal)()
        whole = sum(group.total() for group in self.groups)  # more than one group if one is never closed
        return min(_ENOUGH, whole * _CASELESS + self.folded * _FOLDED if self.caseless else whole)

    def open_group(self) -> None:
        flags = _FLAGS.match(self.pattern, self.at + 1)
        if flags is None:
            self.groups.append(_Sequence(2))
            name = _NAME.match(self.pattern, self.at + 1)
            self.at = name.end() if name else self.at + 1
            return
        if flags[2] == ":":
            self.groups.append(_Sequence())
        self.at, self.caseless = flags.end(), self.caseless or "i" in flags[1]

    def close_group(self) -> None:
        if len(self.groups) == 1:
            self.read_literal()
        else:
            total = self.groups.pop().total()
            self.groups[-1].add(total)
            self.at += 1

    def read_class(self) -> None:
        size, end = _class(self.pattern, self.at)
        self._add(size, end)

    def read_bounds(self) -> None:
        bounds = _REPEAT.match(self.pattern, self.at)
        if bounds is None:
            self.read_literal()
        else:
            least = int(bounds[1])
            most = int(bounds[3]) if bounds[3] else least
            self.groups[-1].repeat(max(least, most), most if bounds[2] else 0)
            self.at = bounds.end()

    def read_escape(self) -> None:
        escape = _ESCAPE.match(self.pattern, self.at)
        end = escape.end() if escape else self.at + 1
        self._add(_escaped(self.pattern[self.at : end]), end)

    def read_quantifier(self) -> None:
        self.groups[-1].repeat(1, 1)
        self.at += 1

    def read_literal(self) -> None:
        char = self.pattern[self.at]
        self.groups[-1].add(_ANY if char == "." else len(char.encode(errors="surrogatepass")))
        self.at += 1

    def _add(self, states: int, end: int) -> None:
        """Add a class or an escape, which ends at ``end``."""
        self.groups[-1].add(states)
        self.folded += _folded(self.pattern[self.at : end]) if self.caseless else 0
        self.at = end


@lru_cache(maxsize=2048)
def states(pattern: str) -> int:
    """About how many states the pattern has, never far too few. A pattern that does not parse may have any number."""
    return _Reader(pattern).states()


def _class(pattern: str, at: int) -> tuple[int, int]:
    """The states of a bracketed class that starts at ``at``, and where it ends."""
    opened = pattern[at : at + 2]
    depth, size, ranges = 1, 1 + _class_member("open", opened), 0
    end = at + (2 if opened == "[^" else 1)
    end += pattern[end : end + 1] == "]"
    for token in _IN_CLASS.finditer(pattern, end):
        kind, end = token.lastgroup or "", token.end()
        depth += _DEPTH.get(kind, 0)
        if depth == 0:
            break
        size += _class_member(kind, token[0])
        ranges += -1 if token[0] == "-" else _RANGES.get(kind, 0)  # a-z is one
    return size + max(0, ranges) // 8, end


def _class_member(kind: str, text: str) -> int:
    if kind == "escape":
        return _escaped(text) - 1
    if kind == "open":
        return _ANY if "^" in text else 0
    return _ANY if kind == "char" and not text.isascii() else 0


def _folded(text: str) -> int:
    """How many large sets of characters a class or an escape of a caseless pattern makes."""
    large = sum(
        found[2] in (None, "\\") or ord(found[2]) - ord(found[1]) > _LARGE_RANGE
        for found in _LARGE.finditer(text)
    )
    return large + max(0, text.count("[") - 1) if large else 0


def _escaped(text: str) -> int:
    kind = text[1:2]
    if kind in ("w", "W", "p", "P", "b", "B"):
        return _MUCH_OF_UNICODE if kind not in ("b", "B") else 1
    if kind in ("d", "D", "s", "S"):
        return _SOME_OF_UNICODE
    return _ANY if kind in ("x", "u", "U") else 1


def longest(pattern: str) -> int:
    """The most characters of a text that the pattern is applied to."""
    return STEPS // max(1, states(pattern))


def problem(pattern: str, max_length: int | None) -> Fault | None:
    """Why the pattern costs too much, if it does."""
    if any("x" in flags[1] for flags in _FLAGS.finditer(pattern)):
        problem = "pattern uses the flag x, with which its cost cannot be estimated"
        return Fault(problem, "write it without spaces and comments")
    size = states(pattern)
    if size > MAX_STATES:
        about = f"more than {_ENOUGH:,}" if size == _ENOUGH else f"about {size:,}"
        problem = (
            f"pattern is too large: {about} states, the limit is {MAX_STATES:,} (nested repeats multiply, and \\w or "
            "\\p{..} counts 50)"
        )
        return Fault(problem, "simplify it")
    most = longest(pattern)
    if max_length is None or max_length <= most:
        return None
    problem = (
        f"pattern has about {size:,} states, so it can check texts of at most {most:,} characters, and maxLength is "
        f"{max_length:,}"
    )
    return Fault(problem, "lower maxLength or simplify the pattern")


@dataclass(slots=True)
class Budget:
    """The states of all patterns of one object together; equal patterns count once."""

    limit: int
    known: dict[str, int] = field(default_factory=dict)

    def problem(self, *more: str | None) -> Fault | None:
        """Counts patterns, and returns why there is no room for one of them, if there is none. A pattern that is too
        large on its own is never compiled and does not count."""
        for pattern in more:
            if pattern is None or pattern in self.known or states(pattern) > MAX_STATES:
                continue
            self.known[pattern] = states(pattern) + EACH
            total = sum(self.known.values())
            if total > self.limit:
                problem = (
                    f"the patterns up to this one have {total:,} states together ({EACH} more for each of the "
                    f"{len(self.known)} different ones), the limit is {self.limit:,}"
                )
                return Fault(problem, "simplify patterns, or use the same one for several keys")
        return None


def characters(value: object) -> int:
    """The characters of a text, or of all items of a list or map together."""
    if isinstance(value, str):
        return len(value)
    items: Iterable[object] = ()
    if isinstance(value, list | dict):
        items = value if isinstance(value, list) else value.values()
    return sum(len(item) for item in items if isinstance(item, str))


class Matcher:
    """A compiled pattern, as a function that returns a text if it matches."""

    __slots__ = ("__weakref__", "validator")

    def __init__(self, pattern: str) -> None:
        """:raises pydantic_core.SchemaError: the pattern is not valid."""
        self.validator = SchemaValidator(cs.str_schema(pattern=pattern, regex_engine="rust-regex"))

    def __call__(self, text: str) -> str:
        """:raises pydantic_core.ValidationError: it does not match."""
        matched: str = self.validator.validate_python(text)
        return matched


_matchers: WeakValueDictionary[str, Matcher] = WeakValueDictionary()


def matcher(pattern: str) -> Matcher:
    """One compiled pattern for each text, however many keys, constraints and templates use it: a large one takes 25 ms
    to compile and some megabytes.

    :raises pydantic_core.SchemaError: the pattern is not valid.
    """
    known = _matchers.get(pattern)
    if known is None:
        known = _matchers[pattern] = Matcher(pattern)
    return known
