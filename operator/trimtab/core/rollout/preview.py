"""What a rollout would change: counts, and samples of the changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from trimtab.api.rollout_status import KeyChange, Preview
from trimtab.core.resolve.in_force import in_force
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import GroupView, Resolution, trace
from trimtab.core.resolve.restart_values import restarting
from trimtab.core.steps import Steps, in_order

SAMPLES, PER_GROUP, KEYS, RESTARTS = 20, 4, 50, 50
REDACTED = "(sensitive)"
EFFECTS = ("Clamped", "Dropped", "Locked")
NOTHING = Resolution({}, {})
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class GroupChange:
    """A group with the content that it is on, and with the rollout's; None where it does not exist."""

    namespace: str
    group: str
    old: GroupView | None
    new: GroupView | None


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A preference that could not be resolved, because of a fault in the operator."""

    preference: Preference
    error: Exception


@dataclass(slots=True)
class PreviewBuilder:
    """Counts the changes of one group after the other."""

    counts: dict[str, int] = field(default_factory=dict)
    keys: dict[str, None] = field(default_factory=dict)
    samples: list[KeyChange] = field(default_factory=list)
    effects: list[KeyChange] = field(default_factory=list)
    """Samples of values that are clamped, dropped or locked: they are listed first"""
    restarts: list[str] = field(default_factory=list)

    def add(self, change: GroupChange, members: Sequence[Preference]) -> Steps[list[Unresolved]]:
        """Count a group with its members; those that cannot be resolved do not count as changed."""
        pair = _Pair.of(change)
        failed, room = list[Unresolved](), min(SAMPLES, len(self.samples) + PER_GROUP)
        self._group(pair, change.namespace, room)
        yield
        for preference in (yield from in_order(members, key=_order)):  # every leader lists the same samples
            try:
                mine, then = pair.resolved(pair.old, preference), pair.resolved(pair.new, preference)
            except Exception as error:  # a single preference must not stop the rollout
                self._count("users")
                failed.append(Unresolved(preference, error))
                continue
            self._user(pair, preference.user, mine, then, room)
            yield
        return failed

    def _group(self, pair: _Pair, namespace: str, room: int) -> None:
        old, new = pair.old, pair.new
        before, after = pair.shown(old, pair.group_keys), pair.shown(new, pair.group_keys)
        self._count("groups")
        if pair.changed(before, after) or (old is None) != (new is None):
            self._count("changed_groups")
        self._changes(pair, None, Resolution(before, {}), Resolution(after, {}), room)
        if new is not None and old is not None and pair.changed(restarting(old), restarting(new)):
            target = new.group.spec.target_namespace or namespace
            self.restarts += [f"{w.kind} {target}/{w.name}" for w in new.group.spec.workloads or ()]

    def _user(self, pair: _Pair, user: str, old: Resolution, new: Resolution, room: int) -> None:
        self._count("users")
        if _is_affected(old, new):
            self._count("clamped_users")
        if old.values != new.values or (pair.veiled and pair.changed(old.values, new.values)):
            self._count("changed_users")
            self._changes(pair, user, old, new, room)

    def preview(self, content_hash: str) -> Preview:
        """The preview of what was added; ``content_hash`` is the rollout's content."""
        return Preview(
            hash=content_hash,
            keys=list(self.keys)[:KEYS],
            samples=[*self.effects, *self.samples][:SAMPLES],
            restarts=self.restarts[:RESTARTS],
            **self.counts,
        )

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def _changes(self, pair: _Pair, user: str | None, old: Resolution, new: Resolution, room: int) -> None:
        """Note which keys differ, and some of them as samples while there is ``room``."""
        effects = {notice.key: notice.reason for notice in new.notices if notice.reason in EFFECTS}
        before, after = old.values, new.values
        for name in pair.changed(before, after):
            self.keys[name] = None
            effect = effects.get(name, "Changed")
            kept = self.samples if effect == "Changed" else self.effects
            if len(kept) >= (room if effect == "Changed" else SAMPLES):
                continue
            hidden = pair.hides(name)
            kept.append(
                KeyChange(
                    group=pair.group,
                    user=user,
                    key=name,
                    old=_shown(before, name, hidden),
                    new=_shown(after, name, hidden),
                    by=pair.setter(name, new.own),
                    effect=effect,
                )
            )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A group before and after; None where it does not exist. The keys are those in some output of users, and of users
    or the group: a key that no output includes changes nothing."""

    group: str
    old: GroupView | None
    new: GroupView | None
    user_keys: frozenset[str]
    group_keys: frozenset[str]
    veiled: frozenset[str] = frozenset()
    """Sensitive keys that other policies set, enforce or constrain after the change: they count as changed whatever
    their values are, as a preview that depends on a value would confirm a guess of it."""

    @classmethod
    def of(cls, change: GroupChange) -> _Pair:
        old, new = change.old, change.new
        schemas = [view.schema for view in (old, new) if view is not None]
        users = frozenset(
            key for s in schemas if s.delivery != "None" for o in s.user_outputs for key in o.keys
        )
        own = frozenset(key for s in schemas for o in s.group_outputs for key in o.keys)
        return cls(change.group, old, new, users, users | own, _veiled(old, new) & (users | own))

    def changed(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """The keys that differ between two documents."""
        return [
            name
            for name in {**before, **after}
            if name in self.veiled or before.get(name, _ABSENT) != after.get(name, _ABSENT)
        ]

    @staticmethod
    def shown(view: GroupView | None, keys: frozenset[str]) -> dict[str, Any]:
        """The group's values of these keys."""
        return {name: value for name, value in view.values.items() if name in keys} if view else {}

    def resolved(self, view: GroupView | None, preference: Preference) -> Resolution:
        """A user's values of the keys in users' outputs."""
        if view is None:
            return NOTHING
        resolution = view.resolve(preference.values)
        if resolution.violations:
            resolution = in_force(view, preference.accepted)
        values = {name: value for name, value in resolution.values.items() if name in self.user_keys}
        return replace(resolution, values=values)

    def hides(self, key: str) -> bool:
        """Whether its values are not shown: it is sensitive before or after the change."""
        return any(view is not None and key in view.schema.sensitive for view in (self.old, self.new))

    def setter(self, key: str, own: Mapping[str, Any]) -> str | None:
        """The layer that sets the key after the change."""
        if self.new is None or key not in self.new.schema.keys:
            return None
        return trace(self.new, own)[key].layer


