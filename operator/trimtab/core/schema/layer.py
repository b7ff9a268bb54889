"""Layers: the values that one author set, checked against a template's keys and merged.

Checked is key by key, so that every mistake is reported. A user's values are first checked in one call
(:attr:`trimtab.core.schema.template.Schema.user_values`); only those that fail are checked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trimtab.core.schema import coerce, patterns
from trimtab.core.schema.key import Key, Value, check
from trimtab.core.schema.key_messages import coerced, counted, unknown_key
from trimtab.core.violations import TOO_LARGE, Fault, Notice, Violation

LOSSLESS = "Lossless"
USER = "user"


@dataclass(frozen=True, slots=True)
class Layer:
    """Checked values that one author set; ``name`` identifies them in provenance and violations."""

    name: str
    values: Mapping[str, Value]


def check_layer(
    keys: Mapping[str, Key], layer: str, given: Mapping[str, Any], coercion: str
) -> tuple[Layer, list[Violation], list[Notice]]:
    """Check one author's values key by key: unknown keys, types and limits, lossless coercion."""
    if costly := _too_costly(keys, layer, given):
        return Layer(layer, {}), [costly], []
    values: dict[str, Value] = {}
    found: list[Violation] = []
    notices: list[Notice] = []
    for name, raw in given.items():
        key = keys.get(name)
        if key is None:
            found.append(unknown_key(keys, name, layer, raw))
            continue
        value, problems, said = check_value(key, raw, layer, coercion)
        found += problems
        notices += said
        if key.sensitive and layer != USER:
            notices.append(in_clear(name, layer))
        if value is not None:
            values[name] = value
    return Layer(layer, values), found, notices


def _too_costly(keys: Mapping[str, Key], layer: str, given: Mapping[str, Any]) -> Violation | None:
    states = {name: keys[name].states for name in given if name in keys and keys[name].states}
    return too_costly(states, layer, {name: patterns.characters(given[name]) for name in states})


def too_costly(states: Mapping[str, int], layer: str, lengths: Mapping[str, int]) -> Violation | None:
    """Why values take too long to check against patterns, if they do: ``states`` are those of each key's patterns,
    ``lengths`` the characters of its value."""
    costs = {name: count * lengths[name] for name, count in states.items() if name in lengths}
    total = sum(costs.values())
    if total <= patterns.TOTAL_STEPS:
        return None
    problem = (
        f"checking all values against their patterns would take {total:,} steps (states times characters), the limit "
        f"is {patterns.TOTAL_STEPS:,}, and this key takes most of them"
    )
    fault = Fault(problem, "shorten its value, or simplify its pattern")
    return fault.at(max(costs, key=lambda name: costs[name]), layer, TOO_LARGE)


def document_problems(
    keys: Mapping[str, Key], group: str, values: Mapping[str, Value], layers: Sequence[Layer]
) -> list[Violation]:
    """What is wrong with a group's own document: merged values beyond limits, required keys without a value.

    ``values`` is that document, and ``layers`` are those that it was merged from.
    """
    found = []
    layer = f"group/{group}"
    for name, key in keys.items():
        if key.required and key.set_by == "Group" and name not in values:
            problem = f"is required and group {group} has no value for it"
            fault = Fault(problem, "set one in the group, its profile or as default")
            found.append(fault.at(name, layer, "required"))
        if key.merge != "Replace" and name in values:
            found += check_combined(key, values[name], layer, layers)
    return found


def check_combined(key: Key, value: Value, layer: str, layers: Iterable[Layer]) -> list[Violation]:
    """A value that ``merge`` combined from several layers, the highest last, against the key's own limits."""
    found = check(key, value, layer)[1]
    parts = [(part.name, part.values[key.name]) for part in layers if key.name in part.values]
    return [counted(key.spec, violation, value, parts) for violation in found]


def overlay(keys: Mapping[str, Key], layers: Iterable[Layer]) -> dict[str, Value]:
    """Layers from lowest to highest as one mapping, in the template's key order."""
    values: dict[str, Value] = {}
    for layer in layers:
        for name, value in layer.values.items():
            values[name] = keys[name].combine(values.get(name), value)
    return {name: values[name] for name in keys if name in values}


def in_clear(name: str, layer: str) -> Notice:
    """For the author of a sensitive value in the spec of an object."""
    of_policy = layer.startswith(("policy/", "enforced/"))
    kind = "PolicyRollout" if of_policy else "template"
    message = f"this sensitive value ({layer}) is readable by every client that may read the {kind}"
    return Notice(name, "SensitiveInPolicy" if of_policy else "SensitiveInTemplate", message)


def check_value(
    key: Key, raw: Any, layer: str, coercion: str
) -> tuple[Value | None, list[Violation], list[Notice]]:
    """One value: unchanged if it is valid, else coerced if nothing is lost, else its violations."""
    value, problems = check(key, raw, layer)
    if not problems or coercion != LOSSLESS or (converted := coerce.lossless(key.type, raw)) is None:
        return value, problems, []
    value, problems = check(key, converted, layer)
    reported = not problems and not key.sensitive  # how a sensitive value was written is not revealed
    return value, problems, [coerced(key.spec, raw, converted)] if reported else []
