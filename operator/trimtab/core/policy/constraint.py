"""One policy's constraint on one key, compiled: what it allows.

Patterns run on Rust's regex engine, as those of keys do, and cost no more (:mod:`trimtab.core.schema.patterns`): a text
that is too long to be checked against the constraint's patterns is not allowed.

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
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import SchemaError

from trimtab.api.policy_rollout import Constraint as ConstraintSpec
from trimtab.core import durations
from trimtab.core.schema import patterns
from trimtab.core.schema.key import INT64, Key, Value, camel, element
from trimtab.core.schema.key_messages import uncompiled
from trimtab.core.schema.matchers import Matcher, matcher
from trimtab.core.schema.template import check_value
from trimtab.core.suggestion import Guess
from trimtab.core.text import short
from trimtab.core.violations import Notice, Violation, invalid

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
    """The least or greatest value that is allowed. ``at`` is what compares: a Duration's is in nanoseconds."""

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
    """Of its patterns together: what a character of a value costs to check."""

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
    """What limits of that type compare: nanoseconds of a Duration, else the number itself."""
    return durations.nanoseconds(value) if kind == "Duration" else value


def own_span(made: Key) -> tuple[int | float, int | float]:
    """The least and the greatest that a key's own limits allow."""
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
    """The only values that a key's own ``enum`` allows, as they are in memory."""
    if not made.spec.enum:
        return None
    return [made.validator.validate_python(member) for member in made.spec.enum]


def _bound(kind: str, limit: Any, *, least: bool) -> Bound:
    """:raises ValueError: it is no limit for values of that type."""
    if kind == "Duration":
        return Bound(durations.nanoseconds(str(limit)), str(limit))
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise ValueError("not a number")
    if isinstance(limit, float) and not math.isfinite(limit):
        raise ValueError("not a finite number")
    if kind == "Integer":
        whole = math.ceil(limit) if least else math.floor(limit)
        return Bound(whole, whole)
    number = _float(limit)
    if least and number < limit:
        number = math.nextafter(number, math.inf)
    elif not least and number > limit:
        number = math.nextafter(number, -math.inf)
    return Bound(number, number)


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond all floats
        return math.copysign(math.inf, 1 if number > 0 else -1)


def compile_constraint(
    spec: ConstraintSpec, key: Key, policy: str, coercion: str
) -> tuple[Constraint | None, list[Violation], list[Notice]]:
    """A constraint for its key; or what is wrong with it. Nothing said shows a limit of a sensitive key."""
    draft = _Draft(spec, key, element(key), f"policy/{policy}")
    found = draft.misplaced()
    if found:
        return None, found, []
    low, high, found = draft.span()
    members, problems, notices = draft.members(coercion)
    found += problems
    matches, problems = draft.regex("pattern")
    found += problems
    excludes, problems = draft.regex("not_pattern")
    found += problems
    if found:
        return None, found, []
    made = Constraint(
        policy=policy,
        key=key,
        element=draft.element,
        low=low,
        high=high,
        members=members,
        matches=matches,
        excludes=excludes,
        max_items=spec.max_items,
        drops=spec.on_violation == "Drop",
        reason=spec.reason or "",
        states=sum(patterns.states(p) for p in (spec.pattern, spec.not_pattern) if p is not None),
    )
    return made, draft.hopeless(made), notices


