"""The errors of a model about an object's structure, in terms of YAML and of the API rather than of pydantic.

The given value is shown only where it cannot be sensitive: a name or a choice, never a value, default or limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from trimtab.core import durations
from trimtab.core.suggestion import Guess
from trimtab.core.text import quote_it, short
from trimtab.core.violations import Fault, Violation

_SECRET = frozenset(
    ("values", "value", "default", "enum", "minimum", "maximum", "pattern", "notPattern", "sealedValues")
)
_MOST: Mapping[str, tuple[str, str, str]] = {
    "string_too_long": ("maxLength", "must have at most {max_length} characters", "shorten it"),
    "string_too_short": ("minLength", "must have at least {min_length} characters", "lengthen it"),
    "too_long": ("maxItems", "must have at most {max_length} entries", "remove entries"),
    "too_short": ("minItems", "must have at least {min_length} entries", "add entries"),
    "greater_than_equal": ("minimum", "must be at least {ge}", "raise it"),
    "less_than_equal": ("maximum", "must be at most {le}", "lower it"),
}
_FIELDS = {
    "extra_forbidden": ("unknown", Fault("is not a field", "remove it or correct its name")),
    "missing": ("required", Fault("is required", "set it")),
}
_TYPES = {
    "string": ("text", "quote it"),
    "int": ("a whole number", "write a whole number, without quotes"),
    "float": ("a number", "write a number, without quotes"),
    "bool": ("true or false", "write true or false, without quotes"),
    "list": ("a list", "write a list"),
    "dict": ("a map", "write a map, for example {name: value}"),
    "model": ("an object", "write an object"),
}
DURATION = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
PATTERNS = {
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$": "lower-case letters, digits and -",
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$": "lower-case letters, digits, - and .",
    r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$": "segments of letters, digits and _ joined by dots",
    r"^[A-Za-z0-9_-]{1,63}$": "at most 63 letters, digits, - and _",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "letters, digits, -, _ and .",
    r"^([A-Za-z_][A-Za-z0-9_]*)?$": "letters, digits and _, no digit first",
    DURATION: "a duration, for example 90s, 5m or 1h30m",
    r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$": "letters, digits, -, _ and .",
    r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$": "letters, digits, -, _ and .",
    r"^(\*|[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*(\.\*)?)$": "*, a key's name, or a section such as agent.*",
    r"^https?://.+": "a URL that begins with http:// or https://",
    r"^[-._A-Za-z0-9]+$": "letters, digits, -, _ and .",
}
"""Readable descriptions of the patterns that fields of Trimtab's kinds must match."""


def shape_violations(error: ValidationError, body: Any, layer: str = "template") -> tuple[Violation, ...]:
    """Every field of ``body`` that is wrong, once: each member of a union reports an error of the same field."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_within(body, detail), []).append(detail)
    return tuple(_of_field(path_of(loc) or "spec", details, layer) for loc, details in found.items())


def _within(body: Any, detail: ErrorDetails) -> tuple[int | str, ...]:
    """The location without the names of a union's members."""
    *above, last = detail["loc"] or ("",)
    path: list[int | str] = []
    for part in above:
        if _has(body, part):
            path.append(part)
            body = body[part]
    return (*path, last) if last and (detail["type"] == "missing" or _has(body, last)) else tuple(path)


def _has(node: Any, part: int | str) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, Mapping) and part in node


def _of_field(path: str, details: list[ErrorDetails], layer: str) -> Violation:
    """In a union the error of the member whose type is right counts; if none is, the message lists all types."""
    fits = [each for each in details if not each["type"].endswith("_type")]
    types = {stem: each for each in details if (stem := each["type"].removesuffix("_type")) in _TYPES}
    if "float" in types:
        types.pop("int", None)
    if fits or len(types) < 2:
        rule, fault = _fault([*fits, *types.values(), *details][0])
        return fault.at(path, layer, rule)
    *others, last = (_TYPES[each][0] for each in types)
    problem = f"must be {', '.join(others)} or {last}{_got(details[0])}"
    return Fault(problem, "write one of these").at(path, layer, "shape")


def path_of(loc: Iterable[int | str]) -> str:
    """A location as text: ``keys[3].default``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")


def _fault(detail: ErrorDetails) -> tuple[str, Fault]:
    """One of pydantic's errors: the rule and the fault."""
    kind = detail["type"]
    if kind in _FIELDS:
        return _FIELDS[kind]
    if kind in _MOST:
        rule, text, remedy = _MOST[kind]
        return rule, Fault(text.format_map(detail.get("ctx") or {}) + _got(detail), remedy)
    if kind == "literal_error":
        return "enum", _choice(detail)
    if kind == "string_pattern_mismatch":
        return "pattern", _mismatch(detail)
    return "shape", _mistyped(detail)


def _choice(detail: ErrorDetails) -> Fault:
    given = detail["input"]
    choices = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    suggestion = Guess(given, choices) if isinstance(given, str) else ""
    return Fault(f"must be one of {', '.join(choices)}{_got(detail)}", "choose one of them", suggestion)


def _mismatch(detail: ErrorDetails) -> Fault:
    pattern, got = str(detail.get("ctx", {}).get("pattern", "")), _got(detail)
    return Fault(
        f"must be {described(pattern)}{got}", "correct it", meant(pattern, detail["input"]) if got else ""
    )


def _mistyped(detail: ErrorDetails) -> Fault:
    stem, given = detail["type"].split("_")[0], detail["input"]
    if stem not in _TYPES:
        message = detail["msg"].removeprefix("Value error, ").replace("Input should", "must")
        return Fault(message[:1].lower() + message[1:], "correct it")
    expected, remedy = _TYPES[stem]
    if stem == "string":
        remedy = quote_it(given) if isinstance(given, bool | int | float) else "write text"
    return Fault(f"must be {expected}{_got(detail)}", remedy)


def _got(detail: ErrorDetails) -> str:
    return "" if may_be_secret(detail["loc"]) else _given(detail["input"])


def described(pattern: str) -> str:
    """A readable description of a pattern."""
    return PATTERNS.get(pattern, f"text that matches {pattern}")


def meant(pattern: str, value: Any) -> str:
    """The value that was probably meant by one that does not match; empty if unclear."""
    is_scalar = isinstance(value, str | int | float) and not isinstance(value, bool)
    return durations.nearest(value) if pattern == DURATION and is_scalar else ""


def may_be_secret(parts: Iterable[object]) -> bool:
    """Whether the value at a path may be sensitive, so that it must not be shown."""
    return not _SECRET.isdisjoint(map(str, parts))


def _given(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", got an object"
    return ", got a list" if isinstance(value, list) else f", got {short(value)}"
