"""All policies' constraints on one key together: which layer's value is in effect, clamped or not.

The highest policy whose constraint the value breaks decides:

- Clamp changes it to the nearest value that the key and *all* constraints allow: the nearest limit, or member of an
  ``enum``. Of a list or map, each item is changed or else removed, then the first ``maxItems`` are kept (a map's in the
  order of their names). If there is no such value, as for text, the value is dropped.
- Drop removes the value, so that the layer below counts, which is then checked next. If ``merge`` combines several
  layers, those are removed whose own value is forbidden, or else the highest.

If no layer remains, the key has no value. So a remaining value satisfies every constraint.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from trimtab.core.policy.constraint import Bound, Constraint, measure, own_members
from trimtab.core.schema.key import Key, Value

Setter = tuple[str, Value]
"""A layer's name and the value that it sets."""
CLAMPED, DROPPED = "Clamped", "Dropped"


@dataclass(frozen=True, slots=True)
class Settled:
    """The value in effect. ``kept`` are the layers that it is merged from, lowest first, ``dropped`` those that were
    removed, highest first; ``before`` is the value of the kept ones before it was clamped, ``by`` the constraint that
    changed it."""

    value: Value | None
    kept: Sequence[Setter]
    dropped: Sequence[Setter] = ()
    before: Value | None = None
    by: Constraint | None = None

    @property
    def effect(self) -> str:
        if self.by is None:
            return ""
        return DROPPED if self.dropped else CLAMPED


def combined(key: Key, setters: Sequence[Setter]) -> Value:
    """The layers' values, lowest first and at least one, as the key's ``merge`` combines them."""
    value = setters[0][1]
    for _, given in setters[1:]:
        value = key.combine(value, given)
    return value


@dataclass(frozen=True, slots=True)
class Limits:
    """``constraints`` in their order, the highest policy first; the rest is what they allow together with the key's own
    limits. ``members`` are sorted, with what they compare by, and only kept for numbers."""

    key: Key
    constraints: tuple[Constraint, ...]
    low: Bound | None
    high: Bound | None
    members: tuple[Bound, ...] | None
    max_items: int | None
    states: int = 0
    """Of all patterns: what one character of a value costs to check."""

    @classmethod
    def of(cls, key: Key, constraints: Sequence[Constraint]) -> Limits:
        """:raises ValueError: there are none."""
        if not constraints:
            raise ValueError("no constraints")
        lows = [c.low for c in constraints if c.low is not None]
        highs = [c.high for c in constraints if c.high is not None]
        counts = [c.max_items for c in constraints if c.max_items is not None]
        if key.spec.max_items is not None:
            counts.append(key.spec.max_items)
        return cls(
            key=key,
            constraints=tuple(constraints),
            low=max(lows, key=lambda bound: bound.at, default=None),
            high=min(highs, key=lambda bound: bound.at, default=None),
            members=_members(constraints),
            max_items=min(counts, default=None),
            states=sum(constraint.states for constraint in constraints),
        )

    def settle(self, setters: Sequence[Setter], *, replaces: bool = False) -> Settled:
        """The one of these layers' values, lowest first, that is in effect. ``replaces``: only the highest counts,
        whatever the key's ``merge`` is."""
        merges = not replaces and self.key.merge != "Replace"
        kept, by = list(setters), None
        while kept:
            value = combined(self.key, kept) if merges else kept[-1][1]
            broken = self.broken(value)
            if broken is None:
                return Settled(value, kept, _without(setters, kept), value, by)
            moved = None if broken.drops else self.nearest(value)
            if moved is not None:
                by = by or self._binding(value, moved) or broken
                return Settled(moved, kept, _without(setters, kept), value, by)
            by = by or broken
            kept = _dropped(kept, broken, merges=merges)
        return Settled(None, (), _without(setters, ()), None, by)

    def nearest(self, value: Value) -> Value | None:
        """The nearest value that the key and all constraints allow; None if there is none."""
        if any(constraint.is_too_long(value) for constraint in self.constraints):
            return None
        near = self._near(value)
        if near is None or self.broken(near) is not None or not self.key.validator.isinstance_python(near):
            return None
        return near

    def _near(self, value: Value) -> Value | None:
        """The value with each item changed or removed, and not too many of them."""
        if isinstance(value, list):
            items = [near for item in value if (near := self._item(item)) is not None]
            return items[: self.max_items]  # type: ignore[return-value]
        if isinstance(value, dict):
            pairs = [(name, near) for name in sorted(value) if (near := self._item(value[name])) is not None]
            return dict(pairs[: self.max_items])  # type: ignore[return-value]
        return self._item(value)

    def broken(self, value: Value) -> Constraint | None:
        """The first constraint that forbids the value, if any does."""
        return next((c for c in self.constraints if not c.allows(value)), None)

    def _item(self, item: Value) -> Value | None:
        if all(constraint.allows_item(item) for constraint in self.constraints):
            return item
        at = measure(self.constraints[0].element.type, item) if self._counts else 0
        if self.members is not None:
            return _closest(self.members, at)
        if self.low is not None and at < self.low.at:
            return self.low.value
        if self.high is not None and at > self.high.at:
            return self.high.value
        return None

    @property
    def _counts(self) -> bool:
        return self.constraints[0].element.type != "String"

    def _binding(self, value: Value, moved: Value) -> Constraint | None:
        """The one whose limit the value was moved to, where several were broken."""
        if len(self.constraints) == 1:
            return None
        broken = [c for c in self.constraints if not c.drops and not c.allows(value)]
        return next((c for c in broken if Limits.of(self.key, [c]).nearest(value) == moved), None)


def _dropped(kept: list[Setter], broken: Constraint, *, merges: bool) -> list[Setter]:
    """The layers without those whose own value is forbidden if ``merge`` combines them, or else without the highest."""
    allowed = [setter for setter in kept if broken.allows(setter[1])] if merges else kept
    return allowed if len(allowed) < len(kept) else kept[:-1]


def _without(setters: Sequence[Setter], kept: Sequence[Setter]) -> tuple[Setter, ...]:
    layers = {layer for layer, _ in kept}
    return tuple(setter for setter in reversed(setters) if setter[0] not in layers)


def _members(constraints: Sequence[Constraint]) -> tuple[Bound, ...] | None:
    """Every number that the key and all constraints allow, if an ``enum`` lists them."""
    item = constraints[0].element
    if item.type == "String":
        return None
    choices = [c.members for c in constraints if c.members is not None]
    own = own_members(item)
    if own is not None:
        choices.append(frozenset(own))
    if not choices:
        return None
    fitting = [m for m in frozenset.intersection(*choices) if all(c.allows_item(m) for c in constraints)]
    return tuple(
        sorted((Bound(measure(item.type, m), m) for m in fitting), key=lambda b: (b.at, str(b.value)))
    )


def _closest(members: Sequence[Bound], at: float) -> Value | None:
    """Of two that are equally near, the lower one."""
    place = bisect_left(members, at, key=lambda bound: bound.at)
    around = members[max(0, place - 1) : place + 1]
    if not around:
        return None
    # differences of floats can overflow or round away
    return min(around, key=lambda bound: abs(Fraction(bound.at) - Fraction(at))).value
