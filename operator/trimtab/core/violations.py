"""What can be wrong with what people write: values, never exceptions, so that one reading finds all of it.

A violation names what is wrong and what to do; it never contains the value of a sensitive key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from trimtab.core.suggestion import Guess
from trimtab.core.text import visible

ENOUGH = 1000
"""Violations or notices of one object that end the search for more: keys times groups may be a million."""
REPORTED = 20
"""A status lists this many violations or notices at most; the rest is counted in a last entry."""
_OWN_LAYERS = frozenset(("", "user", "template", "policy", "object"))
"""Layers that an object has one of, so that its messages need not name them."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One reason why a document is refused.

    ``key`` is a key's dotted name, or a path such as ``outputs[app].include`` for a template; ``layer`` says
    who wrote it (default, profile/NAME, group/NAME, policy/NAME, user, template); ``rule`` is the broken rule's
    name. ``problem`` says what is wrong and ``remedy`` what to do. ``suggestion`` is a value or name that would be
    valid, or a guess that is worked out when it is read, as ``nearest``. ``section`` names the part of a policy that
    is wrong about the key (enforced, constraints) where that is not its values, and ``entry`` the item or name
    within the key's value.
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
        """What is wrong, and where it stands if the object has several such places: ``group/free: temp``."""
        where = "" if self.layer in _OWN_LAYERS or self.layer.startswith("policy/") else self.layer
        return ": ".join(filter(None, (where, self.key)))

    @property
    def question(self) -> str:
        """``did you mean agent.temperature?``, unless the remedy or the limit says so already."""
        near = self.nearest
        said = not near or self.rule in ("minimum", "maximum") or near in self.remedy
        return "" if said else f"did you mean {near}?"

    def __str__(self) -> str:
        hint = f" ({question})" if (question := self.question) else ""
        return f"{self.subject}: {self.message}{hint}" if self.subject else f"{self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that was accepted, but that its author should know."""

    key: str
    reason: str
    message: str

    def __post_init__(self) -> None:
        for name in ("key", "message"):
            object.__setattr__(self, name, visible(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class RejectedError(ValueError):
    """A template that cannot be served; ``violations`` says why."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(dict.fromkeys(violations))
        super().__init__("; ".join(str(v) for v in self.violations[:3]))


def invalid(key: str, layer: str) -> Violation:
    """All that is ever said of what is wrong with a sensitive key's value or limit: the broken rule, the number of
    broken rules and the limit would each tell other people something of it."""
    problem = "is not valid; of a sensitive key no more is said"
    return Violation(key, layer, "invalid", problem, remedy="compare it with the key's declaration")


def bounded(items: tuple[Violation, ...]) -> tuple[Violation, ...]:
    """At most :data:`REPORTED` violations, the last one counting what was left out; their guesses worked out."""
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
