"""What a rollout would change, worked out before its first wave: counts, and some of the changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from trimtab.api.rollout_status import Content, KeyChange, Preview
from trimtab.core.refs import GroupKey
from trimtab.core.resolve.in_force import in_force
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import GroupView, Resolution, trace
from trimtab.core.rollout.assignment import Assignment
from trimtab.core.rollout.preview import REDACTED
from trimtab.core.rollout.source import RolloutSource
from trimtab.core.steps import in_order
from trimtab.core.workload.restart_values import restarting
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.scheduling.failures import fault
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState

log = logging.getLogger(__name__)

SAMPLES, PER_GROUP, KEYS, RESTARTS = 20, 4, 50, 50
EFFECTS = ("Clamped", "Dropped", "Locked")
NOTHING = Resolution({}, {})
_ABSENT = object()


@dataclass(slots=True)
class _Tally:
    """What has been found so far."""

    preview: dict[str, Any]
    keys: dict[str, None] = field(default_factory=dict)
    samples: list[KeyChange] = field(default_factory=list)
    effects: list[KeyChange] = field(default_factory=list)
    """Samples of what is clamped, dropped or locked: they come first."""
    restarts: list[str] = field(default_factory=list)

    def count(self, name: str) -> None:
        self.preview[name] = self.preview.get(name, 0) + 1


@dataclass(frozen=True, slots=True)
class _Pair:
    """A group before and after; None where it is not. The keys are those that are in some document of users, and of
    users or the group: a key that nobody reads changes nothing."""

    group: str
    old: GroupView | None
    new: GroupView | None
    user_keys: frozenset[str]
    group_keys: frozenset[str]
    veiled: frozenset[str] = frozenset()
    """Sensitive keys that other policies decide about then: they count as changed whatever their values are, as a
    preview that depends on a value would confirm a guess at it."""

    @classmethod
    def of(cls, group: str, old: GroupView | None, new: GroupView | None) -> _Pair:
        schemas = [view.schema for view in (old, new) if view is not None]
        users = frozenset(
            key for s in schemas if s.delivery != "None" for o in s.user_outputs for key in o.keys
        )
        own = frozenset(key for s in schemas for o in s.group_outputs for key in o.keys)
        return cls(group, old, new, users, users | own, _veiled(old, new) & (users | own))

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

    def only(self, resolution: Resolution) -> Resolution:
        """A user's resolution, of the keys that are in their documents."""
        values = {name: value for name, value in resolution.values.items() if name in self.user_keys}
        return replace(resolution, values=values)

    def hides(self, key: str) -> bool:
        """Whether its values are not to be shown: sensitive on either side."""
        return any(view is not None and key in view.schema.sensitive for view in (self.old, self.new))

    def setter(self, key: str, own: Mapping[str, Any]) -> str | None:
        """The layer that sets it then."""
        if self.new is None or key not in self.new.schema.keys:
            return None
        return trace(self.new, own)[key].layer


@dataclass(slots=True)
class Previews:
    cluster: ClusterState
    assignments: Assignments
    slices: TimeSlices

    async def of(self, source: RolloutSource, target: Content, groups: Iterable[str]) -> Preview:
        """What it would change in these groups.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        template = (
            source.key.name if source.kind == "ConfigTemplate" else source.item.spec["templateRef"]["name"]
        )
        tally = _Tally({})
        for name in groups:
            key = GroupKey(source.key.namespace, template, name)
            tally.count("groups")
            now = await self.assignments.of(key)
            old = now.content.view(name) if isinstance(now, Assignment) else None
            then = await self.assignments.having(key, source, target.snapshot)
            new = then.view(name) if then is not None else None
            async with self.slices.turn() as turn:
                for _ in self._group(tally, key, _Pair.of(name, old, new)):
                    await turn.over()
        return Preview(
            hash=target.hash,
            keys=list(tally.keys)[:KEYS],
            samples=[*tally.effects, *tally.samples][:SAMPLES],
            restarts=tally.restarts[:RESTARTS],
            **tally.preview,
        )

    def _group(self, tally: _Tally, key: GroupKey, pair: _Pair) -> Iterator[None]:
        old, new = pair.old, pair.new
        room = min(SAMPLES, len(tally.samples) + PER_GROUP)
        before, after = pair.shown(old, pair.group_keys), pair.shown(new, pair.group_keys)
        if pair.changed(before, after) or (old is None) != (new is None):
            tally.count("changed_groups")
        self._changes(tally, pair, None, Resolution(before, {}), Resolution(after, {}), room)
        if new is not None and old is not None and pair.changed(restarting(old), restarting(new)):
            target = new.group.spec.target_namespace or key.namespace
            tally.restarts += [f"{w.kind} {target}/{w.name}" for w in new.group.spec.workloads or ()]
        yield
        members = list(self.cluster.preferences.members(key).values())
        for preference in (yield from in_order(members, key=_order)):  # every leader shows the same
            tally.count("users")
            try:
                mine = pair.only(_resolved(old, preference) if old else NOTHING)
                then = pair.only(_resolved(new, preference) if new else NOTHING)
            except Exception as error:  # one preference must not keep a policy from rolling out
                named = {"preference": "/".join(preference.key)}
                log.error("a preference could not be judged: %s", fault(error), extra=named)
                continue
            if _affected(mine, then):
                tally.count("clamped_users")
            if mine.values != then.values or (pair.veiled and pair.changed(mine.values, then.values)):
                tally.count("changed_users")
                self._changes(tally, pair, preference.user, mine, then, room)
            yield

    def _changes(
        self, tally: _Tally, pair: _Pair, user: str | None, old: Resolution, new: Resolution, room: int
    ) -> None:
        """Note which keys differ, and some of them as samples while there is ``room``."""
        effects = {notice.key: notice.reason for notice in new.notices if notice.reason in EFFECTS}
        before, after = old.values, new.values
        for name in pair.changed(before, after):
            tally.keys[name] = None
            effect = effects.get(name, "Changed")
            kept = tally.samples if effect == "Changed" else tally.effects
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


def _order(preference: Preference) -> tuple[str, tuple[str, str]]:
    return preference.user, preference.key


def _veiled(old: GroupView | None, new: GroupView | None) -> frozenset[str]:
    views = [view for view in (old, new) if view is not None]
    sensitive = frozenset(key for view in views for key in view.schema.sensitive)
    return frozenset(key for key in sensitive if _authors(old, key) != _authors(new, key))


def _authors(view: GroupView | None, key: str) -> set[str]:
    return {policy.name for policy in view.policies if policy.touches(key)} if view is not None else set()


def _affected(before: Resolution, after: Resolution) -> bool:
    """Whether some value is clamped, dropped or locked then that is not now, or comes to another one by it: what
    policies in force do already is no doing of this rollout."""
    known = {(notice.key, notice.reason) for notice in before.notices}
    return any(
        notice.reason in EFFECTS
        and (
            (notice.key, notice.reason) not in known
            or before.values.get(notice.key, _ABSENT) != after.values.get(notice.key, _ABSENT)
        )
        for notice in after.notices
    )


def _resolved(view: GroupView, preference: Preference) -> Resolution:
    resolution = view.resolve(preference.values)
    return in_force(view, preference.accepted) if resolution.violations else resolution


def _shown(values: Mapping[str, Any], name: str, hidden: bool) -> str | None:
    if name not in values:
        return None
    return REDACTED if hidden else msgspec.json.encode(values[name]).decode()[:200]
