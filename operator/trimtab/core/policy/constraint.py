"""One policy's constraint on one key, compiled: what it allows.

Patterns run on Rust's regex engine, as those of keys do, within the same limits (:mod:`trimtab.core.schema.patterns`):
a text that is too long to be checked against the constraint's patterns is not allowed.

=====================  ==============================================
type                   fields that apply
=====================  ==============================================
String                 enum, pattern, notPattern
Integer, Number        enum, minimum, maximum
Duration               enum (as text), minimum, maximum (by length)
Boolean                none: enforce a value instead
StringList, StringMap  maxItems; of each item: as for String
NumberMap              maxItems; of each item: as for Number
=====================  ==============================================
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import SchemaError

from trimtab.api.policy_rollout import Constraint as ConstraintSpec
from trimtab.core import durations
from trimtab.core.schema import patterns
from trimtab.core.schema.declaration import camel, costly, empty_enum, inapplicable, is_number, unusable
from trimtab.core.schema.key import Key, Value, element
from trimtab.core.schema.key_messages import uncompiled
from trimtab.core.schema.layer import check_value
from trimtab.core.schema.patterns import Matcher
from trimtab.core.schema.types import INT64
from trimtab.core.suggestion import Guess
from trimtab.core.text import short
from trimtab.core.violations import Fault, Notice, Violation, invalid

_TEXTS = frozenset({"enum", "pattern", "not_pattern"})
_NUMBERS = frozenset({"enum", "minimum", "maximum"})
_APPLIES: Mapping[str, frozenset[str]] = {
    "String": _TEXTS,
    "Integer": _NUMBERS,
    "Number": _NUMBERS,
    "Boolean": frozenset(),
    "Duration": _NUMBERS,
    "StringList": _TEXTS | {"max_items"},
    "NumberMap": _NUMBERS | {"max_items"},
    "StringMap": _TEXTS | {"max_items"},
}
LIMITS = ("minimum", "maximum", "enum", "pattern", "not_pattern", "max_items")


@dataclass(frozen=True, slots=True)
class Bound:
    """The least or greatest value that is allowed. ``at`` is for comparisons: nanoseconds of a Duration."""

    at: int | float
    value: Value


@dataclass(frozen=True, slots=True)
class Constraint:
    """What one policy allows of one key. ``element`` is the key, or what each of its items must be."""

    policy: str
    key: Key
    element: Key
    low: Bound | None
    high: Bound | None
    members: frozenset[Value] | None
    matches: Matcher | None
    excludes: Matcher | None
    max_items: int | None
    drops: bool
    reason: str
    states: int = 0
    """Of its patterns together: what one character of a value costs to check."""

    def is_too_long(self, value: Value) -> bool:
        """Whether a text, or all texts of a list or map, are too long for the patterns."""
        return self.states > 0 and self.states * patterns.characters(value) > patterns.STEPS

    def allows(self, value: Value) -> bool:
        """Whether the whole value is allowed. It must be a valid value of the key's type."""
        if self.is_too_long(value):
            return False
        if isinstance(value, list | dict):
            if self.max_items is not None and len(value) > self.max_items:
                return False
            return all(map(self.allows_item, value if isinstance(value, list) else value.values()))
        return self.allows_item(value)

    def allows_item(self, item: Value) -> bool:
        """Whether one item of a list or map is allowed, or the value of any other key."""
        if self.low is not None and measure(self.element.type, item) < self.low.at:
            return False
        if self.high is not None and measure(self.element.type, item) > self.high.at:
            return False
        if self.members is not None and item not in self.members:
            return False
        if self.matches is not None and not self.matches.validator.isinstance_python(item):
            return False
        return self.excludes is None or not self.excludes.validator.isinstance_python(item)


def measure(kind: str, value: Any) -> int | float:
    """What limits of the type ``kind`` compare: nanoseconds of a Duration, else the number itself."""
    return durations.nanoseconds(value) if kind == "Duration" else value


def own_span(made: Key) -> tuple[int | float, int | float]:
    """The least and the greatest value that a key's own limits allow."""
    least: int | float
    most: int | float
    least, most = (-sys.float_info.max, sys.float_info.max) if made.type == "Number" else INT64
    with suppress(ValueError):  # an infinite limit is none
        if made.spec.minimum is not None:
            least = max(least, _bound(made.type, made.spec.minimum, least=True).at)
    with suppress(ValueError):
        if made.spec.maximum is not None:
            most = min(most, _bound(made.type, made.spec.maximum, least=False).at)
    return least, most


def own_members(made: Key) -> list[Value] | None:
    """The only values that a key's own ``enum`` allows, as kept in memory."""
    if not made.spec.enum:
        return None
    return [made.validator.validate_python(member) for member in made.spec.enum]


def _bound(kind: str, limit: Any, *, least: bool) -> Bound:
    """:raises ValueError: it is not a limit for values of that type."""
    if kind == "Duration":
        return Bound(durations.nanoseconds(str(limit)), str(limit))
    if not is_number(limit):
        raise ValueError("not a number")
    if isinstance(limit, float) and not math.isfinite(limit):
        raise ValueError("not a finite number")
    if kind == "Integer":
        whole = math.ceil(limit) if least else math.floor(limit)
        return Bound(whole, whole)
    number = _within(limit, least=least)
    return Bound(number, number)


def _within(limit: float, *, least: bool) -> float:
    """The nearest float that the limit allows."""
    number = _float(limit)
    if least and number < limit:
        return math.nextafter(number, math.inf)
    return math.nextafter(number, -math.inf) if not least and number > limit else number


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond all floats
        return math.copysign(math.inf, 1 if number > 0 else -1)


