"""One typed key: its declaration compiled to a pydantic-core schema, so that values are checked in Rust.

Patterns run on Rust's regex engine. The cost of a match is limited when a key is compiled: by the size of its pattern
and the length of the texts that it is applied to (:mod:`trimtab.core.schema.patterns`).

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

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from trimtab.api.config_template import ItemsSpec, KeySpec
from trimtab.core import durations
from trimtab.core.schema import declaration, patterns
from trimtab.core.schema.key_messages import inexact, longest, not_a_member, uncompiled, violation
from trimtab.core.schema.types import EXACT, INT64, ITEM_TYPES
from trimtab.core.violations import Fault, Violation, invalid

Value = bool | int | float | str | list[str] | dict[str, float] | dict[str, str]

REPORTED_OF_ONE = 3
"""Violations that are reported of one value."""
_ITEM_LIMITS = ("enum", "minimum", "maximum", "min_length", "max_length", "pattern")


@dataclass(frozen=True, slots=True)
class Key:
    """A compiled key. ``validator`` checks one value of it; ``schema`` is for a mapping of many keys, and rejects
    numbers that may have been rounded when they were read, so that :func:`check` inspects them."""

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
        """``upper`` over ``lower``, by this key's ``merge``."""
        if lower is None or self.merge == "Replace":
            return upper
        if isinstance(lower, dict) and isinstance(upper, dict):
            return {**lower, **upper}  # type: ignore[return-value]
        if isinstance(lower, list) and isinstance(upper, list):
            return [*lower, *upper]
        return upper


def compile_key(spec: KeySpec) -> tuple[Key | None, list[Violation]]:
    """A key that checks values, or what is wrong with its declaration and enum. Its default is checked as a layer."""
    found = declaration.problems(spec) or _item_problems(spec)
    if found:
        return None, found
    try:
        key = Key(
            name=spec.name,
            type=spec.type,
            spec=spec,
            schema=_schema(spec, exact=True),
            validator=SchemaValidator(_schema(spec)),
            states=_states(spec),
            entry=SchemaValidator(_item_schema(spec)) if spec.type in ITEM_TYPES else None,
        )
    except SchemaError as error:
        fault = uncompiled("pattern", spec.pattern or "", error, hidden=spec.sensitive is True)
        return None, [fault.at(spec.name, "template", "pattern")]
    except ValueError as error:
        return None, [Fault(str(error), "correct it").at(spec.name, "template", "minimum")]
    fault_of_enum = _enum_fault(spec)
    return key, [fault_of_enum.at(spec.name, "template", "enum")] if fault_of_enum else []


def element(key: Key) -> Key:
    """What each item of a list or map must be, as a key of its own; any other key is its own element."""
    if key.type not in ITEM_TYPES:
        return key
    spec = _item_spec(key.spec)
    schema = _scalar_schema(spec.type, spec)
    return Key(key.name, spec.type, spec, schema, SchemaValidator(schema), key.states)


def _item_problems(spec: KeySpec) -> list[Violation]:
    """What is wrong with ``items``, which must make sense as the limits of a key of the items' type."""
    if spec.items is None:
        return []
    _, found = compile_key(_item_spec(spec))
    return [replace(violation, rule=f"items.{violation.rule}") for violation in found]


def _item_spec(spec: KeySpec) -> KeySpec:
    items = spec.items or ItemsSpec()
    limits = {name: getattr(items, name) for name in _ITEM_LIMITS}
    return KeySpec(name=spec.name, type=ITEM_TYPES[spec.type], sensitive=spec.sensitive, **limits)


def _enum_fault(spec: KeySpec) -> Fault | None:
    if not spec.enum:
        return None
    if spec.pattern and patterns.states(spec.pattern) * patterns.characters(spec.enum) > patterns.STEPS:
        return Fault("enum has too much text to check it against the pattern", "remove one of the two")
    try:
        plain = SchemaValidator(_schema(spec.model_copy(update={"enum": None})))
    except (SchemaError, ValueError):
        return None
    wrong = [member for member in spec.enum if not plain.isinstance_python(member)]
    return not_a_member(spec, wrong) if wrong else None


def _states(spec: KeySpec) -> int:
    limits = spec.items if spec.type in ITEM_TYPES else spec
    return patterns.states(limits.pattern) if limits and limits.pattern and not limits.enum else 0


# Schemas of pydantic-core. ``exact``: a number so large that reading it may have rounded it is rejected.


def _schema(spec: KeySpec, *, exact: bool = False) -> CoreSchema:
    if spec.type not in ITEM_TYPES:
        return _scalar_schema(spec.type, spec, exact=exact)
    item, least, most = _item_schema(spec, exact=exact), spec.min_items, spec.max_items
    if spec.type == "StringList":
        return cs.list_schema(item, strict=True, min_length=least, max_length=most, fail_fast=True)
    name = cs.str_schema(strict=True, min_length=1)
    return cs.dict_schema(name, item, strict=True, min_length=least, max_length=most)


