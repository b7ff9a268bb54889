"""One typed key: its declaration compiled to a pydantic-core schema, so that checking runs in Rust.

Patterns run on Rust's regex engine. What a match may cost is bounded when a key is compiled: by the size of its
pattern and the length of the texts that it is applied to (:mod:`trimtab.core.schema.patterns`).

===========  ==================  ===========================================
type         in memory           limits that apply
===========  ==================  ===========================================
String       str                 enum, minLength, maxLength, pattern
Integer      int (signed 64 bit) enum, minimum, maximum
Number       float (finite)      enum, minimum, maximum
Boolean      bool                none
Duration     str, as written     enum, minimum, maximum (durations)
StringList   list[str]           minItems, maxItems; items: as for String
NumberMap    dict[str, float]    minItems, maxItems; items: as for Number
StringMap    dict[str, str]      minItems, maxItems; items: as for String
===========  ==================  ===========================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from trimtab.api.config_template import ItemsSpec, KeySpec
from trimtab.core import durations
from trimtab.core.schema import patterns
from trimtab.core.schema.key_messages import EXACT, ITEM_TYPES, MAPS, inexact, longest, uncompiled, violation
from trimtab.core.schema.matchers import matcher
from trimtab.core.text import short
from trimtab.core.violations import Violation, invalid

Value = bool | int | float | str | list[str] | dict[str, float] | dict[str, str]

INT64 = (-(2**63), 2**63 - 1)
REPORTED_OF_ONE = 3
"""Violations that are reported of one value."""
_APPLIES: Mapping[str, frozenset[str]] = {
    "String": frozenset({"enum", "min_length", "max_length", "pattern"}),
    "Integer": frozenset({"enum", "minimum", "maximum"}),
    "Number": frozenset({"enum", "minimum", "maximum"}),
    "Boolean": frozenset(),
    "Duration": frozenset({"enum", "minimum", "maximum"}),
    "StringList": frozenset({"min_items", "max_items", "items"}),
    "NumberMap": frozenset({"min_items", "max_items", "items"}),
    "StringMap": frozenset({"min_items", "max_items", "items"}),
}
_LIMITS = (
    "enum",
    "minimum",
    "maximum",
    "min_length",
    "max_length",
    "pattern",
    "min_items",
    "max_items",
    "items",
)
_ITEM_LIMITS = ("enum", "minimum", "maximum", "min_length", "max_length", "pattern")
_MERGES = {"Merge": MAPS, "Append": frozenset({"StringList"})}


@dataclass(frozen=True, slots=True)
class Key:
    """A compiled key. ``validator`` checks one value of it; ``schema`` is for many keys' values at once, and refuses
    numbers that may have been rounded when they were read, so that :func:`check` looks at them."""

    name: str
    type: str
    spec: KeySpec
    schema: CoreSchema
    validator: SchemaValidator
    states: int = 0
    """Of its pattern or its items': what one character of a value costs to check."""
    entry: SchemaValidator | None = None
    """Checks one entry of a list or map."""

    @property
    def sensitive(self) -> bool:
        return self.spec.sensitive is True

    @property
    def merge(self) -> str:
        return self.spec.merge or "Replace"

    @property
    def set_by(self) -> str:
        return self.spec.set_by or "User"

    @property
    def required(self) -> bool:
        return self.spec.required is True

    def combine(self, lower: Value | None, upper: Value) -> Value:
        """``upper`` over ``lower``, as this key's ``merge`` says."""
        if lower is None or self.merge == "Replace":
            return upper
        if isinstance(lower, dict) and isinstance(upper, dict):
            return {**lower, **upper}  # type: ignore[return-value]
        if isinstance(lower, list) and isinstance(upper, list):
            return [*lower, *upper]
        return upper


