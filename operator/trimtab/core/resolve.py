"""Layers to values: default < profile < group < user, with the provenance of every value.

A :class:`GroupView` is made once for each group of a schema; each user then costs one validation in Rust and
one dict merge. Provenance is worked out only when somebody asks (:func:`trace`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic_core import ValidationError

from trimtab.core.keys import Value, check
from trimtab.core.problems import Notice, Violation
from trimtab.core.schema import USER, Group, Layer, Schema, check_layer, overlay


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one user's inputs come to: ``values`` is the whole document, ``own`` only what the user set.

    With ``violations`` the inputs are refused, and ``values`` is the group's document.
    """

    values: Mapping[str, Value]
    own: Mapping[str, Value]
    violations: tuple[Violation, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group of one schema, ready to resolve users."""

    schema: Schema
    group: Group
    values: Mapping[str, Value]
    owed: frozenset[str]
    """Required keys that the group has no value for: each user must set them."""

    def resolve(self, given: bytes | Mapping[str, Any]) -> Resolution:
        """Resolve one user's values, given as JSON text or as a mapping."""
        validator = self.schema.user_values
        try:
            own: dict[str, Value] = (
                validator.validate_json(given)
                if isinstance(given, bytes)
                else validator.validate_python(given)
            )
        except ValidationError:
            return self._slowly(given)
        if not self.schema.special.isdisjoint(own) or not self.owed <= own.keys():
            return self._combined(own, (), ())
        return Resolution({**self.values, **own}, own)

    def _slowly(self, given: bytes | Mapping[str, Any]) -> Resolution:
        """Key by key, to coerce what can be and to name everything that is wrong."""
        mapping = msgspec.json.decode(given) if isinstance(given, bytes) else given
        layer, violations, notices = check_layer(self.schema.keys, USER, mapping, self.schema.coercion)
        return self._combined(dict(layer.values), tuple(violations), tuple(notices))

    def _combined(
        self, own: dict[str, Value], violations: tuple[Violation, ...], notices: tuple[Notice, ...]
    ) -> Resolution:
        """The rules beyond types: who may set a key, what is required, merged values within their limits."""
        keys = self.schema.keys
        found, said = list(violations), list(notices)
        values = dict(self.values)
        failed = {violation.key for violation in violations}
        for name, value in own.items():
            key = keys[name]
            values[name] = key.combine(self.values.get(name), value)
            if key.sensitive:
                found.append(
                    Violation(
                        name,
                        USER,
                        "sensitive",
                        "is sensitive and may not be written in clear; remove it from values",
                    )
                )
            elif key.set_by == "Group":
                found.append(Violation(name, USER, "setBy", "is set by the group, not by users; remove it"))
            elif key.merge != "Replace" and name in self.values:
                found += check(key, values[name], USER)[1]
            if key.spec.deprecated:
                said.append(Notice(name, "Deprecated", f"is deprecated: {key.spec.deprecated.message}"))
        for name in self.schema.keys:
            if name in self.owed and name not in own and name not in failed:
                found.append(Violation(name, USER, "required", "is required and has no value; set it"))
        if found:
            return Resolution(self.values, {}, tuple(found), tuple(said))
        return Resolution(values, own, (), tuple(said))


def group_view(schema: Schema, name: str) -> GroupView:
    """The view of one group. :raises KeyError: no such group."""
    group = schema.groups[name]
    values = overlay(schema.keys, group.layers)
    owed = frozenset(
        n for n, k in schema.keys.items() if k.required and k.set_by == "User" and n not in values
    )
    return GroupView(schema, group, values, owed)


@dataclass(frozen=True, slots=True)
class Trace:
    """One key's provenance. ``layer`` is the highest that set it; ``shadowed`` the lower ones, highest first.

    ``combined`` says that ``merge`` made the value of all of them together.
    """

    key: str
    value: Value | None
    layer: str
    shadowed: tuple[tuple[str, Value], ...]
    combined: bool
    sensitive: bool


def trace(view: GroupView, own: Mapping[str, Value]) -> dict[str, Trace]:
    """The provenance of every key, in the template's order; a key that nobody set has layer ``unset``."""
    layers = [*view.group.layers, Layer(USER, own)]
    traces = {}
    for name, key in view.schema.keys.items():
        setters = [(layer.name, layer.values[name]) for layer in layers if name in layer.values]
        value: Value | None = None
        for _, given in setters:
            value = key.combine(value, given)
        traces[name] = Trace(
            key=name,
            value=value,
            layer=setters[-1][0] if setters else "unset",
            shadowed=tuple(reversed(setters[:-1])),
            combined=key.merge != "Replace" and len(setters) > 1,
            sensitive=key.sensitive,
        )
    return traces
