"""Layers to values: default < profile < group < policy < user < enforced, then constraints clamp or drop.

A :class:`GroupView` is computed once for each group of a schema and the policies over it; each user then costs one
validation in Rust and one dict merge, unless they set a key that a policy enforces or constrains. Provenance is
computed on request (:func:`trace`).

A user's values are validated as if there were no policies, except that a policy may set what is ``required``. So a
policy never makes a user invalid. Notices inform a user of what a policy does to their values
(:mod:`trimtab.core.policy.notices`); a user whose document fails only because of policies gets the group's.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic_core import ValidationError

from trimtab.core.policy import notices as policy_notices
from trimtab.core.policy.clamping import Limits, Setter, Settled, combined
from trimtab.core.policy.constraint import Constraint
from trimtab.core.policy.notices import Lock
from trimtab.core.policy.policy import Policy, ordered
from trimtab.core.schema import layer as layers
from trimtab.core.schema import patterns
from trimtab.core.schema.key import Key, Value, check
from trimtab.core.schema.layer import USER, Layer, check_combined, check_layer, overlay, too_costly
from trimtab.core.schema.template import Group, Schema
from trimtab.core.violations import TOO_LARGE, Fault, Notice, Violation


@dataclass(frozen=True, slots=True)
class Resolution:
    """The result of one user's inputs: ``values`` is the whole document, ``own`` only what the user set.

    With ``violations`` the inputs are rejected, and ``values`` is the group's document.
    """

    values: Mapping[str, Value]
    own: Mapping[str, Value]
    violations: tuple[Violation, ...] = ()
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group of one schema under its policies, ready to resolve users."""

    schema: Schema
    group: Group
    policies: tuple[Policy, ...]
    """The one that takes precedence first."""
    layers: tuple[Layer, ...]
    """Those below the user's, lowest first."""
    values: Mapping[str, Value]
    """The group's own document."""
    bare: Mapping[str, Value]
    """What it would be without policies."""
    unset_required: frozenset[str]
    """Required keys that the group has no value for: each user must set them."""
    required: frozenset[str]
    """Required keys that users may set."""
    special: frozenset[str]
    """Keys that need more than a plain overlay when a user sets them."""
    locks: Mapping[str, Lock]
    limits: Mapping[str, Limits]
    unbound: bool = False
    """Whether its digests have the form of versions before digests were bound to their object."""

    def resolve(self, given: bytes | Mapping[str, Any]) -> Resolution:
        """Resolve one user's values, given as JSON text or as a mapping."""
        validator = self.schema.user_values
        if self._is_costly(given):
            return self._slowly(given)
        try:
            own: dict[str, Value] = (
                validator.validate_json(given)
                if isinstance(given, bytes)
                else validator.validate_python(given)
            )
        except ValidationError:
            return self._slowly(given)
        if not self.special.isdisjoint(own) or not self.unset_required <= own.keys():
            return self._combined(own)
        return Resolution({**self.values, **own}, own)

    def _is_costly(self, given: bytes | Mapping[str, Any]) -> bool:
        """Whether the values might take too long to check against the keys' patterns."""
        heaviest = self.schema.heaviest
        return heaviest > 0 and not (
            isinstance(given, bytes) and len(given) * heaviest <= patterns.TOTAL_STEPS
        )

    def _slowly(self, given: bytes | Mapping[str, Any]) -> Resolution:
        """Key by key, to coerce what can be coerced and to report everything that is wrong."""
        mapping = msgspec.json.decode(given) if isinstance(given, bytes) else given
        hidden = self.schema.sensitive & mapping.keys()
        if hidden:  # rejected whatever their values are
            mapping = {name: value for name, value in mapping.items() if name not in hidden}
        layer, violations, notices = check_layer(self.schema.keys, USER, mapping, self.schema.coercion)
        if any(violation.rule == TOO_LARGE for violation in violations):
            return Resolution(self.values, {}, tuple(violations), tuple(notices))
        violations += [_in_clear(name) for name in _in_order(hidden, self.schema)]
        own = {name: layer.values[name] for name in _in_order(layer.values, self.schema)}
        return self._combined(own, violations, notices)

    def _combined(
        self, own: dict[str, Value], violations: Sequence[Violation] = (), notices: Sequence[Notice] = ()
    ) -> Resolution:
        """Values of the right types under the rules beyond types."""
        found = [*violations, *self._broken_rules(own)]
        if self.unset_required:
            found += self._missing(own.keys() | {violation.key for violation in violations})
        said = [*notices, *self._deprecated(own)]
        if found:
            return Resolution(self.values, {}, tuple(found), tuple(said))
        return self._under_policies(own, said)

    def _deprecated(self, own: Iterable[str]) -> list[Notice]:
        keys = self.schema.keys
        return [
            Notice(name, "Deprecated", f"is deprecated: {deprecated.message}")
            for name in filter(self.schema.special.__contains__, own)
            if (deprecated := keys[name].spec.deprecated)
        ]

    def _broken_rules(self, own: dict[str, Value]) -> Iterator[Violation]:
        """Who may set a key, and merged values within their limits."""
        for name in filter(self.schema.special.__contains__, own):
            key = self.schema.keys[name]
            if key.sensitive:
                yield _in_clear(name)
            elif key.set_by == "Group":
                yield Fault("is set by the group, not by users", "remove it").at(name, USER, "setBy")
            elif key.merge != "Replace" and name in self.bare:
                layers = (*self.group.layers, Layer(USER, own))
                yield from check_combined(key, key.combine(self.bare[name], own[name]), USER, layers)

    def _missing(self, given: Container[str]) -> Iterator[Violation]:
        for name in _in_order(self.unset_required, self.schema):
            if name not in self.bare and name not in given:
                yield Fault("is required and has no value", "set it").at(name, USER, "required")

    def _under_policies(self, own: dict[str, Value], said: list[Notice]) -> Resolution:
        """Valid values of a user, as far as the policies allow them."""
        costly = self._costly_constraints(own) if self.limits else None
        if costly is not None:
            return Resolution(self.values, {}, (), (*said, costly))
        values, changes, conflicts = dict(self.values), [], []
        for name, value in own.items():
            if name not in self.special:
                values[name] = value
                continue
            key = self.schema.keys[name]
            decided, notices = self._decide(key, value, values.pop(name, None))
            changes += notices
            if decided is not None:
                values[name] = decided
                conflicts += self._exceeded(key, decided)
        conflicts += self._left_unset(own, values)
        if conflicts:
            return Resolution(self.values, {}, (), (*said, *conflicts))
        return Resolution(values, own, (), (*said, *changes))

    def _costly_constraints(self, own: dict[str, Value]) -> Notice | None:
        """Why the values take too long to check against the constraints' patterns, if they do."""
        states = {name: limits.states for name, limits in self.limits.items() if limits.states}
        lengths = {name: patterns.characters(own[name]) for name in states if name in own}
        costly = too_costly(states, USER, lengths)
        return policy_notices.exceeded(costly, self.authors(costly.key)) if costly else None

    def _decide(self, key: Key, value: Value, below: Value | None) -> tuple[Value | None, list[Notice]]:
        """The value of a special key that the user set, and the notices about it. ``below`` is the group's value."""
        lock = self.locks.get(key.name)
        if lock is not None:
            return below, policy_notices.locked(key, lock, value, below)
        limits = self.limits.get(key.name)
        if limits is None or (key.merge == "Replace" and limits.broken(value) is None):
            return key.combine(below, value), []
        settled = limits.settle([*setters(self.layers, key.name), (USER, value)])
        return settled.value, policy_notices.limited(key, settled)

    def _exceeded(self, key: Key, value: Value) -> list[Notice]:
        """Why a value that was merged with those of policies breaks the key's own limits, if it does."""
        if not self.policies or key.merge == "Replace" or key.name in self.locks:
            return []
        return [policy_notices.exceeded(each, self.authors(key.name)) for each in check(key, value, USER)[1]]

    def _left_unset(self, own: dict[str, Value], values: dict[str, Value]) -> list[Notice]:
        """Required keys that constraints left without a value."""
        if self.required <= values.keys():
            return []
        lost = _in_order(self.required - values.keys(), self.schema)
        return [policy_notices.left_unset(name, _settled(self, name, own).by) for name in lost]

    def authors(self, name: str) -> list[str]:
        """The policies that set or constrain a key below its user, the one that takes precedence first."""
        return [p.name for p in self.policies if name in p.values.values or name in p.constraints]


