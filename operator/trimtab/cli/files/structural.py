"""Validates a value against a structural schema as the API server does with strict field validation.

The schemas are those of the CRDs, so offline validation cannot differ from them. The API server drops null fields
before it validates; a field that is null counts as missing.
"""

from __future__ import annotations

import calendar
import operator
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from trimtab.core.model_errors import described, may_be_secret, meant
from trimtab.core.suggestion import nearest
from trimtab.core.text import quote_it, short
from trimtab.core.violations import Violation

JsonSchema = dict[str, Any]
_GUESSES = 20
"""Unknown fields of one object that get a suggestion: each costs a search."""
_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "object": ("an object", (dict,)),
    "array": ("a list", (list,)),
    "string": ("text", (str,)),
    "boolean": ("true or false", (bool,)),
    "integer": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
}
_UNSHOWN = (("a list", list), ("an object", dict), ("text", str))
"""How messages show a long value, or one that may be secret."""
_PART = re.compile(r"[^.\[\]]+")
_SELECTOR = frozenset(("matchLabels", "matchExpressions"))
_USUAL = {
    "waves": ("steps", "stages", "phases", "batches"),
    "soak": ("pause", "wait", "bake", "duration"),
    "gates": ("analysis", "checks", "metrics"),
    "enforced": ("locked", "overrides", "enforce"),
    "constraints": ("limits", "bounds", "rules"),
    "sensitive": ("secret", "confidential"),
    "enum": ("allowed", "choices", "options"),
}
"""Names of these fields in other programs."""
_ONE_OF = ("prometheus", "http", "job")
_NOT_BOTH = "!(has(self.groups) && has(self.groupSelector))"
RULES: dict[str, Callable[[dict[str, Any]], bool]] = {
    _NOT_BOTH: lambda it: not ("groups" in it and "groupSelector" in it),
    "(has(self.prometheus) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.job) ? 1 : 0) == 1": lambda it: (
        len(it.keys() & set(_ONE_OF)) == 1
    ),
    "self.action != 'Approve' || has(self.contentHash)": lambda it: (
        it.get("action") != "Approve" or "contentHash" in it
    ),
    "size(self.metadata.name) <= 63": lambda it: len(it["metadata"]["name"]) <= 63,
    "has(self.spec.user) || self.metadata.name.matches('^[a-z0-9-]{1,63}$')": lambda it: (
        "user" in it["spec"] or re.fullmatch(r"[a-z0-9-]{1,63}", it["metadata"]["name"]) is not None
    ),
}
"""The CRDs' CEL rules on one object. Rules on a change (oldSelf) cannot be checked offline."""
_LIMITS = (
    ("minimum", operator.lt, operator.le, "at least", "more than", "raise it"),
    ("maximum", operator.gt, operator.ge, "at most", "less than", "lower it"),
)
_TIME = re.compile(
    r"([0-9]{4})-(0[1-9]|1[0-2])-([0-9]{2})T(?:[01]?[0-9]|2[0-3])(?::[0-5][0-9]){2}(?:[.,][0-9]+)?"
    r"(?:Z|[-+](?:[01][0-9]|2[0-4]):(?:[0-5][0-9]|60))"
)


def check(value: Any, schema: JsonSchema, path: str) -> Iterator[Violation]:
    """All violations of the value, the deepest first within each field."""
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        yield _mistyped(value, schema, path)
    elif value not in schema.get("enum", (value,)):
        known = [str(each) for each in schema["enum"]]
        message = f"must be one of {', '.join(known)}, got {short(value)}"
        yield _wrong(path, "enum", message, "choose one of them", _near(str(value), known))
    elif (validate := _VALIDATORS.get(type(value))) is not None:
        yield from validate(value, schema, path)


def stored(value: Any, schema: JsonSchema) -> Any:
    """A valid value as the API server stores it: without nulls of fields and maps that have a schema."""
    if isinstance(value, list) and "items" in schema:
        return [stored(each, schema["items"]) for each in value]
    if not isinstance(value, dict):
        return value
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    kept = {}
    for name, below in value.items():
        inner = fields.get(name, others)
        if isinstance(inner, dict) and below is not None:
            kept[name] = stored(below, inner)
        elif not isinstance(inner, dict):
            kept[name] = below
    return kept


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind][1]) and (kind == "boolean" or not isinstance(value, bool))


def _mistyped(value: Any, schema: JsonSchema, path: str) -> Violation:
    kind, pattern = schema["type"], schema.get("pattern", "")
    name, got = _KINDS[kind][0], f"got {_given(value, path)}"
    if kind == "string" and isinstance(value, bool | int | float):
        text = str(value).lower()
        if not pattern or _pattern(pattern).search(text):
            return _wrong(path, "type", f"must be text, {got}", quote_it(value))
        return _wrong(
            path, "type", f"must be {described(pattern)}, {got}", "correct it", meant(pattern, value)
        )
    quoted = ", without quotes" if isinstance(value, str) and kind in ("boolean", "integer", "number") else ""
    return _wrong(path, "type", f"must be {_described(schema)}, {got}", f"write {name}{quoted}")


def _described(schema: JsonSchema) -> str:
    """The required value, for example ``an object with name and type``."""
    items = schema.get("items", {})
    if items.get("type") == "object":
        return _KINDS["array"][0] + " of objects" + _with(items)
    return _KINDS[schema["type"]][0] + _with(schema)


def _with(schema: JsonSchema) -> str:
    needed = schema.get("required", ())
    return f" with {' and '.join(needed)}" if needed else ""


def _given(value: Any, path: str) -> str:
    secret = may_be_secret(_PART.findall(path))
    if value is None:
        return "null"
    unshown = next((name for name, types in _UNSHOWN if isinstance(value, types)), "")
    return unshown if unshown and (secret or not isinstance(value, str)) else short(value)