@dataclass(frozen=True, slots=True)
class _Draft:
    """A constraint that is being judged."""

    spec: ConstraintSpec
    key: Key
    element: Key
    layer: str

    def wrong(self, rule: str, problem: str, remedy: str, suggestion: str | Guess = "") -> Violation:
        return Violation(
            self.key.name,
            self.layer,
            camel(rule),
            f"constraint: {problem}",
            remedy=remedy,
            suggestion=suggestion,
            section="constraints",
        )

    def invalid(self) -> Violation:
        return replace(invalid(self.key.name, self.layer), section="constraints")

    def misplaced(self) -> list[Violation]:
        """Fields that do not apply to the type, or no field at all."""
        given = [name for name in LIMITS if getattr(self.spec, name) is not None]
        if not given:
            return [self.wrong("constraint", "it limits nothing", "give it a limit or remove it")]
        applies = _APPLIES[self.key.type]
        usable = ", ".join(camel(name) for name in sorted(applies))
        remedy = f"use {usable}" if usable else "enforce a value instead"
        found = [
            self.wrong(name, f"{camel(name)} does not apply to {self.key.type}", remedy)
            for name in given
            if name not in applies
        ]
        if self.spec.enum is not None and not self.spec.enum:
            found.append(self.wrong("enum", "enum allows nothing at all", "name the values or remove it"))
        return found

    def span(self) -> tuple[Bound | None, Bound | None, list[Violation]]:
        bounds: dict[str, Bound] = {}
        found = []
        for name in ("minimum", "maximum"):
            limit = getattr(self.spec, name)
            try:
                if limit is not None:
                    bounds[name] = _bound(self.element.type, limit, least=name == "minimum")
            except ValueError as error:
                remedy = "write a number, without quotes"
                if self.element.type == "Duration":
                    near = "" if self.key.sensitive else durations.nearest(limit)
                    remedy = f"write {near}" if near else "write a number and its unit, as 90s or 5m"
                found.append(self.wrong(name, f"{name} is {error}{self._shown(limit)}", remedy))
        low, high = bounds.get("minimum"), bounds.get("maximum")
        if low is not None and high is not None and low.at > high.at:
            both = "" if self.key.sensitive else f": {self.spec.minimum} and {self.spec.maximum}"
            problem = f"nothing is between minimum and maximum{both}"
            found.append(self.wrong("minimum", problem, "lower minimum or raise maximum"))
        return low, high, found

    def members(self, coercion: str) -> tuple[frozenset[Value] | None, list[Violation], list[Notice]]:
        if self.spec.enum is None:
            return None, [], []
        if self.element.states * patterns.characters(self.spec.enum) > patterns.STEPS:
            problem = "enum has too much text to check it against the key's own pattern"
            return None, [self.wrong("enum", problem, "shorten it")], []
        made, found, notices = [], [], []
        for member in self.spec.enum:
            value, problems, notice = check_value(self.element, member, self.layer, coercion)
            if value is None:
                if self.key.sensitive:
                    return None, [self.invalid()], []
                found.append(self._impossible(member, problems[0]))
                continue
            made.append(value)
            notices += [notice] if notice else []
        return frozenset(made), found, notices

    def _impossible(self, member: Any, why: Violation) -> Violation:
        """A member of ``enum`` that is no value of the key."""
        known = [str(own) for own in self.element.spec.enum or ()]
        problem = f"the key can never have the member {short(member)} of enum: {why.problem}"
        return self.wrong("enum", problem, "correct or remove it", Guess(str(member), known))

    def regex(self, name: str) -> tuple[Matcher | None, list[Violation]]:
        pattern = getattr(self.spec, name)
        if pattern is None:
            return None, []
        costly = patterns.problem(pattern, None)
        if costly:
            problem, remedy = costly
            shown = "" if self.key.sensitive else f": {short(pattern)}"
            return None, [self.wrong(name, problem + shown, remedy)]
        try:
            return matcher(pattern), []
        except SchemaError as error:
            return None, [
                self.wrong(name, *uncompiled(camel(name), pattern, error, hidden=self.key.sensitive))
            ]

    def hopeless(self, made: Constraint) -> list[Violation]:
        """Why no value can ever satisfy both the constraint and the key's own limits, where that can be told. Limits of
        a sensitive key are the template author's: which of them it breaks is not said."""
        found = self._hopeless(made)
        return [self.invalid()] if found and self.key.sensitive else found

    def _hopeless(self, made: Constraint) -> list[Violation]:
        fewest = self.key.spec.min_items or 0
        if made.max_items is not None and made.max_items < fewest:
            return [self.wrong("max_items", f"maxItems is below the key's own minItems {fewest}", "raise it")]
        candidates: Iterable[Value] | None = made.members
        if candidates is None:
            candidates = own_members(self.element)
        if candidates is not None:
            if any(map(made.allows_item, candidates)):
                return []
            return [self.wrong("enum", "no value that the key can have satisfies it", "widen it")]
        if made.low is None and made.high is None:
            return []
        least, most = own_span(self.element)
        if made.low is not None and made.low.at > most:
            limit = self._own("maximum", most)
            return [self.wrong("minimum", f"minimum is above the key's own maximum {limit}", "lower it")]
        if made.high is not None and made.high.at < least:
            limit = self._own("minimum", least)
            return [self.wrong("maximum", f"maximum is below the key's own minimum {limit}", "raise it")]
        return []

    def _own(self, name: str, otherwise: float) -> Any:
        limit = getattr(self.element.spec, name)
        return otherwise if limit is None else limit

    def _shown(self, value: Any) -> str:
        return "" if self.key.sensitive else f", got {short(value)}"