def _in_order(names: Container[str], schema: Schema) -> list[str]:
    """Keys in the template's order."""
    return [name for name in schema.keys if name in names] if names else []


def _in_clear(name: str) -> Violation:
    fault = Fault("is sensitive and may not be written in clear", "remove it from values")
    return fault.at(name, USER, "sensitive")


def setters(layers: Iterable[Layer], name: str) -> list[Setter]:
    """The layers that set a key, in their order."""
    return [(layer.name, layer.values[name]) for layer in layers if name in layer.values]


def group_view(
    schema: Schema, name: str, policies: Iterable[Policy] = (), *, unbound: bool = False
) -> GroupView:
    """The view of one group under the policies in whose scope it is, in any order, compiled for this schema.

    :raises KeyError: no such group.
    """
    group, order = schema.groups[name], ordered(policies)
    locks, limits = _locks(order), _limits(schema, order)
    bare = overlay(schema.keys, group.layers)
    required = frozenset(n for n, k in schema.keys.items() if k.required and k.set_by == "User")
    view = GroupView(
        schema=schema,
        group=group,
        policies=tuple(order),
        layers=(*group.layers, *(policy.values for policy in reversed(order))),
        values=bare,
        bare=bare,
        unset_required=required - bare.keys(),
        required=required,
        special=schema.special | locks.keys() | limits.keys(),
        locks=locks,
        limits=limits,
        unbound=unbound,
    )
    if not order:
        return view
    values = overlay(schema.keys, view.layers)
    for key in locks.keys() | limits.keys():
        value = _settled(view, key, {}).value
        values.pop(key, None)
        if value is not None:
            values[key] = value
    values = {key: values[key] for key in schema.keys if key in values}
    return replace(view, values=values, unset_required=required - values.keys())