def is_redacted(sample: KeyChange) -> bool:
    """Whether its values are not shown."""
    return {sample.old, sample.new} <= {None, REDACTED}


def _order(preference: Preference) -> tuple[str, tuple[str, str]]:
    return preference.user, preference.key


def _veiled(old: GroupView | None, new: GroupView | None) -> frozenset[str]:
    return frozenset(
        key
        for view in (old, new)
        if view is not None
        for key in view.schema.sensitive
        if set(_authors(old, key)) != set(_authors(new, key))
    )


def _authors(view: GroupView | None, key: str) -> Iterator[str]:
    """The policies that set, enforce or constrain the key."""
    return (policy.name for policy in (view.policies if view is not None else ()) if policy.touches(key))


def _is_affected(before: Resolution, after: Resolution) -> bool:
    """Whether a policy of the rollout clamps, drops or locks some value: one that was already, with the same result, is
    the effect of a policy in force."""
    known = {(notice.key, notice.reason) for notice in before.notices}
    return any(
        notice.reason in EFFECTS
        and (
            (notice.key, notice.reason) not in known
            or before.values.get(notice.key, _ABSENT) != after.values.get(notice.key, _ABSENT)
        )
        for notice in after.notices
    )


def _shown(values: Mapping[str, Any], name: str, hidden: bool) -> str | None:
    if name not in values:
        return None
    return REDACTED if hidden else msgspec.json.encode(values[name]).decode()[:200]
