"""The messages of a key: what is wrong with a value, and what to do about it.

Only :func:`uncompiled` and :func:`not_a_member` are called for sensitive keys: :func:`trimtab.core.schema.key.check`
reports nothing but :func:`~trimtab.core.violations.invalid` of their values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from trimtab.api.config_template import ItemsSpec, KeySpec
from trimtab.core import durations
from trimtab.core.schema import patterns
from trimtab.core.schema.types import ITEM_TYPES
from trimtab.core.suggestion import Guess
from trimtab.core.text import invisible, plural, quote_it, short
from trimtab.core.violations import Fault, Notice, Violation

NAME_LENGTH = 128
"""Characters of an unknown key that a message shows; no key has more."""
_NESTED = 20

_RULES: Mapping[str, tuple[str, str, str]] = {
    "greater_than_equal": ("minimum", "must be at least {limit}", "raise it"),
    "less_than_equal": ("maximum", "must be at most {limit}", "lower it"),
    "string_too_short": ("minLength", "needs at least {limit}", "lengthen it"),
    "string_too_long": ("maxLength", "may have at most {limit}", "shorten it"),
    "string_pattern_mismatch": (
        "pattern",
        "does not match the pattern {limit}",
        "change it to match the pattern",
    ),
    "too_short": ("minItems", "needs at least {limit}", "add entries"),
    "too_long": ("maxItems", "may have at most {limit}", "remove entries"),
    "literal_error": ("enum", "must be one of the allowed values: {limit}", "choose one of them"),
}
"""By the type of pydantic-core's error."""
_COUNTS = {
    "minLength": ("min_length", "character", "characters"),
    "maxLength": ("max_length", "character", "characters"),
    "minItems": ("min_items", "entry", "entries"),
    "maxItems": ("max_items", "entry", "entries"),
}
_SHAPES = {
    "String": "write text, in quotes",
    "Integer": "write a whole number, without quotes",
    "Number": "write a number, without quotes",
    "Boolean": "write true or false, without quotes",
    "Duration": "write a number and its unit, for example 90s, 5m or 1h30m",
    "StringList": "write a list, for example [one, two]",
    "NumberMap": "write a map of names to numbers, for example {name: 0.5}",
    "StringMap": "write a map of names to text, for example {name: text}",
}


def violation(spec: KeySpec, error: Any, layer: str) -> Violation:
    """One of pydantic-core's errors of a value, as a violation."""
    kind, given, location = error["type"], error.get("input"), error.get("loc", ())
    if kind == "string_too_short" and "[key]" in location:
        return Fault("has an entry without a name", "name it or remove it").at(spec.name, layer, "type")
    entry = tuple(str(part) for part in location if part not in (spec.name, "[key]"))
    where, type_ = "", str(spec.type)
    limits: KeySpec | ItemsSpec = spec
    if entry and spec.type in ITEM_TYPES:
        where = f"entry {'.'.join(part[:60] for part in entry)}: "
        limits, type_ = spec.items or ItemsSpec(), ITEM_TYPES[spec.type]
    rule, fault = _beyond(limits, kind, given) or ("type", _mistyped(type_, given, ranged=kind in _RULES))
    fault = fault._replace(problem=f"{where}{fault.problem}{_given(given)}")
    return replace(fault.at(spec.name, layer, rule), entry=entry)


def longest(limits: KeySpec | ItemsSpec) -> int | None:
    """The most characters of a text: ``maxLength``, or what its pattern can check in bounded time."""
    if limits.pattern is None or limits.max_length is not None:
        return limits.max_length
    return patterns.longest(limits.pattern)


def inexact(name: str, at: str, value: int, layer: str) -> Violation:
    """A whole number that a Number does not hold exactly; ``at`` is its entry of a map."""
    problem = f"{f'entry {at}: ' if at else ''}{short(value)} has more digits than a Number holds exactly"
    fault = Fault(problem, "shorten it, or make the key an Integer or a String")
    return replace(fault.at(name, layer, "type"), entry=(at,) if at else ())


def unknown_key(keys: Collection[str], name: str, layer: str, value: Any = None) -> Violation:
    """A value for a key that the template does not have."""
    shown, problem = name[:NAME_LENGTH], "is not a key of the template"
    remedy = "remove it or correct its name"
    suggestion: str | Guess = Guess(shown, keys)
    if hidden := invisible(shown):
        problem = f"{problem}: its name contains the invisible character {hidden}"
        remedy = "remove that character or correct the name"
    elif name != shown:
        problem = f"{problem}: its name has {len(name)} characters, and this is its beginning"
    if nested := next(filter(keys.__contains__, _paths(shown, value)), ""):
        remedy, suggestion = f"write {nested} with its dots", nested
    return Fault(problem, remedy, suggestion).at(shown, layer, "unknown")


def _paths(name: str, value: Any) -> Iterator[str]:
    """The first few dotted names in nested maps."""
    stack, seen = [(name, value)], 0
    while stack and seen < _NESTED:
        path, here = stack.pop()
        seen += 1
        yield path
        if isinstance(here, dict):
            some = islice(here.items(), _NESTED)
            stack += [(f"{path}.{part}", below) for part, below in some if len(part) < 100]


