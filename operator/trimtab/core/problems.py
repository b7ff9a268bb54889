"""What can be wrong with what somebody wrote: values, never exceptions, so that one reading finds all of it.

A message names what is wrong and what to do; it never contains the value of a sensitive key.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

REPORTED = 20
"""A status lists this many violations or notices at most; the rest is counted in a last entry."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why a document is refused.

    ``key`` is a key's dotted name, or a path such as ``outputs[app].include`` for a template; ``layer`` says
    who wrote it (default, profile/NAME, group/NAME, policy/NAME, user, template); ``rule`` is the broken rule's
    name.
    """

    key: str
    layer: str
    rule: str
    message: str
    nearest: str = ""

    def __str__(self) -> str:
        guessed = self.nearest and self.rule not in ("minimum", "maximum")  # those name their limit anyway
        hint = f" (did you mean {self.nearest}?)" if guessed else ""
        return f"{self.key}: {self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was accepted, but that its author should know."""

    key: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class RejectedError(ValueError):
    """A template that cannot be served; ``violations`` says why."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(str(v) for v in self.violations[:3]))


def invalid(key: str, layer: str) -> Violation:
    """All that is ever said of what is wrong with a sensitive key's value or limit: the broken rule, the number of
    broken rules and the limit would each tell other people something of it."""
    message = "is not valid; of a sensitive key no more is said: compare it with the key's declaration"
    return Violation(key, layer, "invalid", message)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name closest to a misspelt one, or an empty string."""
    found = get_close_matches(word[:200], list(known), n=1, cutoff=0.6)
    return found[0] if found else ""


def short(value: object, length: int = 60) -> str:
    """A value as JSON, cut short: how messages show it. Never for a sensitive key."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else text[: length - 3] + "..."


def bounded(items: tuple[Violation, ...]) -> tuple[Violation, ...]:
    """At most :data:`REPORTED` violations, the last one counting what was left out."""
    if len(items) <= REPORTED:
        return items
    rest = len(items) - (REPORTED - 1)
    return (*items[: REPORTED - 1], Violation("*", "", "more", f"and {rest} more violations"))


def summary(violations: tuple[Violation, ...]) -> str:
    """One line for a condition's message."""
    first = "; ".join(str(v) for v in violations[:3])
    rest = len(violations) - 3
    return f"{first}; and {rest} more" if rest > 0 else first