def compile_constraint(
    spec: ConstraintSpec, key: Key, policy: str, coercion: str
) -> tuple[Constraint | None, list[Violation], list[Notice]]:
    """A constraint for its key, or what is wrong with it. No message shows a limit of a sensitive key."""
    draft = _Draft(spec, key, f"policy/{policy}")
    if not draft.fields_apply():
        return None, draft.found, []
    made = Constraint(
        policy=policy,
        key=key,
        element=draft.element,
        low=draft.bound("minimum"),
        high=draft.bound("maximum"),
        members=draft.members(coercion),
        matches=draft.regex("pattern"),
        excludes=draft.regex("not_pattern"),
        max_items=spec.max_items,
        drops=spec.on_violation == "Drop",
        reason=spec.reason or "",
        states=sum(patterns.states(p) for p in (spec.pattern, spec.not_pattern) if p is not None),
    )
    draft.check_order(made)
    if draft.found:
        return None, draft.found, []
    draft.check_possible(made)
    return made, draft.found, draft.notices


class _Draft:
    """A constraint while it is compiled, with all that was found."""

    def __init__(self, spec: ConstraintSpec, key: Key, layer: str) -> None:
        self.spec, self.key, self.element, self.layer = spec, key, element(key), layer
        self.found: list[Violation] = []
        self.notices: list[Notice] = []

    def wrong(self, rule: str, problem: str, remedy: str, suggestion: str | Guess = "") -> None:
        fault = Fault(f"constraint: {problem}", remedy, suggestion)
        self.found.append(replace(fault.at(self.key.name, self.layer, camel(rule)), section="constraints"))

    def fields_apply(self) -> bool:
        """Whether there is a limit, and all of them apply to the type."""
        given = [name for name in LIMITS if getattr(self.spec, name) is not None]
        if not given:
            self.wrong("constraint", "it has no limit", "set a limit or remove the constraint")
        usable = _APPLIES[self.key.type]
        for name in given:
            if name not in usable:
                self.wrong(name, *inapplicable(name, self.key.type, usable, "enforce a value instead"))
        if self.spec.enum is not None and not self.spec.enum:
            self.wrong("enum", *empty_enum())
        return not self.found

    def bound(self, name: str) -> Bound | None:
        limit = getattr(self.spec, name)
        try:
            return None if limit is None else _bound(self.element.type, limit, least=name == "minimum")
        except ValueError as error:
            self.wrong(name, *unusable(name, self.element.type, limit, str(error), hidden=self.key.sensitive))
            return None

    def members(self, coercion: str) -> frozenset[Value] | None:
        if self.spec.enum is None:
            return None
        if self.element.states * patterns.characters(self.spec.enum) > patterns.STEPS:
            self.wrong(
                "enum", "enum has too much text to check it against the key's own pattern", "shorten it"
            )
            return None
        members: list[Value] = []
        for member in self.spec.enum:
            value, problems, notices = check_value(self.element, member, self.layer, coercion)
            if value is not None:
                members.append(value)
                self.notices += notices
            elif self.key.sensitive:
                self.found.append(self._invalid())
                return None
            else:
                known = [str(own) for own in self.element.spec.enum or ()]
                problem = f"the key can never have the member {short(member)} of enum: {problems[0].problem}"
                self.wrong("enum", problem, "correct or remove it", Guess(str(member), known))
        return frozenset(members)

    def regex(self, name: str) -> Matcher | None:
        pattern, hidden = getattr(self.spec, name), self.key.sensitive
        if pattern is None:
            return None
        if fault := costly(pattern, None, hidden=hidden):
            self.wrong(name, *fault)
            return None
        try:
            return patterns.matcher(pattern)
        except SchemaError as error:
            self.wrong(name, *uncompiled(camel(name), pattern, error, hidden=hidden))
            return None

    def check_order(self, made: Constraint) -> None:
        if made.low is not None and made.high is not None and made.low.at > made.high.at:
            shown = "minimum and maximum"
            if not self.key.sensitive:
                shown = f"minimum {self.spec.minimum} and maximum {self.spec.maximum}"
            self.wrong("minimum", f"no value is between {shown}", "lower minimum or raise maximum")

    def check_possible(self, made: Constraint) -> None:
        """Find out whether a value can satisfy both the constraint and the key's own limits, as far as that can be
        computed. Limits of a sensitive key are the template author's: which of them it breaks is not reported."""
        conflict = self._conflict(made)
        if conflict and self.key.sensitive:
            self.found.append(self._invalid())
        elif conflict:
            self.wrong(*conflict)

    def _conflict(self, made: Constraint) -> tuple[str, str, str] | None:
        fewest = self.key.spec.min_items or 0
        if made.max_items is not None and made.max_items < fewest:
            return "max_items", f"maxItems is below the key's own minItems {fewest}", "raise it"
        candidates = own_members(self.element) if made.members is None else made.members
        if candidates is None:
            return self._conflict_of_range(made)
        if any(map(made.allows_item, candidates)):
            return None
        return "enum", "no value that the key can have satisfies it", "widen it"

    def _conflict_of_range(self, made: Constraint) -> tuple[str, str, str] | None:
        if made.low is None and made.high is None:
            return None
        least, most = own_span(self.element)
        own = self.element.spec
        if made.low is not None and made.low.at > most:
            limit = most if own.maximum is None else own.maximum
            return "minimum", f"minimum is above the key's own maximum {limit}", "lower it"
        if made.high is not None and made.high.at < least:
            limit = least if own.minimum is None else own.minimum
            return "maximum", f"maximum is below the key's own minimum {limit}", "raise it"
        return None

    def _invalid(self) -> Violation:
        return replace(invalid(self.key.name, self.layer), section="constraints")
