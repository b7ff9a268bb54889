"""What a regular expression may cost, told before it is compiled.

Rust's regex engine holds the interpreter's lock while it matches, and its worst case is the number of the pattern's
states times the length of the text (https://docs.rs/regex/latest/regex/#untrusted-input). Nested bounded repeats
multiply states: ``((a?){30}){30}`` has about 1,800. So states are estimated, too high rather than too low, and with
them the longest text that a pattern is applied to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

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
"""States that each pattern counts beside its own: what matching it keeps in memory is 400 KiB at worst."""

_REPEAT = re.compile(r"\{\s*(\d+)\s*(,\s*(\d+)?\s*)?\}")
_FLAGS = re.compile(r"\?([A-Za-z-]*)([:)])")
_NAME = re.compile(r"\?P?<[^>]*>")
_ESCAPE = re.compile(r"\\(?:[xuU]\{[^}]*\}|[pP](?:\{[^}]*\}|.)|.)", re.DOTALL)
_LARGE = re.compile(r"(.)-([^\x00-\x7f]|\\)|\\[DSWpP]", re.DOTALL)
_POSIX = re.compile(r"\[:\^?[a-z]+:\]")
_ENOUGH = MAX_STATES * 1_000
_ANY, _SOME_OF_UNICODE, _MUCH_OF_UNICODE = 6, 20, 50
_CASELESS = 3
_FOLDED, _LARGE_RANGE = 500, 500
"""States for each large set in a class of a caseless pattern, and for each class around it: to find both cases of all
characters in it takes about 2 ms."""


class _Sequence:
    """An alternation that is being read: what is before, and its last atom, which a repeat may follow."""

    def __init__(self, around: int = 0) -> None:
        self.around, self.before, self.last = around, 0, 0

    def add(self, states: int) -> None:
        self.before, self.last = min(_ENOUGH, self.before + self.last), states

    def repeat(self, times: int, forks: int) -> None:
        self.last = min(_ENOUGH, self.last * max(1, times) + forks)

    def total(self) -> int:
        return min(_ENOUGH, self.around + self.before + self.last)


@lru_cache(maxsize=2048)
def states(pattern: str) -> int:
    """About how many states the pattern has, never far too few. What does not parse may have any number."""
    stack = [_Sequence(1)]
    at, caseless, folded = 0, False, 0
    while at < len(pattern):
        char, top = pattern[at], stack[-1]
        if char == "(":
            at, caseless = _opened(pattern, at + 1, stack, caseless)
            continue
        if char == "[":
            size, end = _class(pattern, at)
            folded += _folded(pattern[at:end]) if caseless else 0
            top.add(size)
            at = end
            continue
        if char == "{" and (bounds := _REPEAT.match(pattern, at)):
            least = int(bounds[1])
            most = int(bounds[3]) if bounds[3] else least
            top.repeat(max(least, most), most if bounds[2] else 0)
            at = bounds.end()
            continue
        if char == "\\":
            escape = _ESCAPE.match(pattern, at)
            text = escape[0] if escape else char
            top.add(_escaped(text))
            folded += _folded(text) if caseless else 0
            at += len(text)
            continue
        if char == ")" and len(stack) > 1:
            stack.pop()
            stack[-1].add(top.total())
        elif char in "*+?":
            top.repeat(1, 1)
        else:
            top.add(_ANY if char == "." else len(char.encode(errors="surrogatepass")))
        at += 1
    whole = sum(part.total() for part in stack)  # more than one part if a group is never closed
    return min(_ENOUGH, whole * _CASELESS + folded * _FOLDED if caseless else whole)


def _opened(pattern: str, at: int, stack: list[_Sequence], caseless: bool) -> tuple[int, bool]:
    """After an opening parenthesis: where to go on, and whether letters match in either case somewhere."""
    flags = _FLAGS.match(pattern, at)
    if flags is None:
        stack.append(_Sequence(2))
        name = _NAME.match(pattern, at)
        return (name.end() if name else at), caseless
    if flags[2] == ":":
        stack.append(_Sequence())
    return flags.end(), caseless or "i" in flags[1]


def _class(pattern: str, at: int) -> tuple[int, int]:
    """The states of a bracketed class, and where it ends."""
    depth, size, ranges = 0, 1, 0
    while at < len(pattern):
        char = pattern[at]
        posix = _POSIX.match(pattern, at) if depth else None
        if posix:
            step = len(posix[0])
        elif char == "[":
            depth, step = depth + 1, 1
            if pattern[at + 1 : at + 2] == "^":
                step, size = 2, size + _ANY
            if pattern[at + step : at + step + 1] == "]":
                step += 1  # the first one is itself
        elif char == "]":
            depth, step = depth - 1, 1
            if depth == 0:
                return size + max(0, ranges) // 8, at + 1
        elif char == "\\":
            escape = _ESCAPE.match(pattern, at)
            text = escape[0] if escape else char
            step, size, ranges = len(text), size + _escaped(text) - 1, ranges + 1
        else:
            step, ranges = 1, ranges + (-1 if char == "-" else 1)  # a-z is one
            size += 0 if char.isascii() else _ANY
        at += step
    return size + max(0, ranges) // 8, at


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


def problem(pattern: str, max_length: int | None) -> tuple[str, str] | None:
    """Why the pattern costs too much, and what to do; None if it does not."""
    if any("x" in flags[1] for flags in _FLAGS.finditer(pattern)):
        return (
            "pattern uses the flag x, with which its cost cannot be told",
            "write it without spaces and comments",
        )
    size = states(pattern)
    if size > MAX_STATES:
        about = f"more than {_ENOUGH:,}" if size == _ENOUGH else f"about {size:,}"
        return (
            f"pattern is too large: {about} states, the limit is {MAX_STATES:,} (nested repeats multiply, and \\w "
            "or \\p{..} counts 50)",
            "simplify it",
        )
    most = STEPS // max(1, size)
    if max_length is not None and max_length > most:
        return (
            f"pattern has about {size:,} states, so it can check texts of at most {most:,} characters, and maxLength "
            f"is {max_length:,}",
            "lower maxLength or simplify the pattern",
        )
    return None


@dataclass(slots=True)
class Budget:
    """The states of all patterns of one object together; of equal ones the first alone counts."""

    limit: int
    known: dict[str, int] = field(default_factory=dict)

    def problem(self, pattern: str | None) -> tuple[str, str] | None:
        """Why there is no room for one more pattern, and what to do; None if there is, and then it has been counted.
        One that is too large by itself is never compiled and does not count."""
        if pattern is None or pattern in self.known or states(pattern) > MAX_STATES:
            return None
        self.known[pattern] = states(pattern) + EACH
        total = sum(self.known.values())
        if total <= self.limit:
            return None
        return (
            f"the patterns up to this one have {total:,} states together ({EACH} more for each of the "
            f"{len(self.known)} different ones), the limit is {self.limit:,}",
            "simplify patterns, or use the same one for several keys",
        )


def characters(value: object) -> int:
    """Of a text, or of all items of a list or map together."""
    if isinstance(value, str):
        return len(value)
    items: Iterable[object] = ()
    if isinstance(value, list | dict):
        items = value if isinstance(value, list) else value.values()
    return sum(len(item) for item in items if isinstance(item, str))