def coerced(spec: KeySpec, given: Any, value: Any) -> Notice:
    """The warning for a value that was not written as the key's type."""
    kind = f"{'an' if spec.type[0] in 'AEIOU' else 'a'} {spec.type}"
    written = "" if isinstance(given, list | dict) else f" {short(given)}"
    remedy = "quote it" if spec.type == "String" else f"write it as {kind}"
    message = f"the value{written} is not {kind} and was interpreted as {short(value)}; {remedy}"
    return Notice(spec.name, "Coerced", message)


def counted(spec: KeySpec, found: Violation, value: Any, parts: Sequence[tuple[str, Any]]) -> Violation:
    """A violation of a merged value: which layer set how many entries, if there are too many or too few."""
    if found.rule not in ("minItems", "maxItems") or len(parts) < 2:
        return found
    listed = ", ".join(f"{len(part)} from {layer}" for layer, part in reversed(parts[-4:]))
    most = "needs at least" if found.rule == "minItems" else "may have at most"
    limit = _limit(found.rule, getattr(spec, _COUNTS[found.rule][0]))
    problem = f"{most} {limit}, and has {len(value)} with merge {spec.merge}: {listed}"
    return replace(found, problem=problem)


def uncompiled(name: str, pattern: str, error: Exception, *, hidden: bool) -> Fault:
    """Why a pattern does not compile, with the position of the error."""
    if hidden:
        remedy = "correct the pattern (it may have no look-around or back-references)"
        return Fault(f"{name} does not compile", remedy)
    lines = str(error).splitlines()
    why = lines[-1].removeprefix("error: ").strip()[:200]
    marked = next((line for line in lines if re.fullmatch(r" *\^+", line)), "")
    place = marked.find("^") - 4 if "\n" not in pattern else -1
    at = f" at character {place + 1}" if place >= 0 else ""
    return Fault(f"{name} {short(pattern)} does not compile{at}: {why}", "correct the pattern")


def not_a_member(spec: KeySpec, wrong: Sequence[Any]) -> Fault:
    """Members of a key's enum that its type or its other limits do not allow, at least one."""
    shown, remedy = "" if spec.sensitive else f" {short(wrong[0])}", "correct or remove it"
    if spec.type == "String" and any(isinstance(member, bool) for member in wrong):
        remedy = "quote on and off, yes and no, y and n: YAML reads them as true and false"
    elif spec.type == "String" and not all(isinstance(member, str) for member in wrong):
        remedy = "quote it: YAML reads unquoted digits as a number"
    elif spec.type in ("Integer", "Number") and isinstance(wrong[0], str):
        remedy = "write numbers, without quotes"
    return Fault(f"enum: the member{shown} is not a valid {spec.type} under the other limits", remedy)


def _beyond(limits: KeySpec | ItemsSpec, kind: str, given: Any) -> tuple[str, Fault] | None:
    """The declared limit that a value breaks, if the error is of one, and the fault."""
    if kind not in _RULES:
        return None
    rule, text, remedy = _RULES[kind]
    limit = getattr(limits, _COUNTS.get(rule, (rule,))[0], None)
    if rule == "maxLength" and limit is None and limits.pattern:
        limit, text = longest(limits), f"{text}, as its pattern cannot check longer texts in time"
    if limit is None:
        return None
    return rule, Fault(text.format(limit=_limit(rule, limit)), remedy, _suggestion(rule, limit, given))


def _suggestion(rule: str, limit: Any, given: Any) -> str | Guess:
    if rule == "enum" and isinstance(given, str):
        return Guess(given, [member for member in limit if isinstance(member, str)])
    return str(limit) if rule in ("minimum", "maximum") else ""


def _limit(rule: str, limit: Any) -> str:
    if rule in _COUNTS:
        return plural(limit, *_COUNTS[rule][1:])
    members = limit[:20] if rule == "enum" else [limit]
    return ", ".join(member if isinstance(member, str) else short(member) for member in members)


def _mistyped(kind: str, given: Any, *, ranged: bool) -> Fault:
    """A value that is not of the type. ``ranged``: it breaks a limit that no template sets: 64 bits, the length of a
    duration."""
    if given is None:
        return Fault("null is not a value", "remove the key to leave it unset")
    if ranged:
        remedy = "make the key a String" if kind == "Integer" else "write a smaller one"
        return Fault(f"is out of range for {kind}", remedy)
    if kind == "String" and isinstance(given, bool | int | float):
        return Fault("must be of type String", quote_it(given))
    if kind == "Duration" and isinstance(given, str | int) and not isinstance(given, bool):
        near = durations.nearest(given)
        return Fault(_not_duration(given), f"write {near}" if near else _SHAPES[kind], near.split(" or ")[0])
    return Fault(f"must be of type {kind}", _SHAPES[kind])


def _not_duration(given: str | int) -> str:
    try:
        durations.nanoseconds(str(given))
    except ValueError as error:
        return f"is {error}"
    return "must be of type Duration"


def _given(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        kind = "map" if isinstance(value, dict) else "list"
        return f", got a {kind} of {plural(len(value), 'entry', 'entries')}"
    return f", got {short(value)}"
