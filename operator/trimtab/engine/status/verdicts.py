"""Verdicts to status writes: of preferences, groups, templates and rollouts, all in the background."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.core import naming
from trimtab.core.evaluate.preference_status import conditions_before, status_of
from trimtab.core.evaluate.user import Outcome
from trimtab.core.objects import AnyObject
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.resolve.preference import Preference, fingerprint
from trimtab.core.status import TRUE, Verdict, conditions, notice_fields, violation_fields, without_times
from trimtab.engine.content.templates import Judgement
from trimtab.engine.groups.state import GroupState
from trimtab.engine.status.writer import Make, Statuses, StatusWrite, Target
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.objects import Objects
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES

COUNTS_SECONDS = 1.0
"""Counters in the status of groups and templates follow this much later, so that floods are one write."""
OUTPUTS_LISTED = 1000
FOREIGN_LISTED = 20


@dataclass(slots=True)
class Verdicts:
    """``now`` gives RFC 3339 text."""

    cluster: ClusterState
    statuses: Statuses
    now: Callable[[], str]
    drift: Counter[TemplateKey] = field(default_factory=Counter)
    """Hand edits that were put back and are not in the template's status yet."""
    _timers: dict[Target, asyncio.TimerHandle] = field(default_factory=dict)
    _latest: dict[Target, Make] = field(default_factory=dict)

    # Preferences.

    def offer(self, preference: Preference, outcome: Outcome) -> None:
        """Write the preference's status if it would say anything new.

        What was judged before an edit that came meanwhile is not offered: it would only replace the newer verdict.
        """
        if self.cluster.preferences.get(preference.namespace, preference.name) is not preference:
            return
        verdict = outcome.verdict
        target = Target(USER_PREFERENCES, preference.namespace, preference.name)
        preference.wanted = fingerprint(status_of(preference, verdict))
        if preference.wanted == preference.print:
            self.statuses.withdraw(target)
        else:
            make = _PreferenceStatus(self, *preference.key, preference.uid, preference.generation, verdict)
            self.statuses.offer(target, make)

    # Groups and templates.

    def group(self, state: GroupState, verdict: Verdict, *, now: bool) -> None:
        """Write the RenderedGroup's status: at once if the verdict changed, else when counts have settled."""
        key = state.key
        name = naming.group_object(key.template, key.group)
        target = Target(RENDERED_GROUPS, key.namespace, name)
        place = TemplateKey(key.namespace, name)

        revision = state.revision

        def fields(_: AnyObject) -> dict[str, Any] | None:
            if state.revision != revision:
                return None
            made = self._group_fields(state)
            if verdict.ready == TRUE and state.settled:
                made["stableRevision"] = revision
            return made

        self._offer_object(
            target,
            place,
            self.cluster.groups,
            verdict,
            fields,
            now=now,
            settled=lambda: self.cluster.report(key.template_key),
        )

    def unrendered(self, key: GroupKey, verdict: Verdict) -> None:
        """Write the status of a RenderedGroup whose content is not known."""
        name = naming.group_object(key.template, key.group)
        target, place = Target(RENDERED_GROUPS, key.namespace, name), TemplateKey(key.namespace, name)
        self._offer_object(target, place, self.cluster.groups, verdict, lambda _: {}, now=True)

    def invalid_users(self, state: GroupState) -> int:
        """How many preferences of the group are refused."""
        state.invalid &= self.cluster.preferences.members(state.key).keys()
        return len(state.invalid)

    def _group_fields(self, state: GroupState) -> dict[str, Any]:
        return {
            "users": len(self.cluster.preferences.members(state.key)),
            "invalidUsers": self.invalid_users(state),
            "shards": len(state.content),
            "outputs": _outputs(state),
            "foreign": [_reference(ref) for ref in sorted(state.foreign)[:FOREIGN_LISTED]] or None,
        }

    def template(
        self, key: TemplateKey, judgement: Judgement, verdict: Verdict, counts: Callable[[], dict[str, int]]
    ) -> None:
        """Write the ConfigTemplate's status."""
        reported = 0

        def fields(item: AnyObject) -> dict[str, Any] | None:
            nonlocal reported
            if (item.metadata.uid, item.metadata.generation) != (judgement.uid, judgement.generation):
                return None  # a newer spec has, or gets, its own verdict
            reported = self.drift[key]
            drift = int(item.status.get("drift") or 0) + reported
            made: dict[str, Any] = {
                "violations": violation_fields(verdict.violations) or None,
                "warnings": notice_fields(verdict.notices) or None,
                "drift": drift or None,
                **counts(),
            }
            if judgement.accepted is not None:
                made["snapshot"] = judgement.accepted.snapshot
            return made

        def then() -> None:
            self.drift[key] -= reported

        target = Target(CONFIG_TEMPLATES, key.namespace, key.name)
        self._offer_object(target, key, self.cluster.templates, verdict, fields, now=True, then=then)

    def _offer_object(
        self,
        target: Target,
        place: TemplateKey,
        store: Objects[AnyObject],
        verdict: Verdict,
        fields: Callable[[AnyObject], dict[str, Any] | None],
        *,
        now: bool,
        then: Callable[[], None] = lambda: None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """``then`` is called once it is written; ``settled`` once it is, or need not be."""

        def make() -> StatusWrite | None:
            item = store.get(place)
            more = fields(item) if item is not None else None
            if item is None or more is None:
                return None
            status = _object_status(item, verdict, more, self.now())
            if without_times(status) == without_times(item.status):
                settled()
                return None

            def done(answer: Body) -> None:
                store.put(msgspec.convert(answer, AnyObject))
                then()
                settled()

            return StatusWrite(status, item.metadata.resourceVersion, done)

        self._latest[target] = make
        timer = self._timers.get(target)
        if now:
            self._offer_latest(target)
        elif timer is None:
            loop = asyncio.get_running_loop()
            self._timers[target] = loop.call_later(COUNTS_SECONDS, self._offer_latest, target)

    def _offer_latest(self, target: Target) -> None:
        timer = self._timers.pop(target, None)
        if timer is not None:
            timer.cancel()
        make = self._latest.pop(target, None)
        if make is not None:
            self.statuses.offer(target, make)

    @property
    def waiting(self) -> int:
        """Statuses that wait for their counts to settle."""
        return len(self._latest)

    def flush(self) -> None:
        """Say now what was to be said when counts have settled."""
        for target in list(self._latest):
            self._offer_latest(target)

    def stop(self) -> None:
        """The term ends."""
        for timer in self._timers.values():
            timer.cancel()


def _reference(ref: Ref) -> dict[str, Any]:
    return {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}


def _outputs(state: GroupState) -> list[dict[str, Any]]:
    """The group's own objects by their uids. An upgrade lists none, so that a restart continues it."""
    listed = sorted(ref for ref in state.written if ref not in state.own_refs or ref in state.adopted)
    made = []
    for ref in listed[:OUTPUTS_LISTED]:
        uid = state.uids.get(ref)
        if state.upgrading:
            made.append(_reference(ref))
        elif uid is not None:
            adopted = {"adopted": True} if ref in state.adopted else {}
            made.append({**_reference(ref), "uid": uid, **adopted})
    return made


class _PreferenceStatus(msgspec.Struct, gc=False):
    """A preference's status that waits to be written. Not a closure: 100,000 may wait, and the garbage collector
    is to walk none of them."""

    verdicts: Verdicts
    namespace: str
    name: str
    uid: str
    generation: int
    verdict: Verdict

    def __call__(self) -> StatusWrite | None:
        cluster = self.verdicts.cluster
        current = cluster.preferences.get(self.namespace, self.name)
        if current is None or (current.uid, current.generation) != (self.uid, self.generation):
            return None  # a newer spec has, or gets, its own verdict
        body = status_of(current, self.verdict)
        said = fingerprint(body)
        if said == current.print:
            return None
        current.expected = said
        body["conditions"] = conditions(
            self.verdict, self.generation, self.verdicts.now(), conditions_before(current)
        )

        def done(answer: Body) -> None:
            current.version = max(current.version, int(answer["metadata"]["resourceVersion"]))
            current.print = said
            current.conditions = tuple(
                (c["type"], c["status"], c["lastTransitionTime"]) for c in body["conditions"]
            )
            if current.wanted != said:  # judged otherwise while this was on its way
                cluster.user_changed(current.group_key, current.namespace, current.user)

        return StatusWrite(body, str(current.version), done)


def _object_status(item: AnyObject, verdict: Verdict, fields: dict[str, Any], now: str) -> dict[str, Any]:
    generation = item.metadata.generation
    status = {
        **item.status,
        "observedGeneration": generation,
        "conditions": conditions(verdict, generation, now, item.status.get("conditions") or ()),
        **fields,
    }
    return {name: value for name, value in status.items() if value is not None}
