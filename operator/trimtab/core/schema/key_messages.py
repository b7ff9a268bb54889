"""A broken rule of a key in words: what is wrong with a value, and what to do about it.

Nothing said of a sensitive key shows its value or its limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from trimtab.api.config_template import ItemsSpec, KeySpec
from trimtab.core import durations
from trimtab.core.schema import patterns
from trimtab.core.suggestion import Guess
from trimtab.core.text import invisible, plural, quote_it, short
from trimtab.core.violations import Notice, Violation

if TYPE_CHECKING:
    from trimtab.core.schema.key import Key

MAPS = frozenset({"NumberMap", "StringMap"})
ITEM_TYPES = {"StringList": "String", "StringMap": "String", "NumberMap": "Number"}
NAME_LENGTH = 128
"""Characters of an unknown key that a message shows; no key has more."""
_NESTED = 20
EXACT = 2**53
"""Up to here a Number holds every whole number."""

_RULES: Mapping[str, tuple[str, str, str]] = {
    "greater_than_equal": ("minimum", "must be at least {limit}", "raise it"),
    "less_than_equal": ("maximum", "must be at most {limit}", "lower it"),
    "string_too_short": ("minLength", "needs at least {limit} characters", "lengthen it"),
    "string_too_long": ("maxLength", "may have at most {limit} characters", "shorten it"),
    "string_pattern_mismatch": (
        "pattern",
        "does not match the pattern {limit}",
        "write it as the pattern says",
    ),
    "too_short": ("minItems", "needs at least {limit} entries", "add entries"),
    "too_long": ("maxItems", "may have at most {limit} entries", "remove entries"),
    "literal_error": ("enum", "must be one of the allowed values{limit}", "choose one of them"),
}
_ATTRIBUTES = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
}
_SHAPES = {
    "Integer": "write a whole number, without quotes",
    "Number": "write a number, without quotes",
    "Boolean": "write true or false, without quotes",
    "Duration": "write a number and its unit, as 90s, 5m or 1h30m",
    "StringList": "write a list, as [one, two]",
    "NumberMap": "write a map of names to numbers, as {name: 0.5}",
    "StringMap": "write a map of names to text, as {name: text}",
}


def violation(key: Key, error: Any, layer: str) -> Violation:
    """A pydantic-core error in our words."""
    kind, given = error["type"], error.get("input")
    if kind == "string_too_short" and "[key]" in error.get("loc", ()):
        return Violation(
            key.name, layer, "type", "has an entry without a name", remedy="name it or remove it"
        )
    entry = tuple(str(part) for part in error.get("loc", ()) if part not in (key.name, "[key]"))
    inner = [part[:60] for part in entry]
    item = bool(inner) and key.type in ITEM_TYPES
    type_ = ITEM_TYPES[key.type] if item else key.type
    at = f"entry {'.'.join(inner)}: " if item and not key.sensitive else ""
    limits = key.spec.items if item and key.spec.items else key.spec
    rule, text, remedy = _RULES.get(kind, ("", "", ""))
    limit = getattr(limits, _ATTRIBUTES.get(rule, rule), None) if rule else None
    got = "" if key.sensitive else _given(given)
    if rule == "maxLength" and limit is None and getattr(limits, "pattern", None):
        limit, text = longest(limits), f"{text}, as its pattern cannot check longer texts in time"
    if rule and limit is not None:
        shown = "" if rule == "enum" else "the limit"
        if not key.sensitive:
            members = ", ".join(_limit(member) for member in limit[:20]) if rule == "enum" else ""
            shown = f": {members}" if members else _limit(limit)
        suggestion = "" if key.sensitive else _suggested(rule, limit, given)
        problem = f"{at}{text.format(limit=shown)}{got}"
        return Violation(key.name, layer, rule, problem, remedy=remedy, suggestion=suggestion, entry=entry)
    problem, remedy, near = _mistyped(type_, given, ranged=bool(rule))
    if key.sensitive:
        remedy = _remedy(type_)
    return Violation(
        key.name,
        layer,
        "type",
        f"{at}{problem}{got}",
        remedy=remedy,
        suggestion="" if key.sensitive else near,
        entry=entry,
    )


def longest(limits: KeySpec | ItemsSpec) -> int | None:
    """The most characters of a text: ``maxLength``, or what its pattern can check in bounded time."""
    if limits.pattern is None or limits.max_length is not None:
        return limits.max_length
    return patterns.longest(limits.pattern)


def inexact(key: Key, at: str, value: int, layer: str) -> Violation:
    """A whole number that a Number does not hold."""
    shown = "" if key.sensitive else f"{f'entry {at}: ' if at else ''}{short(value)} "
    problem = f"{shown}has more digits than a Number holds exactly"
    remedy = "shorten it, or make the key an Integer or a String"
    return Violation(key.name, layer, "type", problem, remedy=remedy, entry=(at,) if at else ())


def unknown_key(keys: Mapping[str, Key], name: str, layer: str, value: Any = None) -> Violation:
    """A value for a key that the template does not have."""
    shown, problem, remedy = (
        name[:NAME_LENGTH],
        "is not a key of the template",
        "remove it or correct its name",
    )
    hidden = invisible(name[:NAME_LENGTH])
    if hidden:
        problem = f"{problem}: its name contains the invisible character {hidden}"
        remedy = "remove that character or correct the name"
    elif name != shown:
        problem = f"{problem}: its name has {len(name)} characters, and this is its beginning"
    below = next(filter(keys.__contains__, _paths(shown, value)), "")
    if below:
        return Violation(
            shown, layer, "unknown", problem, remedy=f"write {below} with its dots", suggestion=below
        )
    return Violation(shown, layer, "unknown", problem, remedy=remedy, suggestion=Guess(shown, keys))


def _paths(name: str, value: Any) -> Iterator[str]:
    """The first few dotted names in nested maps."""
    stack, seen = [(name, value)], 0
    while stack and seen < _NESTED:
        path, here = stack.pop()
        seen += 1
        if not isinstance(here, dict):
            yield path
            continue
        yield path
        stack += [
            (f"{path}.{part}", below) for part, below in islice(here.items(), _NESTED) if len(part) < 100
        ]


def coerced(key: Key, given: Any, taken: Any) -> Notice:
    """The warning for a value that was not written as the key's type."""
    values = "" if key.sensitive else f" {short(taken)}"
    said = "" if key.sensitive or isinstance(given, list | dict) else f" {short(given)}"
    kind = f"{'an' if key.type[0] in 'AEIOU' else 'a'} {key.type}"
    remedy = "quote it" if key.type == "String" else f"write it as {kind}"
    message = f"the value{said} is not {kind} and was taken as{values or f' {kind}'}; {remedy}"
    return Notice(key.name, "Coerced", message)