def _locks(order: Iterable[Policy]) -> dict[str, Lock]:
    locks: dict[str, Lock] = {}
    for policy in order:
        for key in policy.enforced.values:
            locks.setdefault(key, Lock(policy.name, policy.reasons.get(key, "")))
    return locks


def _limits(schema: Schema, order: Iterable[Policy]) -> dict[str, Limits]:
    constraints: dict[str, list[Constraint]] = {}
    for policy in order:
        for key, constraint in policy.constraints.items():
            constraints.setdefault(key, []).append(constraint)
    return {key: Limits.of(schema.keys[key], found) for key, found in constraints.items()}


def _settled(view: GroupView, name: str, own: Mapping[str, Value]) -> Settled:
    """The value of one key in effect: of the enforced ones if it is locked, else of all layers."""
    locked = name in view.locks
    layers = [p.enforced for p in reversed(view.policies)] if locked else [*view.layers, Layer(USER, own)]
    stack, limits = setters(layers, name), view.limits.get(name)
    if limits is not None:
        return limits.settle(stack, replaces=locked)
    value = (stack[-1][1] if locked else combined(view.schema.keys[name], stack)) if stack else None
    return Settled(value, stack, (), value)


def document_problems(view: GroupView) -> list[Violation]:
    """What is wrong with the group's own document under its policies: required keys without a value, merged values
    beyond their limits. They are a reason to reject the policy that was added last."""
    found = layers.document_problems(view.schema.keys, view.group.name, view.values, view.layers)
    group = view.group.name
    return [policy_notices.of_group(violation, group, view.authors(violation.key)) for violation in found]


@dataclass(frozen=True, slots=True)
class Trace:
    """One key's provenance. ``layer`` is the highest that set it; ``shadowed`` the lower ones, highest first.

    ``combined``: ``merge`` combined the values of all of them. ``locked_by`` is the policy that enforces the value.
    ``effect`` is what constraints did to it (``Clamped``, ``Dropped`` or nothing), ``effect_by`` the policy. ``before``
    is the value of ``layer`` and ``shadowed`` before it was clamped; ``dropped`` are the layers whose values were
    dropped, highest first.
    """

    key: str
    value: Value | None
    layer: str
    shadowed: tuple[Setter, ...]
    combined: bool
    sensitive: bool
    locked_by: str = ""
    locked_reason: str = ""
    effect: str = ""
    effect_by: str = ""
    effect_reason: str = ""
    before: Value | None = None
    dropped: tuple[Setter, ...] = ()


def trace(view: GroupView, own: Mapping[str, Value]) -> dict[str, Trace]:
    """The provenance of every key, in the template's order; a key that has no value has layer ``unset``."""
    return {name: _traced(view, key, own) for name, key in view.schema.keys.items()}


def _traced(view: GroupView, key: Key, own: Mapping[str, Value]) -> Trace:
    settled, lock = _settled(view, key.name, own), view.locks.get(key.name)
    kept = [*settled.kept]
    hidden = setters((*view.layers, Layer(USER, own)), key.name) if lock else []
    return Trace(
        key=key.name,
        value=settled.value,
        layer=kept[-1][0] if kept else "unset",
        shadowed=(*reversed(kept[:-1]), *reversed(hidden)),
        combined=not lock and key.merge != "Replace" and len(kept) > 1,
        sensitive=key.sensitive,
        locked_by=lock.policy if lock else "",
        locked_reason=lock.reason if lock else "",
        effect=settled.effect,
        effect_by=settled.by.policy if settled.by else "",
        effect_reason=settled.by.reason if settled.by else "",
        before=settled.before,
        dropped=tuple(settled.dropped),
    )