def camel(name: str) -> str:
    """``max_items`` as users write it: ``maxItems``."""
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _one_of(allowed: list[Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value not in allowed:
            raise PydanticCustomError("literal_error", "not one of the allowed values")
        return value

    return check


def _duration_between(low: int | None, high: int | None) -> Callable[[str], str]:
    def check(value: str) -> str:
        try:
            length = durations.nanoseconds(value)
        except ValueError as error:
            raise PydanticCustomError("duration", "{error}", {"error": str(error)}) from None
        if low is not None and length < low:
            raise PydanticCustomError("greater_than_equal", "too short")
        if high is not None and length > high:
            raise PydanticCustomError("less_than_equal", "too long")
        return value

    return check


def _scalar_schema(kind: str, limits: KeySpec | ItemsSpec, *, exact: bool = False) -> CoreSchema:
    """``exact``: a number so large that reading it may have rounded it is refused."""
    schema: CoreSchema
    if kind == "String":
        if limits.enum and all(isinstance(v, str) for v in limits.enum):
            return cs.literal_schema(list(limits.enum))
        schema = cs.str_schema(strict=True, min_length=limits.min_length, max_length=longest(limits))
        return (
            cs.no_info_after_validator_function(matcher(limits.pattern), schema) if limits.pattern else schema
        )
    if kind == "Boolean":
        return cs.bool_schema(strict=True)
    if kind == "Integer":
        low, high = _number(limits.minimum), _number(limits.maximum)
        schema = cs.int_schema(
            strict=True,
            ge=INT64[0] if low is None else max(INT64[0], _ceil(low)),
            le=INT64[1] if high is None else min(INT64[1], _floor(high)),
        )
    elif kind == "Number":
        low, high = _number(limits.minimum), _number(limits.maximum)
        if exact:
            low = 1 - EXACT if low is None else max(1 - EXACT, low)
            high = EXACT - 1 if high is None else min(EXACT - 1, high)
        schema = cs.float_schema(strict=True, allow_inf_nan=False, ge=low, le=high)
    else:
        low_ns = None if limits.minimum is None else durations.nanoseconds(str(limits.minimum))
        high_ns = None if limits.maximum is None else durations.nanoseconds(str(limits.maximum))
        schema = cs.no_info_after_validator_function(
            _duration_between(low_ns, high_ns), cs.str_schema(strict=True, max_length=durations.MAX_LENGTH)
        )
    if limits.enum:
        schema = cs.no_info_after_validator_function(_one_of(list(limits.enum)), schema)
    return schema


def _states(spec: KeySpec) -> int:
    limits = spec.items if spec.type in ITEM_TYPES else spec
    return patterns.states(limits.pattern) if limits and limits.pattern and not limits.enum else 0


def _ceil(number: float) -> int:
    return int(number) + (1 if number > int(number) else 0)


def _floor(number: float) -> int:
    return int(number) - (1 if number < int(number) else 0)


def _number(limit: Any) -> float | int | None:
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        raise ValueError("minimum and maximum must be numbers here")
    return limit


def _schema(spec: KeySpec, *, exact: bool = False) -> CoreSchema:
    if spec.type not in ITEM_TYPES:
        return _scalar_schema(spec.type, spec, exact=exact)
    item = _scalar_schema(ITEM_TYPES[spec.type], spec.items or ItemsSpec(), exact=exact)
    if spec.type == "StringList":
        return cs.list_schema(
            item, strict=True, min_length=spec.min_items, max_length=spec.max_items, fail_fast=True
        )
    return cs.dict_schema(
        cs.str_schema(strict=True, min_length=1),
        item,
        strict=True,
        min_length=spec.min_items,
        max_length=spec.max_items,
    )


def _declaration_problems(spec: KeySpec) -> list[Violation]:
    """What of the declaration itself makes no sense, before any schema is built."""

    def wrong(rule: str, problem: str, remedy: str) -> Violation:
        return Violation(spec.name, "template", rule, problem, remedy=remedy)

    found = []
    for limit in _LIMITS:
        if getattr(spec, limit) is not None and limit not in _APPLIES[spec.type]:
            usable = ", ".join(camel(name) for name in sorted(_APPLIES[spec.type]))
            remedy = f"use {usable}" if usable else "remove it"
            found.append(wrong(camel(limit), f"{camel(limit)} does not apply to {spec.type}", remedy))
    if spec.merge not in (None, "Replace") and spec.type not in _MERGES[str(spec.merge)]:
        usable = " or ".join(sorted(_MERGES[str(spec.merge)]))
        found.append(
            wrong("merge", f"merge {spec.merge} needs type {usable}, not {spec.type}", "change type or merge")
        )
    for low, high in (("min_length", "max_length"), ("min_items", "max_items")):
        least, most = getattr(spec, low), getattr(spec, high)
        if least is not None and most is not None and least > most:
            problem = f"{camel(low)} {least} is above {camel(high)} {most}"
            found.append(wrong(camel(low), problem, f"lower {camel(low)} or raise {camel(high)}"))
    if spec.enum is not None and not spec.enum:
        found.append(wrong("enum", "enum allows nothing at all", "name the values or remove it"))
    costly = patterns.problem(spec.pattern, spec.max_length) if spec.pattern is not None else None
    if costly:
        problem, remedy = costly
        found.append(
            wrong("pattern", problem + ("" if spec.sensitive else f": {short(spec.pattern)}"), remedy)
        )
    for name in ("minimum", "maximum") if not found else ():
        found += _limit_problems(spec, name)
    return found or _item_problems(spec)


def _limit_problems(spec: KeySpec, name: str) -> list[Violation]:
    """A limit that is no number, or for a Duration no duration."""
    limit = getattr(spec, name)
    shown = "" if spec.sensitive else f", got {short(limit)}"
    if limit is None:
        return []
    if spec.type == "Duration":
        try:
            durations.nanoseconds(str(limit))
        except ValueError as error:
            near = "" if spec.sensitive else durations.nearest(limit)
            remedy = f"write {near}" if near else "write a number and its unit, as 90s or 5m"
            return [Violation(spec.name, "template", name, f"{name} is {error}{shown}", remedy=remedy)]
    elif isinstance(limit, bool) or not isinstance(limit, int | float):
        problem = f"{name} of {spec.type} is a number{shown}"
        return [Violation(spec.name, "template", name, problem, remedy="write a number, without quotes")]
    return []


def _item_problems(spec: KeySpec) -> list[Violation]:
    """The same of ``items``, which must make sense as the limits of a key of the items' type."""
    if spec.items is None:
        return []
    _, found = compile_key(_item_spec(spec))
    return [replace(violation, rule=f"items.{violation.rule}") for violation in found]


def _item_spec(spec: KeySpec) -> KeySpec:
    items = spec.items or ItemsSpec()
    limits = {name: getattr(items, name) for name in _ITEM_LIMITS}
    return KeySpec(name=spec.name, type=ITEM_TYPES[spec.type], sensitive=spec.sensitive, **limits)


def element(key: Key) -> Key:
    """What each item of a list or map must be, as a key of its own; any other key is its own element."""
    if key.type not in ITEM_TYPES:
        return key
    spec = _item_spec(key.spec)
    schema = _scalar_schema(spec.type, spec)
    return Key(key.name, spec.type, spec, schema, SchemaValidator(schema), key.states)


def _range_problem(spec: KeySpec) -> list[Violation]:
    if spec.minimum is None or spec.maximum is None:
        return []
    if spec.type == "Duration":
        above = durations.nanoseconds(str(spec.minimum)) > durations.nanoseconds(str(spec.maximum))
    else:
        above = (_number(spec.minimum) or 0) > (_number(spec.maximum) or 0)
    if not above:
        return []
    shown = "minimum is above maximum"
    if not spec.sensitive:
        shown = f"minimum {spec.minimum} is above maximum {spec.maximum}"
    return [Violation(spec.name, "template", "minimum", shown, remedy="lower minimum or raise maximum")]


def compile_key(spec: KeySpec) -> tuple[Key | None, list[Violation]]:
    """A declaration to a checker; or what is wrong with the declaration and its enum. The default is a layer."""
    found = _declaration_problems(spec)
    if found:
        return None, found
    try:
        found = _range_problem(spec)
        validator, entry = SchemaValidator(_schema(spec)), _entry_validator(spec)
        key = Key(spec.name, spec.type, spec, _schema(spec, exact=True), validator, _states(spec), entry)
    except SchemaError as error:
        problem, remedy = uncompiled("pattern", spec.pattern or "", error, hidden=spec.sensitive)
        return None, [Violation(spec.name, "template", "pattern", problem, remedy=remedy)]
    except ValueError as error:
        return None, [Violation(spec.name, "template", "minimum", str(error), remedy="correct it")]
    return (None, found) if found else (key, _enum_problems(key))


def _entry_validator(spec: KeySpec) -> SchemaValidator | None:
    if spec.type not in ITEM_TYPES:
        return None
    return SchemaValidator(_scalar_schema(ITEM_TYPES[spec.type], spec.items or ItemsSpec()))


def _enum_problems(key: Key) -> list[Violation]:
    if not key.spec.enum:
        return []
    if (
        key.spec.pattern
        and patterns.states(key.spec.pattern) * patterns.characters(key.spec.enum) > patterns.STEPS
    ):
        problem = "enum has too much text to check it against the pattern"
        return [Violation(key.name, "template", "enum", problem, remedy="remove one of the two")]
    free = key.spec.model_copy(update={"enum": None})
    try:
        plain = SchemaValidator(_schema(free))
    except (SchemaError, ValueError):
        return []
    wrong = [member for member in key.spec.enum if not plain.isinstance_python(member)]
    if not wrong:
        return []
    shown = "" if key.sensitive else f" {short(wrong[0])}"
    problem = f"enum: the member{shown} is not a valid {key.type} under the other limits"
    return [Violation(key.name, "template", "enum", problem, remedy=_member_remedy(key, wrong))]


def _member_remedy(key: Key, wrong: list[Any]) -> str:
    if key.type == "String" and not all(isinstance(member, str) for member in wrong):
        if any(isinstance(member, bool) for member in wrong):
            return "quote on and off, yes and no, y and n: YAML reads them as true and false"
        return "quote it: YAML reads unquoted digits as a number"
    if key.type in ("Integer", "Number") and isinstance(wrong[0], str):
        return "write numbers, without quotes"
    return "correct or remove it"


def check(key: Key, value: Any, layer: str) -> tuple[Value | None, list[Violation]]:
    """One value against one key, strictly: the value as it is kept in memory, or the violations."""
    rounded = [
        inexact(key, at, number, layer) for at, number in islice(_inexact(key, value), REPORTED_OF_ONE)
    ]
    if rounded:
        return None, [invalid(key.name, layer)] if key.sensitive else rounded
    try:
        return key.validator.validate_python(value), []
    except ValidationError as error:
        if key.sensitive:
            return None, [invalid(key.name, layer)]
        faults = _entry_faults(key, value) or error.errors(include_url=False)
        return None, [violation(key, fault, layer) for fault in faults[:REPORTED_OF_ONE]]


def _inexact(key: Key, value: Any) -> Iterator[tuple[str, int]]:
    """The whole numbers of a Number or NumberMap that a double would round, with their names."""
    if key.type == "Number":
        entries: Iterable[tuple[str, Any]] = (("", value),)
    elif key.type == "NumberMap" and isinstance(value, dict):
        entries = value.items()
    else:
        return
    for name, number in entries:
        if (
            type(number) is int
            and abs(number) > EXACT
            and abs(number) < 10**300
            and int(float(number)) != number
        ):
            yield name, number


def _entry_faults(key: Key, value: Any) -> list[Any]:
    """The errors of the first few entries that are wrong: all of a large list would be worked out for nothing."""
    if (
        key.entry is None
        or not isinstance(value, list | dict)
        or isinstance(value, list) != (key.type == "StringList")
    ):
        return []
    faults: list[Any] = []
    for at, entry in value.items() if isinstance(value, dict) else enumerate(value):
        if key.entry.isinstance_python(entry):
            continue
        try:
            key.entry.validate_python(entry)
        except ValidationError as error:
            faults += [{**fault, "loc": (at, *fault["loc"])} for fault in error.errors(include_url=False)]
        if len(faults) >= REPORTED_OF_ONE:
            break
    return faults
