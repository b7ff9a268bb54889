"""What makes no sense in the declaration of a key itself, before anything is compiled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from trimtab.api.config_template import KeySpec
from trimtab.core import durations
from trimtab.core.schema import patterns
from trimtab.core.schema.types import MAPS
from trimtab.core.text import short
from trimtab.core.violations import Fault, Violation

_RANGE, _LENGTHS, _ITEMS = ("minimum", "maximum"), ("min_length", "max_length"), ("min_items", "max_items")
_LIMITS = ("enum", *_RANGE, *_LENGTHS, "pattern", *_ITEMS, "items")
_APPLIES: Mapping[str, frozenset[str]] = {
    "String": frozenset({"enum", "pattern", *_LENGTHS}),
    **dict.fromkeys(("Integer", "Number", "Duration"), frozenset({"enum", *_RANGE})),
    "Boolean": frozenset(),
    **dict.fromkeys(("StringList", "NumberMap", "StringMap"), frozenset({"items", *_ITEMS})),
}
_MERGES = {"Merge": MAPS, "Append": frozenset({"StringList"})}

Faults = Iterator[tuple[str, Fault]]
"""Each with the rule that it breaks."""


def problems(spec: KeySpec) -> list[Violation]:
    """The faults of a declaration. Nothing of a sensitive key shows one of its limits."""
    structure = chain(_inapplicable(spec), _merge(spec), _empty(spec), _costly(spec))
    for faults in (structure, _unusable(spec), _reversed(spec)):
        if found := [fault.at(spec.name, "template", rule) for rule, fault in faults]:
            return found
    return []


def camel(name: str) -> str:
    """``max_items`` as users write it: ``maxItems``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def inapplicable(limit: str, kind: str, usable: Collection[str], otherwise: str) -> Fault:
    """A limit that does not apply to the type; ``otherwise`` is what to do where no limit applies."""
    remedy = f"use {', '.join(map(camel, sorted(usable)))}" if usable else otherwise
    return Fault(f"{camel(limit)} does not apply to {kind}", remedy)


def empty_enum() -> Fault:
    return Fault("enum allows no value", "list the allowed values or remove it")


def costly(pattern: str, max_length: int | None, *, hidden: bool) -> Fault | None:
    """Why the pattern costs too much to match, if it does."""
    found = patterns.problem(pattern, max_length)
    return found and found._replace(problem=found.problem + ("" if hidden else f": {short(pattern)}"))


def unusable(name: str, kind: str, limit: Any, why: str, *, hidden: bool) -> Fault:
    """A minimum or maximum that is not valid for the type: ``why`` starts with "not"."""
    remedy = "write a number, without quotes"
    if kind == "Duration":
        near = "" if hidden else durations.nearest(limit)
        remedy = f"write {near}" if near else "write a number and its unit, for example 90s or 5m"
    return Fault(f"{name} is {why}" + ("" if hidden else f", got {short(limit)}"), remedy)


def reversed_range(minimum: Any, maximum: Any, *, hidden: bool) -> Fault:
    problem = "minimum is above maximum" if hidden else f"minimum {minimum} is above maximum {maximum}"
    return Fault(problem, "lower minimum or raise maximum")


def is_number(limit: Any) -> bool:
    return isinstance(limit, int | float) and not isinstance(limit, bool)


def _inapplicable(spec: KeySpec) -> Faults:
    usable = _APPLIES[spec.type]
    for limit in _LIMITS:
        if getattr(spec, limit) is not None and limit not in usable:
            yield camel(limit), inapplicable(limit, spec.type, usable, "remove it")


def _merge(spec: KeySpec) -> Faults:
    if spec.merge not in (None, "Replace") and spec.type not in (types := _MERGES[spec.merge]):
        problem = f"merge {spec.merge} requires type {' or '.join(sorted(types))}, not {spec.type}"
        yield "merge", Fault(problem, "change type or merge")


def _empty(spec: KeySpec) -> Faults:
    """Limits that no value satisfies."""
    for low, high in (_LENGTHS, _ITEMS):
        least, most = getattr(spec, low), getattr(spec, high)
        if least is not None and most is not None and least > most:
            problem = f"{camel(low)} {least} is above {camel(high)} {most}"
            yield camel(low), Fault(problem, f"lower {camel(low)} or raise {camel(high)}")
    if spec.enum is not None and not spec.enum:
        yield "enum", empty_enum()


def _costly(spec: KeySpec) -> Faults:
    hidden = spec.sensitive is True
    if spec.pattern is not None and (fault := costly(spec.pattern, spec.max_length, hidden=hidden)):
        yield "pattern", fault


def _unusable(spec: KeySpec) -> Faults:
    """A minimum or maximum that is not a number, or for a Duration not a duration."""
    for name in _RANGE:
        limit, why = getattr(spec, name), ""
        if limit is None:
            continue
        if spec.type != "Duration":
            why = "" if is_number(limit) else "not a number"
        else:
            try:
                durations.nanoseconds(str(limit))
            except ValueError as error:
                why = str(error)
        if why:
            yield name, unusable(name, spec.type, limit, why, hidden=spec.sensitive is True)


def _reversed(spec: KeySpec) -> Faults:
    if spec.minimum is None or spec.maximum is None:
        return
    low: Any = spec.minimum
    high: Any = spec.maximum
    if spec.type == "Duration":
        low, high = durations.nanoseconds(str(low)), durations.nanoseconds(str(high))
    if low > high:
        yield "minimum", reversed_range(spec.minimum, spec.maximum, hidden=spec.sensitive is True)
