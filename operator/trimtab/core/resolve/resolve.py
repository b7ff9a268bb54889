"""Layers to values: default < profile < group < policy < user < enforced, then constraints clamp or drop.

A :class:`GroupView` is made once for each group of a schema and the policies over it; each user then costs one
validation in Rust and one dict merge, as long as they set no key that a policy enforces or constrains. Provenance is
worked out only when somebody asks (:func:`trace`).

A user is judged as if there were no policies, but that a policy may give what is ``required``. So a policy never
makes a user invalid. What it does to a user's values they are told in notices (:mod:`trimtab.core.policy.notices`); a
user whose document fails because of policies alone gets the group's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from pydantic_core import ValidationError

from trimtab.core.policy import notices as policy_notices
from trimtab.core.policy.clamping import Limits, Setter, Settled, combined
from trimtab.core.policy.notices import Lock
from trimtab.core.policy.policy import Policy, ordered
from trimtab.core.schema import patterns
from trimtab.core.schema import template as schemas
from trimtab.core.schema.key import Key, Value, check
from trimtab.core.schema.template import USER, Group, Layer, Schema, check_combined, check_layer, overlay
from trimtab.core.violations import Notice, Violation


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
    """One group of one schema under its policies, ready to resolve users."""

    schema: Schema
    group: Group
    policies: tuple[Policy, ...]
    """Whichever wins first."""
    layers: tuple[Layer, ...]
    """Those under the user's, lowest first."""
    values: Mapping[str, Value]
    """The group's own document."""
    bare: Mapping[str, Value]
    """What it would be without policies."""
    owed: frozenset[str]
    """Required keys that the group has no value for: each user must set them."""
    required: frozenset[str]
    """Required keys that users may set."""
    special: frozenset[str]
    """Keys that need more than a plain overlay when a user sets them."""
    locks: Mapping[str, Lock]
    limits: Mapping[str, Limits]
    unbound: bool = False
    """Whether digests of it are as in versions before they were bound to their place."""

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
        if not self.special.isdisjoint(own) or not self.owed <= own.keys():
            return self._combined(own, (), ())
        return Resolution({**self.values, **own}, own)

    def _is_costly(self, given: bytes | Mapping[str, Any]) -> bool:
        """Whether the values might take too long to check against the keys' patterns."""
        heaviest = self.schema.heaviest
        return heaviest > 0 and not (
            isinstance(given, bytes) and len(given) * heaviest <= patterns.TOTAL_STEPS
        )

    def _slowly(self, given: bytes | Mapping[str, Any]) -> Resolution:
        """Key by key, to coerce what can be and to name everything that is wrong."""
        mapping = msgspec.json.decode(given) if isinstance(given, bytes) else given
        hidden = [name for name in self.schema.keys if name in mapping and name in self.schema.sensitive]
        if hidden:  # refused whatever their values are
            mapping = {name: value for name, value in mapping.items() if name not in hidden}
        layer, violations, notices = check_layer(self.schema.keys, USER, mapping, self.schema.coercion)
        if any(violation.rule == schemas.TOO_LARGE for violation in violations):
            return Resolution(self.values, {}, tuple(violations), tuple(notices))
        own = {name: layer.values[name] for name in self.schema.keys if name in layer.values}
        violations += [_in_clear(name) for name in hidden]
        return self._combined(own, tuple(violations), tuple(notices))

    def _combined(
        self, own: dict[str, Value], violations: tuple[Violation, ...], notices: tuple[Notice, ...]
    ) -> Resolution:
        """The rules beyond types: who may set a key, what is required, merged values within their limits."""
        keys = self.schema.keys
        found, said = list(violations), list(notices)
        failed = {violation.key for violation in violations}
        for name, value in own.items():
            key = keys[name]
            if key.sensitive:
                found.append(_in_clear(name))
            elif key.set_by == "Group":
                problem = "is set by the group, not by users"
                found.append(Violation(name, USER, "setBy", problem, remedy="remove it"))
            elif key.merge != "Replace" and name in self.bare:
                layers = (*self.group.layers, Layer(USER, own))
                found += check_combined(key, key.combine(self.bare[name], value), USER, layers)
            if key.spec.deprecated:
                said.append(Notice(name, "Deprecated", f"is deprecated: {key.spec.deprecated.message}"))
        for name in keys if self.owed else ():
            if name in self.owed and name not in self.bare and name not in own and name not in failed:
                problem = "is required and has no value"
                found.append(Violation(name, USER, "required", problem, remedy="set it"))
        if found:
            return Resolution(self.values, {}, tuple(found), tuple(said))
        return self._under_policies(own, said)

    def _under_policies(self, own: dict[str, Value], said: list[Notice]) -> Resolution:
        """Valid values of a user, as far as the policies let them be."""
        values, done, conflicts = dict(self.values), [], []
        states = {name: limits.states for name, limits in self.limits.items() if limits.states}
        lengths = {name: patterns.characters(own[name]) for name in states if name in own}
        costly = schemas.too_costly(states, USER, lengths)
        if costly is not None:
            notice = policy_notices.outgrown(costly, self.authors(costly.key))
            return Resolution(self.values, {}, (), (*said, notice))
        for name, value in own.items():
            if name not in self.special:
                values[name] = value
                continue
            key = self.schema.keys[name]
            lock = self.locks.get(name)
            if lock is not None:
                done += policy_notices.locked(key, lock, value, values.get(name))
                continue
            limits = self.limits.get(name)
            if limits is None or (key.merge == "Replace" and limits.broken(value) is None):
                values[name] = key.combine(values.get(name), value)
            else:
                settled = limits.settle([*setters(self.layers, name), (USER, value)])
                done += policy_notices.limited(key, settled)
                values.pop(name, None)
                if settled.value is not None:
                    values[name] = settled.value
            if self.policies and key.merge != "Replace" and name in values:
                grown = check(key, values[name], USER)[1]
                conflicts += [policy_notices.outgrown(violation, self.authors(name)) for violation in grown]
        for name in self.schema.keys if not self.required <= values.keys() else ():
            if name in self.required and name not in values:
                conflicts.append(policy_notices.bereft(name, _settled(self, name, own).by))
        if conflicts:
            return Resolution(self.values, {}, (), (*said, *conflicts))
        return Resolution(values, own, (), (*said, *done))

    def authors(self, name: str) -> list[str]:
        """The policies that set or constrain a key under its user, whichever wins first."""
        return [p.name for p in self.policies if name in p.values.values or name in p.constraints]