def _object(value: dict[str, Any], schema: JsonSchema, path: str) -> Iterator[Violation]:
    there = {name: below for name, below in value.items() if below is not None}
    yield from _bounds(len(there), schema, path, "Properties", "entries")
    wrong = list(_fields(value, schema, path))
    yield from wrong
    missing = [name for name in schema.get("required", ()) if name not in there]
    for name in missing:
        yield _wrong(f"{_prefix(path)}{name}", "required", "is required", "set it")
    if not missing and not wrong:
        yield from _rules(there, schema, path)


def _prefix(path: str) -> str:
    return path + "." if path else ""


def _fields(value: dict[str, Any], schema: JsonSchema, path: str) -> Iterator[Violation]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    free = (not fields and others is None) or schema.get("x-kubernetes-preserve-unknown-fields", False)
    guesses, before = _GUESSES, _prefix(path)
    for name, below in value.items():
        inner = fields.get(name, others)
        if isinstance(inner, dict) and below is not None:
            yield from check(below, inner, f"{before}{name}"[:512])
        elif inner is None and not free:
            hint = _near(name, list(fields)) if guesses > 0 else ""
            guesses -= 1
            remedy = "remove it or correct its name"
            yield _wrong(f"{before}{name}"[:512], "unknown", "is not a field", remedy, hint)


def _rules(there: dict[str, Any], schema: JsonSchema, path: str) -> Iterator[Violation]:
    for rule in schema.get("x-kubernetes-validations", ()):
        holds = RULES.get(" ".join(rule["rule"].split()))
        if holds is not None and not holds(there):
            yield _wrong(path, "rule", rule["message"], "correct it")


def _list(value: list[Any], schema: JsonSchema, path: str) -> Iterator[Violation]:
    yield from _bounds(len(value), schema, path, "Items", "entries")
    inner, keys = schema.get("items"), schema.get("x-kubernetes-list-map-keys", [])
    kind = schema.get("x-kubernetes-list-type")
    seen: set[str] = set()
    for index, entry in enumerate(value):
        here = f"{path}[{index}]"
        wrong = list(check(entry, inner, here)) if inner is not None else []
        yield from wrong
        if wrong or kind not in ("map", "set"):
            continue
        mark = repr([entry.get(k) for k in keys] if kind == "map" and isinstance(entry, dict) else entry)
        if mark in seen:
            by = f" with this {' and '.join(keys)}" if keys else ""
            yield _wrong(here, "double", f"another entry{by} exists", "remove one")
        seen.add(mark)


def _text(value: str, schema: JsonSchema, path: str) -> Iterator[Violation]:
    long = list(_bounds(len(value), schema, path, "Length", "characters"))
    yield from long
    if schema.get("format") == "time" and not is_time(value):
        problem = f"must be a time, for example 2026-01-31T12:00:00Z, got {short(value)}"
        yield _wrong(path, "time", problem, "correct it")
    pattern = schema.get("pattern")
    if pattern is not None and not long and _pattern(pattern).search(value) is None:
        problem = f"must be {described(pattern)}, got {short(value)}"
        yield _wrong(path, "pattern", problem, "correct it", meant(pattern, value))


def is_time(text: str) -> bool:
    """Whether Go's ``time.Parse`` accepts it as RFC 3339: capital T and Z, and a day that the month has."""
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    return 1 <= day <= calendar.monthrange(year or 2000, month)[1]


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of Go, where ``$`` matches only at the end of the text."""
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def _bounds(count: int, schema: JsonSchema, path: str, what: str, unit: str) -> Iterator[Violation]:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    if count < least:
        some = unit.removesuffix("s") if least == 1 and unit != "entries" else "entry" if least == 1 else unit
        yield _wrong(path, f"min{what}", f"must have at least {least} {some}, has {count}", "add some")
    if most is not None and count > most:
        yield _wrong(path, f"max{what}", f"may have at most {most} {unit}, has {count}", "shorten it")


def _number(value: float, schema: JsonSchema, path: str) -> Iterator[Violation]:
    if schema.get("format") == "int32" and not -(2**31) <= value < 2**31:
        yield _wrong(
            path, "maximum", f"must fit 32 bits, got {value}", "raise it" if value < 0 else "lower it"
        )
        return
    for name, beyond, reached, inclusive, exclusive, remedy in _LIMITS:
        limit, strict = schema.get(name), schema.get(f"exclusive{name.capitalize()}", False)
        if limit is not None and (reached if strict else beyond)(value, limit):
            than = exclusive if strict else inclusive
            yield _wrong(path, name, f"must be {than} {limit}, got {value}", remedy)


_VALIDATORS: dict[type, Callable[[Any, JsonSchema, str], Iterator[Violation]]] = {
    dict: _object,
    list: _list,
    str: _text,
    int: _number,
    float: _number,
}


def _near(word: str, known: list[str]) -> str:
    """The known word that was probably intended: equal except case, - and _, or another program's name, or nearest."""
    if _SELECTOR.issuperset(known):
        return "matchLabels"
    usual = next((each for each, names in _USUAL.items() if word.casefold() in names and each in known), "")
    if usual:
        return usual
    plain = _squeezed(word)
    return next((each for each in known if _squeezed(each) == plain), "") or nearest(word, known)


def _squeezed(word: str) -> str:
    return word[:200].replace("_", "").replace("-", "").casefold()


def _wrong(path: str, rule: str, problem: str, remedy: str, suggestion: str = "") -> Violation:
    return Violation(path, "object", rule, problem, suggestion, remedy=remedy)
