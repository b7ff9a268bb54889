"""One typed key: its declaration compiled to a pydantic-core schema, so that checking runs in Rust.

Patterns run on Rust's regex engine. What a match may cost is bounded when a key is compiled: by the size of its
pattern and the length of the texts that it is applied to (:mod:`trimtab.core.patterns`).

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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import CoreSchema, PydanticCustomError, SchemaError, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from trimtab.api.config_template import ItemsSpec, KeySpec
from trimtab.core import durations, patterns
from trimtab.core.problems import Violation, invalid, nearest, short

Value = bool | int | float | str | list[str] | dict[str, float] | dict[str, str]

INT64 = (-(2**63), 2**63 - 1)
MAPS = frozenset({"NumberMap", "StringMap"})
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
ITEM_TYPES = {"StringList": "String", "StringMap": "String", "NumberMap": "Number"}
_ITEM_LIMITS = ("enum", "minimum", "maximum", "min_length", "max_length", "pattern")
_MERGES = {"Merge": MAPS, "Append": frozenset({"StringList"})}


@dataclass(frozen=True, slots=True)
class Key:
    """A compiled key. ``schema`` is its pydantic-core schema, ``validator`` checks one value of it."""

    name: str
    type: str
    spec: KeySpec
    schema: CoreSchema
    validator: SchemaValidator
    states: int = 0
    """Of its pattern or its items': what one character of a value costs to check."""

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