def _in_clear(name: str) -> Violation:
    problem = "is sensitive and may not be written in clear"
    return Violation(name, USER, "sensitive", problem, remedy="remove it from values")


def setters(layers: Iterable[Layer], name: str) -> list[Setter]:
    """The layers that set a key, in their order."""
    return [(layer.name, layer.values[name]) for layer in layers if name in layer.values]


def group_view(
    schema: Schema, name: str, policies: Iterable[Policy] = (), *, unbound: bool = False
) -> GroupView:
    """The view of one group under the policies in whose scope it is, in any order, compiled for this schema.

    :raises KeyError: no such group.
    """
    group = schema.groups[name]
    order = ordered(policies)
    constrained: dict[str, list[Any]] = {}
    locks: dict[str, Lock] = {}
    for policy in order:
        for key, constraint in policy.constraints.items():
            constrained.setdefault(key, []).append(constraint)
        for key in policy.enforced.values:
            locks.setdefault(key, Lock(policy.name, policy.reasons.get(key, "")))
    bare = overlay(schema.keys, group.layers)
    required = frozenset(n for n, k in schema.keys.items() if k.required and k.set_by == "User")
    view = GroupView(
        schema=schema,
        group=group,
        policies=tuple(order),
        layers=(*group.layers, *(policy.values for policy in reversed(order))),
        values=bare,
        bare=bare,
        owed=required - bare.keys(),
        required=required,
        special=schema.special | locks.keys() | constrained.keys(),
        locks=locks,
        limits={key: Limits.of(schema.keys[key], found) for key, found in constrained.items()},
        unbound=unbound,
    )
    if not order:
        return view
    values = overlay(schema.keys, view.layers)
    for key in locks.keys() | constrained.keys():
        value = _settled(view, key, {}).value
        values.pop(key, None)
        if value is not None:
            values[key] = value
    values = {key: values[key] for key in schema.keys if key in values}
    return replace(view, values=values, owed=required - values.keys())


def _settled(view: GroupView, name: str, own: Mapping[str, Value]) -> Settled:
    """What becomes of one key, with the layers that a lock leaves to be chosen from."""
    locked = name in view.locks
    layers = [p.enforced for p in reversed(view.policies)] if locked else [*view.layers, Layer(USER, own)]
    stack, limits = setters(layers, name), view.limits.get(name)
    if limits is not None:
        return limits.settle(stack, replaces=locked)
    value = (stack[-1][1] if locked else combined(view.schema.keys[name], stack)) if stack else None
    return Settled(value, stack, (), value)


def document_problems(view: GroupView) -> list[Violation]:
    """What is wrong with the group's own document under its policies: required keys without a value, merged values
    beyond their limits. Whoever brought in the last policy should refuse it."""
    found = schemas.document_problems(view.schema.keys, view.group.name, view.values, view.layers)
    group = view.group.name
    return [policy_notices.of_group(violation, group, view.authors(violation.key)) for violation in found]


@dataclass(frozen=True, slots=True)
class Trace:
    """One key's provenance. ``layer`` is the highest that set it; ``shadowed`` the lower ones, highest first.

    ``combined`` says that ``merge`` made the value of all of them together. ``locked_by`` is the policy that enforces
    it. ``effect`` is what constraints did to it (``Clamped``, ``Dropped`` or nothing), ``effect_by`` the policy.
    ``before`` is what ``layer`` and ``shadowed`` come to, unless clamped the value; ``dropped`` are the layers whose
    values were taken away, highest first.
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