def counted(key: Key, violation: Violation, value: Any, parts: Sequence[tuple[str, Any]]) -> Violation:
    """A violation of a merged value: who wrote how many of its entries, where there are too many or too few."""
    if violation.rule not in ("minItems", "maxItems") or len(parts) < 2 or key.sensitive:
        return violation
    listed = ", ".join(f"{len(part)} from {layer}" for layer, part in reversed(parts[-4:]))
    most = "needs at least" if violation.rule == "minItems" else "may have at most"
    limit = plural(getattr(key.spec, _ATTRIBUTES[violation.rule]), "entry", "entries")
    problem = f"{most} {limit}, and has {len(value)} with merge {key.merge}: {listed}"
    return replace(violation, problem=problem)


def _limit(limit: Any) -> str:
    return limit if isinstance(limit, str) else short(limit)


def _suggested(rule: str, limit: Any, given: Any) -> str | Guess:
    if rule == "enum":
        return Guess(given, [m for m in limit if isinstance(m, str)]) if isinstance(given, str) else ""
    return str(limit) if rule in ("minimum", "maximum") else ""


def _mistyped(kind: str, given: Any, *, ranged: bool) -> tuple[str, str, str]:
    """What is wrong with a value that is not of the type, what to do, and what it may have been meant to be."""
    if given is None:
        return "null is no value", "remove the key to leave it unset", ""
    if ranged:  # the limits that no template sets: 64 bits, a duration's length
        return (
            f"is out of range for {kind}",
            "write a smaller one" if kind != "Integer" else "make the key a String",
            "",
        )
    if kind == "String" and isinstance(given, bool | int | float):
        return "must be of type String", quote_it(given), ""
    if kind == "Duration" and isinstance(given, str | int) and not isinstance(given, bool):
        near = durations.nearest(given)
        return _not_duration(given), f"write {near}" if near else _SHAPES[kind], near.split(" or ")[0]
    return f"must be of type {kind}", _remedy(kind), ""


def _not_duration(given: str | int) -> str:
    try:
        durations.nanoseconds(str(given))
    except ValueError as error:
        return f"is {error}"
    return "must be of type Duration"


def _remedy(kind: str) -> str:
    return _SHAPES.get(kind, "write text, in quotes")


def _given(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return f", got a {'map' if isinstance(value, dict) else 'list'} of {plural(len(value), 'entry', 'entries')}"
    return f", got {short(value)}"


def uncompiled(name: str, pattern: str, error: Exception, *, hidden: bool) -> tuple[str, str]:
    """Why a pattern does not compile, with the place in it, and what to do."""
    if hidden:
        return (
            f"{name} does not compile",
            "correct the pattern (it may have no look-around or back-references)",
        )
    lines = str(error).splitlines()
    why = lines[-1].removeprefix("error: ").strip()[:200]
    marked = next((line for line in lines if re.fullmatch(r" *\^+", line)), "")
    place = marked.find("^") - 4 if "\n" not in pattern else -1
    at = f" at character {place + 1}" if place >= 0 else ""
    return f"{name} {short(pattern)} does not compile{at}: {why}", "correct the pattern"
