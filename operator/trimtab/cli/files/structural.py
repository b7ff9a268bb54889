"""A value against a structural schema, as the API server checks it with strict field validation.

The schemas are the very ones that the CRDs carry, so what is refused offline cannot drift from them. The API server
drops a null of an object's field before it checks; a field that is null is one that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from trimtab.cli.files.times import is_time
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
"""What stands for a value that is long, or that may be secret."""
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
"""What other programs call our fields."""
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
"""The CRDs' rules in CEL of one object; those on a change (oldSelf) have nothing to compare with offline."""


def check(value: Any, schema: JsonSchema, path: str) -> Iterator[Violation]:
    """Everything that is wrong with the value, deepest first within each field."""
    kind = schema.get("type")
    if kind is not None and not _is(value, kind):
        yield _mistyped(value, schema, path)
        return
    if "enum" in schema and value not in schema["enum"]:
        known = [str(each) for each in schema["enum"]]
        message = f"must be one of {', '.join(known)}, got {short(value)}"
        yield _wrong(path, "enum", message, "choose one of them", _near(str(value), known))
    elif isinstance(value, dict):
        yield from _object(value, schema, path)
    elif isinstance(value, list):
        yield from _list(value, schema, path)
    elif isinstance(value, str):
        yield from _text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)


def stored(value: Any, schema: JsonSchema) -> Any:
    """A value that was checked, as the API server keeps it: without the nulls of fields and maps that have a schema."""
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
    """``an object with name and type``: what is needed, so that the next try is right."""
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
    fields = schema.get("properties", {})
    others = schema.get("additionalProperties")
    free = (not fields and others is None) or schema.get("x-kubernetes-preserve-unknown-fields", False)
    there = {name: below for name, below in value.items() if below is not None}
    yield from _bounds(len(there), schema, path, "Properties", "entries")
    wrong = [*_fields(value, schema, path, free=free)]
    yield from wrong
    before = path + "." if path else ""
    missing = [name for name in schema.get("required", ()) if name not in there]
    for name in missing:
        yield _wrong(f"{before}{name}", "required", "is required", "set it")
    if not missing and not wrong:
        yield from _rules(there, schema, path)


def _fields(value: dict[str, Any], schema: JsonSchema, path: str, *, free: bool) -> Iterator[Violation]:
    fields, others = schema.get("properties", {}), schema.get("additionalProperties")
    guesses, before = _GUESSES, path + "." if path else ""
    for name, below in value.items():
        inner = fields.get(name, others)
        if inner is not None and inner is not True:
            if below is not None:
                yield from check(below, inner, f"{before}{name}"[:512])
        elif not free and inner is None:
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
            yield _wrong(here, "double", f"another entry{by} is there", "remove one")
        seen.add(mark)


def _text(value: str, schema: JsonSchema, path: str) -> Iterator[Violation]:
    long = list(_bounds(len(value), schema, path, "Length", "characters"))
    yield from long
    if schema.get("format") == "time" and not is_time(value):
        yield _wrong(
            path, "time", f"must be a time, as 2026-01-31T12:00:00Z, got {short(value)}", "correct it"
        )
    pattern = schema.get("pattern")
    if pattern is not None and not long and _pattern(pattern).search(value) is None:
        problem = f"must be {described(pattern)}, got {short(value)}"
        yield _wrong(path, "pattern", problem, "correct it", meant(pattern, value))


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    """Of Go, where ``$`` is the very end."""
    return re.compile(re.sub(r"\$$", r"\\Z", pattern))


def _bounds(count: int, schema: JsonSchema, path: str, what: str, unit: str) -> Iterator[Violation]:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}")
    if count < least:
        some = unit.removesuffix("s") if least == 1 and unit != "entries" else "entry" if least == 1 else unit
        yield _wrong(path, f"min{what}", f"must have at least {least} {some}, has {count}", "add some")
    if most is not None and count > most:
        yield _wrong(path, f"max{what}", f"may have at most {most} {unit}, has {count}", "shorten it")


def _number(value: float, schema: JsonSchema, path: str) -> Iterator[Violation]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if schema.get("format") == "int32" and not -(2**31) <= value < 2**31:
        yield _wrong(
            path, "maximum", f"must fit 32 bits, got {value}", "raise it" if value < 0 else "lower it"
        )
        return
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        than = "more than" if schema.get("exclusiveMinimum") else "at least"
        yield _wrong(path, "minimum", f"must be {than} {least}, got {value}", "raise it")
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        than = "less than" if schema.get("exclusiveMaximum") else "at most"
        yield _wrong(path, "maximum", f"must be {than} {most}, got {value}", "lower it")


def _near(word: str, known: list[str]) -> str:
    """The known word that is meant: with other letters' case or underscores, by another usual name, or the closest."""
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