def _scalar_schema(kind: str, limits: KeySpec | ItemsSpec) -> CoreSchema:
    schema: CoreSchema
    if kind == "String":
        if limits.enum and all(isinstance(v, str) for v in limits.enum):
            return cs.literal_schema(list(limits.enum))
        return cs.str_schema(
            strict=True,
            min_length=limits.min_length,
            max_length=_longest(limits),
            pattern=limits.pattern,
            regex_engine="rust-regex",
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
        schema = cs.float_schema(
            strict=True, allow_inf_nan=False, ge=_number(limits.minimum), le=_number(limits.maximum)
        )
    else:
        low_ns = None if limits.minimum is None else durations.nanoseconds(str(limits.minimum))
        high_ns = None if limits.maximum is None else durations.nanoseconds(str(limits.maximum))
        schema = cs.no_info_after_validator_function(
            _duration_between(low_ns, high_ns), cs.str_schema(strict=True, max_length=durations.MAX_LENGTH)
        )
    if limits.enum:
        schema = cs.no_info_after_validator_function(_one_of(list(limits.enum)), schema)
    return schema


def _longest(limits: KeySpec | ItemsSpec) -> int | None:
    """The most characters of a text: ``maxLength``, or what its pattern can check in bounded time."""
    if limits.pattern is None or limits.max_length is not None:
        return limits.max_length
    return patterns.longest(limits.pattern)


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


def _schema(spec: KeySpec) -> CoreSchema:
    if spec.type not in ITEM_TYPES:
        return _scalar_schema(spec.type, spec)
    item = _scalar_schema(ITEM_TYPES[spec.type], spec.items or ItemsSpec())
    if spec.type == "StringList":
        return cs.list_schema(item, strict=True, min_length=spec.min_items, max_length=spec.max_items)
    return cs.dict_schema(
        cs.str_schema(strict=True, min_length=1),
        item,
        strict=True,
        min_length=spec.min_items,
        max_length=spec.max_items,
    )


def _declaration_problems(spec: KeySpec) -> list[Violation]:
    """What of the declaration itself makes no sense, before any schema is built."""

    def wrong(rule: str, message: str) -> Violation:
        return Violation(spec.name, "template", rule, message)

    found = []
    for limit in _LIMITS:
        if getattr(spec, limit) is not None and limit not in _APPLIES[spec.type]:
            usable = ", ".join(camel(name) for name in sorted(_APPLIES[spec.type])) or "no limit"
            found.append(wrong(camel(limit), f"{camel(limit)} does not apply to {spec.type}; use {usable}"))
    if spec.merge not in (None, "Replace") and spec.type not in _MERGES[str(spec.merge)]:
        usable = " or ".join(sorted(_MERGES[str(spec.merge)]))
        found.append(wrong("merge", f"merge {spec.merge} needs type {usable}, not {spec.type}"))
    for low, high in (("min_length", "max_length"), ("min_items", "max_items")):
        least, most = getattr(spec, low), getattr(spec, high)
        if least is not None and most is not None and least > most:
            found.append(wrong(camel(low), f"{camel(low)} {least} is above {camel(high)} {most}"))
    if spec.enum is not None and not spec.enum:
        found.append(wrong("enum", "enum allows nothing at all; name the values or remove it"))
    costly = patterns.problem(spec.pattern, spec.max_length) if spec.pattern is not None else ""
    if costly:
        shown = "" if spec.sensitive else f": {short(spec.pattern)}"
        found.append(wrong("pattern", costly + shown))
    return found or _item_problems(spec)


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


def _range_problem(spec: KeySpec) -> str:
    if spec.minimum is None or spec.maximum is None:
        return ""
    if spec.type == "Duration":
        above = durations.nanoseconds(str(spec.minimum)) > durations.nanoseconds(str(spec.maximum))
    else:
        above = (_number(spec.minimum) or 0) > (_number(spec.maximum) or 0)
    return f"minimum {spec.minimum} is above maximum {spec.maximum}" if above else ""


def compile_key(spec: KeySpec) -> tuple[Key | None, list[Violation]]:
    """A declaration to a checker; or what is wrong with the declaration, its enum and its default included."""
    found = _declaration_problems(spec)
    if found:
        return None, found
    try:
        schema = _schema(spec)
        problem = _range_problem(spec)
        key = Key(spec.name, spec.type, spec, schema, SchemaValidator(schema), _states(spec))
    except SchemaError as error:
        why = "" if spec.sensitive else ": " + str(error).replace("\n", " ")[:300]
        message = f"pattern does not compile (no look-around or back-references){why}"
        return None, [Violation(spec.name, "template", "pattern", message)]
    except ValueError as error:
        return None, [Violation(spec.name, "template", "minimum", str(error))]
    if problem:
        hidden = "minimum is above maximum" if spec.sensitive else problem
        return None, [Violation(spec.name, "template", "minimum", hidden)]
    found += _enum_problems(key)
    if spec.default is not None:
        _, broken = check(key, spec.default, "default")
        found += broken
    return key, found


def _enum_problems(key: Key) -> list[Violation]:
    if not key.spec.enum:
        return []
    if (
        key.spec.pattern
        and patterns.states(key.spec.pattern) * patterns.characters(key.spec.enum) > patterns.STEPS
    ):
        message = "enum has too much text to check it against the pattern; remove one of the two"
        return [Violation(key.name, "template", "enum", message)]
    free = key.spec.model_copy(update={"enum": None})
    try:
        plain = SchemaValidator(_schema(free))
    except (SchemaError, ValueError):
        return []
    for member in key.spec.enum:
        try:
            plain.validate_python(member)
        except ValidationError:
            shown = "a member" if key.sensitive else f"{member!r}"
            return [
                Violation(
                    key.name,
                    "template",
                    "enum",
                    f"enum: {shown} is not a valid {key.type} under the other limits",
                )
            ]
    return []


def check(key: Key, value: Any, layer: str) -> tuple[Value | None, list[Violation]]:
    """One value against one key, strictly: the value as it is kept in memory, or the violations."""
    try:
        return key.validator.validate_python(value), []
    except ValidationError as error:
        if key.sensitive:
            return None, [invalid(key.name, layer)]
        return None, [violation(key, e, layer) for e in error.errors(include_url=False)[:3]]


def violation(key: Key, error: Any, layer: str) -> Violation:
    """A pydantic-core error in our words, of a key that is not sensitive."""
    rule, message = _explain(key, error)
    hint = ""
    if rule == "enum":
        hint = _nearest_member(key, error.get("input"))
    if rule in ("minimum", "maximum") and key.type not in MAPS:
        hint = str(getattr(key.spec, rule))
    return Violation(key.name, layer, rule, message, hint)


def _nearest_member(key: Key, given: Any) -> str:
    limits = key.spec.items if key.type in ITEM_TYPES and key.spec.items else key.spec
    return nearest(str(given), [str(v) for v in limits.enum or ()])


_RULES: Mapping[str, tuple[str, str, str]] = {
    "greater_than_equal": ("minimum", "must be at least {limit}", "minimum"),
    "less_than_equal": ("maximum", "must be at most {limit}", "maximum"),
    "string_too_short": ("minLength", "needs at least {limit} characters", "min_length"),
    "string_too_long": ("maxLength", "may have at most {limit} characters", "max_length"),
    "string_pattern_mismatch": ("pattern", "does not match the pattern {limit}", "pattern"),
    "too_short": ("minItems", "needs at least {limit} entries", "min_items"),
    "too_long": ("maxItems", "may have at most {limit} entries", "max_items"),
}


def _explain(key: Key, error: Any) -> tuple[str, str]:
    kind = error["type"]
    path = error.get("loc", ())
    inner = [str(p)[:60] for p in path if p not in (key.name, "[key]")]
    at = f"entry {'.'.join(inner)}: " if inner and key.type in ITEM_TYPES else ""
    limits = key.spec.items if inner and key.spec.items else key.spec
    given = _given(error.get("input"))
    if kind == "literal_error":
        allowed = ", ".join(str(v) for v in (limits.enum or ())[:20])
        return "enum", f"{at}must be one of the allowed values: {allowed}{given}"
    if kind in _RULES:
        rule, text, attribute = _RULES[kind]
        limit = getattr(limits, attribute, None)
        if limit is None and limits and kind == "string_too_long" and getattr(limits, "pattern", None):
            limit = _longest(limits)
            text = "may have at most {limit} characters, as its pattern cannot check longer texts in time"
        if limit is None:  # the limits that no template sets: 64 bits, a duration's length
            return "type", f"{at}is out of range for {key.type}{given}"
        return rule, at + text.format(limit=limit) + given
    if kind == "duration":
        return "type", f"is {error['msg']}{given}"
    if error.get("input", 0) is None:
        return "type", f"{at}null is no value; remove the key to leave it unset"
    return (
        "type",
        f"{at}must be of type {key.type if not inner else ITEM_TYPES.get(key.type, key.type)}{given}",
    )


def _given(value: Any) -> str:
    if isinstance(value, dict | list):
        return f", got a {'map' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = (
        repr(value)
        if isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )
    return f", got {text if len(text) <= 60 else text[:57] + '...'}"