def _item_schema(spec: KeySpec, *, exact: bool = False) -> CoreSchema:
    return _scalar_schema(ITEM_TYPES[spec.type], spec.items or ItemsSpec(), exact=exact)


def _scalar_schema(kind: str, limits: KeySpec | ItemsSpec, *, exact: bool = False) -> CoreSchema:
    schema = _SCALARS[kind](limits, exact)
    if limits.enum and kind != "String":
        schema = cs.no_info_after_validator_function(_one_of(list(limits.enum)), schema)
    return schema


def _string(limits: KeySpec | ItemsSpec, exact: bool) -> CoreSchema:
    if limits.enum and all(isinstance(member, str) for member in limits.enum):
        return cs.literal_schema(list(limits.enum))
    schema = cs.str_schema(strict=True, min_length=limits.min_length, max_length=longest(limits))
    if not limits.pattern:
        return schema
    return cs.no_info_after_validator_function(patterns.matcher(limits.pattern), schema)


def _integer(limits: KeySpec | ItemsSpec, exact: bool) -> CoreSchema:
    low, high = _numbers(limits)
    return cs.int_schema(
        strict=True,
        ge=INT64[0] if low is None else max(INT64[0], math.ceil(low)),
        le=INT64[1] if high is None else min(INT64[1], math.floor(high)),
    )


def _double(limits: KeySpec | ItemsSpec, exact: bool) -> CoreSchema:
    low, high = _numbers(limits)
    if exact:
        low = 1 - EXACT if low is None else max(1 - EXACT, low)
        high = EXACT - 1 if high is None else min(EXACT - 1, high)
    return cs.float_schema(strict=True, allow_inf_nan=False, ge=low, le=high)


def _numbers(limits: KeySpec | ItemsSpec) -> tuple[Any, Any]:
    """The minimum and maximum of a number, which are numbers (:mod:`trimtab.core.schema.declaration`)."""
    return limits.minimum, limits.maximum


def _boolean(limits: KeySpec | ItemsSpec, exact: bool) -> CoreSchema:
    return cs.bool_schema(strict=True)


def _duration(limits: KeySpec | ItemsSpec, exact: bool) -> CoreSchema:
    low, high = (
        None if limit is None else durations.nanoseconds(str(limit))
        for limit in (limits.minimum, limits.maximum)
    )
    text = cs.str_schema(strict=True, max_length=durations.MAX_LENGTH)
    return cs.no_info_after_validator_function(_duration_between(low, high), text)


_SCALARS: Mapping[str, Callable[[KeySpec | ItemsSpec, bool], CoreSchema]] = {
    "String": _string,
    "Integer": _integer,
    "Number": _double,
    "Boolean": _boolean,
    "Duration": _duration,
}


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


# Values.


def check(key: Key, value: Any, layer: str) -> tuple[Value | None, list[Violation]]:
    """One value against one key, strictly: the value as kept in memory, or the violations."""
    rounded = [*islice(_inexact(key.type, value), REPORTED_OF_ONE)]
    if rounded:
        found = [inexact(key.name, at, number, layer) for at, number in rounded]
        return None, [invalid(key.name, layer)] if key.sensitive else found
    try:
        return key.validator.validate_python(value), []
    except ValidationError as error:
        if key.sensitive:
            return None, [invalid(key.name, layer)]
        faults = _entry_faults(key, value) or error.errors(include_url=False)
        return None, [violation(key.spec, fault, layer) for fault in faults[:REPORTED_OF_ONE]]


def _inexact(kind: str, value: Any) -> Iterator[tuple[str, int]]:
    """The whole numbers of a Number or NumberMap that a double would round, with their names."""
    entries: Iterable[tuple[str, Any]] = ()
    if kind == "Number":
        entries = (("", value),)
    elif kind == "NumberMap" and isinstance(value, dict):
        entries = value.items()
    for name, number in entries:
        if type(number) is int and EXACT < abs(number) < 10**300 and int(float(number)) != number:
            yield name, number


def _entry_faults(key: Key, value: Any) -> list[Any]:
    """The errors of the first few entries that are wrong: not of all entries of a large list."""
    if key.entry is None or not isinstance(value, list if key.type == "StringList" else dict):
        return []
    faults: list[Any] = []
    for at, entry in value.items() if isinstance(value, dict) else enumerate(value):
        try:
            key.entry.validate_python(entry)
        except ValidationError as error:
            faults += [{**fault, "loc": (at, *fault["loc"])} for fault in error.errors(include_url=False)]
        if len(faults) >= REPORTED_OF_ONE:
            break
    return faults
