"""What a model refuses of an object's shape, in the words of YAML and of the API rather than of pydantic.

What was given is shown only where it cannot be secret: a name or a choice, never a value, default or limit.
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
from trimtab.core.violations import Violation

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
_TYPES = {
    "string": ("text", "quote it"),
    "int": ("a whole number", "write a whole number, without quotes"),
    "float": ("a number", "write a number, without quotes"),
    "bool": ("true or false", "write true or false, without quotes"),
    "list": ("a list", "write a list"),
    "dict": ("a map", "write a map, as {name: value}"),
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
    DURATION: "a duration, as 90s, 5m or 1h30m",
    r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$": "letters, digits, -, _ and .",
    r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$": "letters, digits, -, _ and .",
    r"^(\*|[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*(\.\*)?)$": "*, a key's name, or a section as agent.*",
    r"^https?://.+": "a URL that begins with http:// or https://",
    r"^[-._A-Za-z0-9]+$": "letters, digits, -, _ and .",
}
"""The patterns that fields of our kinds must match, in words."""


def shape_violations(error: ValidationError, body: Any, layer: str = "template") -> tuple[Violation, ...]:
    """Every field of ``body`` that is wrong, once: the members of a union all complain of the same one."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        found.setdefault(_within(body, detail), []).append(detail)
    return tuple(_of_field(path_of(loc) or "spec", details, layer) for loc, details in found.items())


def _within(body: Any, detail: ErrorDetails) -> tuple[int | str, ...]:
    """The location without what only names a union's member."""
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
    """Of a union the member is meant whose type is right; if none is, any of their types will do."""
    fits = [each for each in details if not each["type"].endswith("_type")]
    types = {stem: each for each in details if (stem := each["type"].removesuffix("_type")) in _TYPES}
    if "float" in types:
        types.pop("int", None)
    if fits or len(types) < 2:
        return shape_violation(path, [*fits, *types.values(), *details][0], layer)
    *words, last = (_TYPES[each][0] for each in types)
    problem = f"must be {', '.join(words)} or {last}{_got(details[0])}"
    return Violation(path, layer, "shape", problem, remedy="write one of these")


def path_of(loc: Iterable[int | str]) -> str:
    """A location as people write it: ``keys[3].default``."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc]
    return "".join(parts).removeprefix(".")


def shape_violation(
    path: str, detail: Mapping[str, Any], layer: str, *, known: Iterable[str] = (), fields: Iterable[str] = ()
) -> Violation:
    """One of pydantic's errors. ``known`` are the fields beside one that is unknown; ``fields`` are those that an
    object must have where there is something else."""
    kind, context, loc = detail["type"], detail.get("ctx") or {}, detail["loc"]
    given, got = detail.get("input"), _got(detail)
    if kind == "extra_forbidden":
        guess, remedy = Guess(str(loc[-1]), list(known)), "remove it or correct its name"
        return Violation(path, layer, "unknown", "is not a field", remedy=remedy, suggestion=guess)
    if kind == "missing":
        return Violation(path, layer, "required", "is required", remedy="set it")
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        suggestion = Guess(given, choices) if isinstance(given, str) else ""
        problem, remedy = f"must be one of {', '.join(choices)}{got}", "choose one of them"
        return Violation(path, layer, "enum", problem, remedy=remedy, suggestion=suggestion)
    if kind in _MOST:
        rule, text, remedy = _MOST[kind]
        return Violation(path, layer, rule, text.format_map(context) + got, remedy=remedy)
    if kind == "string_pattern_mismatch":
        pattern = str(context.get("pattern", ""))
        near = meant(pattern, given) if got else ""
        return Violation(
            path,
            layer,
            "pattern",
            f"must be {described(pattern)}{got}",
            remedy="correct it",
            suggestion=near,
        )
    stem = kind.split("_")[0]
    if stem in _TYPES:
        wanted, remedy = _TYPES[stem]
        if stem == "string" and isinstance(given, bool | int | float) and not isinstance(given, str):
            remedy = quote_it(given)
        elif stem == "string":
            remedy = "write text"
        elif stem in ("model", "list") and (needed := " and ".join(fields)):
            remedy = f"write {'an object' if stem == 'model' else 'a list of objects'} with {needed}"
        return Violation(path, layer, "shape", f"must be {wanted}{got}", remedy=remedy)
    said = str(detail["msg"]).removeprefix("Value error, ").replace("Input should", "must")
    return Violation(path, layer, "shape", said[:1].lower() + said[1:], remedy="correct it")


def _got(detail: Mapping[str, Any]) -> str:
    return "" if may_be_secret(detail["loc"]) else _given(detail.get("input"))


def described(pattern: str) -> str:
    """What a field with this pattern must be, in words."""
    return PATTERNS.get(pattern, f"text that matches {pattern}")


def meant(pattern: str, value: Any) -> str:
    """What may have been meant by a value that does not match, if it is clear."""
    is_scalar = isinstance(value, str | int | float) and not isinstance(value, bool)
    return durations.nearest(value) if pattern == DURATION and is_scalar else ""


def may_be_secret(parts: Iterable[object]) -> bool:
    """Whether what stands at a path may be a sensitive value, so that it is not shown."""
    return not _SECRET.isdisjoint(map(str, parts))


def _given(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", got an object"
    return ", got a list" if isinstance(value, list) else f", got {short(value)}"
