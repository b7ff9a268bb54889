"""What can be wrong with what users write: values, never exceptions, so that one pass finds all of it.

A violation states what is wrong and what to do; it never contains the value of a sensitive key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from trimtab.core.suggestion import Guess
from trimtab.core.text import visible

TOO_LARGE = "tooLarge"
"""The rule of all that is rejected only for its size."""
ENOUGH = 1000
"""Violations or notices of one object that end the search for more: keys times groups may be a million."""
REPORTED = 20
"""A status lists at most this many violations or notices; a last entry counts the others."""
_OWN_LAYERS = frozenset(("", "user", "template", "policy", "object"))
"""Layers of which an object has only one, so that its messages need not name them."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why a document is rejected.

    ``key`` is a key's dotted name, or a path such as ``outputs[app].include`` for a template; ``layer`` is the layer
    that set it (default, profile/NAME, group/NAME, policy/NAME, user, template); ``rule`` is the broken rule's name.
    ``problem`` is what is wrong and ``remedy`` what to do, ``message`` both. ``suggestion`` is a valid value or name,
    or a guess that is computed when it is read, as ``nearest``. ``section`` is the part of a policy that is wrong about
    the key (enforced, constraints) if that is not its values, and ``entry`` the item or name within the key's value.
    """

    key: str
    layer: str
    rule: str
    problem: str
    suggestion: str | Guess = field(default="", compare=False, repr=False)
    remedy: str = field(default="", kw_only=True)
    section: str = field(default="", kw_only=True, compare=False, repr=False)
    entry: tuple[str, ...] = field(default=(), kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("key", "layer", "problem", "remedy"):
            object.__setattr__(self, name, visible(getattr(self, name)))

    @property
    def nearest(self) -> str:
        found = self.suggestion if isinstance(self.suggestion, str) else self.suggestion.found()
        return visible(found)

    @property
    def message(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem

    @property
    def subject(self) -> str:
        """What is wrong, with its layer if the object has several of that kind: ``group/free: temp``."""
        where = "" if self.layer in _OWN_LAYERS or self.layer.startswith("policy/") else self.layer
        return ": ".join(filter(None, (where, self.key)))

    @property
    def question(self) -> str:
        """``did you mean agent.temperature?``, unless the remedy or the limit already names it."""
        near = self.nearest
        known = not near or self.rule in ("minimum", "maximum") or near in self.remedy
        return "" if known else f"did you mean {near}?"

    def __str__(self) -> str:
        hint = f" ({question})" if (question := self.question) else ""
        return f"{self.subject}: {self.message}{hint}" if self.subject else f"{self.message}{hint}"


class Fault(NamedTuple):
    """What is wrong and what to do, without the place."""

    problem: str
    remedy: str
    suggestion: str | Guess = ""

    def at(self, key: str, layer: str, rule: str) -> Violation:
        return Violation(key, layer, rule, self.problem, self.suggestion, remedy=self.remedy)

    def __str__(self) -> str:
        return str(self.at("", "", ""))


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was accepted and that its author should notice."""

    key: str
    reason: str
    message: str

    def __post_init__(self) -> None:
        for name in ("key", "message"):
            object.__setattr__(self, name, visible(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class RejectedError(ValueError):
    """A template or policy that is not valid; ``violations`` are the reasons."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(dict.fromkeys(violations))
        super().__init__("; ".join(str(v) for v in self.violations[:3]))


def invalid(key: str, layer: str) -> Violation:
    """The only violation of a sensitive key's value or limit: which rules are broken, how many, and the limits would
    each reveal something of the value."""
    fault = Fault("is not valid (no details of a sensitive key)", "compare it with the key's declaration")
    return fault.at(key, layer, "invalid")


def bounded(items: tuple[Violation, ...]) -> tuple[Violation, ...]:
    """At most :data:`REPORTED` violations, the last one counting the others; their guesses computed."""
    shown = items if len(items) <= REPORTED else items[: REPORTED - 1]
    settled = tuple(replace(item, suggestion=item.nearest) for item in shown)
    if shown is items:
        return settled
    return (*settled, Violation("*", "", "more", f"and {len(items) - len(shown)} more violations"))


def summary(violations: tuple[Violation, ...]) -> str:
    """One line for a condition's message."""
    first = "; ".join(str(v) for v in violations[:3])
    rest = len(violations) - 3
    return f"{first}; and {rest} more" if rest > 0 else first
