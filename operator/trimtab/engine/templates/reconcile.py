"""The pass over one template: evaluate it, queue its groups, delete snapshots, and report its status."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from trimtab.core.evaluate.template import ready_verdict
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.rollout.phase import rollout_verdict
from trimtab.core.status import FALSE, UNKNOWN, Verdict
from trimtab.core.violations import Notice
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.snapshots import FRESH_SECONDS, Snapshots
from trimtab.engine.content.templates import Judgement, Templates
from trimtab.engine.groups.reconcile import Groups
from trimtab.engine.groups.revisions import ListedSnapshots
from trimtab.engine.rollouts.memory import RolloutMemories
from trimtab.engine.scheduling.failures import independent_parts
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.scheduling.retry import NEVER
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.rollout_sources import RolloutSources
from trimtab.engine.store.workload_listings import message_about
from trimtab.engine.templates.status import TemplateStatuses


@dataclass(slots=True)
class TemplatePass:
    """Queues the groups of a template that have to change, and reports what they result in."""

    cluster: ClusterState
    templates: Templates
    policies: Policies
    sources: RolloutSources
    snapshots: Snapshots
    groups: Groups
    statuses: TemplateStatuses
    memories: RolloutMemories
    _seen: dict[TemplateKey, object] = field(default_factory=dict)
    """The content of each template's last pass: other passes may evaluate it too"""
    _listed: ListedSnapshots = field(default_factory=ListedSnapshots)
    _tidied: dict[TemplateKey, int] = field(default_factory=dict)
    _shared: dict[TemplateKey, dict[Ref, list[TemplateKey]]] = field(default_factory=dict)
    """Who lists the workloads of each template that others list as well, as its last pass found it"""

    async def reconcile(self, key: TemplateKey) -> None:
        """One pass.

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller retries.
        """
        judgement = await self.templates.judge(key)
        changed = self._seen.get(key) != _content(judgement)
        if changed:
            self._queue_collided(key)
        self._update_shared(key, changed=changed)
        await self._queue_groups(key, judgement, changed=changed)
        if judgement is not None:
            self._seen[key] = _content(judgement)
            self._retry_when_due(key, judgement)
            self._report(key, judgement)
        else:
            self._seen.pop(key, None)
        with independent_parts() as part:
            with part():
                await self.snapshots.restore(key, self._needed(key))
            with part():
                await self._prune(key, gone=judgement is None)

    def _retry_when_due(self, key: TemplateKey, judgement: Judgement) -> None:
        if judgement.until < NEVER:
            delay = max(judgement.until - asyncio.get_running_loop().time(), 0.0)
            self.cluster.queue.add_after(Work("template", key), key.namespace, delay)

    async def _queue_groups(self, key: TemplateKey, judgement: Judgement | None, *, changed: bool) -> None:
        """Queue groups that are not on the content that they should be on; if content ``changed``, all of them."""
        desired, unrendered = _groups(key, judgement), set[GroupKey]()
        if judgement is not None and judgement.accepted is None:
            unrendered = await self._stable_groups(key)
        # a group may have a state and no object
        left = {group for group in self.groups.states if group.template_key == key}
        by_strategy = judgement is not None and self.sources.template(key) is not None
        for group in self.cluster.known_groups_of(key) | left | desired | unrendered:
            if by_strategy:
                self._queue_assigned(group, desired=group in desired, changed=changed)
            else:
                self._queue_outdated(group, judgement)

    def _queue_assigned(self, group: GroupKey, *, desired: bool, changed: bool) -> None:
        """A group whose content a rollout decides."""
        rendered = group in self.groups.states
        if changed and not (desired and rendered):
            self.cluster.everything(group)  # the preferences that name it need another verdict
        elif changed or not rendered:
            self.cluster.enqueue_group(group)

    def _queue_outdated(self, group: GroupKey, judgement: Judgement | None) -> None:
        state = self.groups.states.get(group)
        refused = judgement is not None and judgement.accepted is None and state is not None
        if refused or self._is_held(group, judgement):
            return
        if self._behind(group, judgement):
            self.cluster.everything(group)
        elif state is not None and not state.settled:
            self.cluster.enqueue_group(group)  # its rollout was deleted

    async def _prune(self, key: TemplateKey, *, gone: bool) -> None:
        """Delete the snapshots that are no longer needed, and forget what was compiled from them."""
        sources = self.sources.of(key)
        unknown = bool(sources) and key not in self.memories.reconciled
        # a policy's snapshot may be so new that no status names it yet, also if the template is deleted meanwhile
        unused = gone and not sources
        if key in self.cluster.kept.templates:
            return
        try:
            if not unknown and not await self.snapshots.prune(key, lambda: self._needed(key), gone=unused):
                self.cluster.queue.add_after(Work("template", key), key.namespace, FRESH_SECONDS)
        finally:
            self._tidy(key, gone=gone)
        if unused and not self.sources.of(key):
            self.memories.reconciled.discard(key)

    async def _stable_groups(self, key: TemplateKey) -> set[GroupKey]:
        """The groups of the stable content of a refused template: they may not have been rendered yet."""
        source = self.sources.template(key)
        stable = source.progress.stable if source is not None else None
        schema = await self.templates.load(key, stable.snapshot) if stable and stable.snapshot else None
        return {GroupKey(*key, name) for name in schema.groups} if schema is not None else set()

    def _tidy(self, key: TemplateKey, *, gone: bool) -> None:
        """Drop content that is no longer needed from memory, if any was deleted since the last pass."""
        if gone:
            self.templates.forget(key)
            self.groups.drift.pop(key, None)
        if self._tidied.get(key) != self.cluster.snapshots.changes:
            needed = self._needed(key)
            self.policies.forget(key, needed)
            self.groups.assignments.forget(key, needed)
        self._tidied[key] = self.cluster.snapshots.changes
        if gone:
            del self._tidied[key]

    def _needed(self, key: TemplateKey) -> set[str]:
        """The snapshots that a group may still be on."""
        source = self.sources.template(key)
        contents = [
            *(source.contents() if source else ()),
            *self.sources.contents(key.namespace),
            *self.memories.latest(key.namespace),
        ]
        needed = {content.snapshot or "" for content in contents}
        judgement = self.templates.judged.get(key)
        if judgement is not None and judgement.accepted is not None:
            needed.add(judgement.accepted.snapshot)
        return needed | self._listed.of(key, self.cluster.rendered(key))

    def _queue_collided(self, key: TemplateKey) -> None:
        """A template changed or was deleted: another one may wait for its names."""
        for other, judgement in self.templates.judged.items():
            if other != key and self.templates.collided(judgement):
                self.cluster.enqueue_template(other)

    def _update_shared(self, key: TemplateKey, *, changed: bool) -> None:
        """Another template may restart a shared workload now: queue the groups and templates that list it."""
        listing = {
            workload: self.groups.restarts.listing(workload) for workload in self.cluster.listings.shared(key)
        }
        before = self._shared.pop(key, {})
        if listing:
            self._shared[key] = listing
        news = {w for w in before.keys() | listing.keys() if before.get(w) != listing.get(w)}
        for workload in listing.keys() if changed else news:
            for other in self.cluster.listings.by(workload):
                if other != key:
                    self.cluster.enqueue_template(other)
        if news:
            self._queue_restarts(key, news)

    def _queue_restarts(self, key: TemplateKey, workloads: set[Ref]) -> None:
        for group, state in self.groups.states.items():
            if group.template_key == key and workloads.intersection(state.workloads):
                self.groups.restarts.request(group)

    def _notices(self, key: TemplateKey) -> tuple[Notice, ...]:
        """Notices about workloads that other templates list as well."""
        shared = {w: listing for w, listing in self._shared.get(key, {}).items() if len(listing) > 1}
        return tuple(
            Notice("groups[].workloads", "WorkloadShared", message_about(workload, key, listing))
            for workload, listing in sorted(shared.items())
            if key in listing
        )

    def _report(self, key: TemplateKey, judgement: Judgement) -> None:
        source, verdict = self.sources.template(key), judgement.verdict
        if judgement.accepted is not None and source is not None and source.progress.phase != "Succeeded":
            verdict = rollout_verdict(source.progress, verdict.notices)
        elif judgement.accepted is not None:
            verdict = self._sum_of_groups(key, judgement)
            if verdict.ready == UNKNOWN and self._is_reported(key, judgement):
                return  # a start, not a change: its groups are being compared
        verdict = replace(verdict, notices=(*verdict.notices, *self._notices(key)))
        self.statuses.offer(key, judgement, verdict, lambda: self._counts(key))

    def _sum_of_groups(self, key: TemplateKey, judgement: Judgement) -> Verdict:
        outcomes = {group: self.groups.outcomes.get(group) for group in _groups(key, judgement)}
        known = {group: found for group, found in outcomes.items() if found is not None}
        pending = [
            group
            for group in outcomes
            if group not in known or known[group].ready == UNKNOWN or self._behind(group, judgement)
        ]
        failing = {group: found for group, found in known.items() if found.ready == FALSE}
        blocked = self._held(pending)
        return ready_verdict(
            judgement.verdict, len(outcomes), failing, pending=bool(pending), blocked=blocked
        )

    def _is_held(self, group: GroupKey, judgement: Judgement | None) -> bool:
        """Whether the rollout of a policy blocks the group, which queues the group once it has finished."""
        return (
            judgement is not None
            and group in self.groups.states
            and any(group.group in source.intents for source in self.sources.policies(group.template_key))
        )

    def _held(self, pending: list[GroupKey]) -> str:
        """The rollout that the template's groups wait for, as a message; empty if there is none."""
        for group in pending:
            for source in self.sources.policies(group.template_key):
                if group.group in source.intents:
                    return f"group {group.group} follows once {source.label} is through"
        return ""

    def _is_reported(self, key: TemplateKey, judgement: Judgement) -> bool:
        """Whether the template's status is about this content already."""
        item = self.cluster.templates.get(key)
        accepted = judgement.accepted
        return (
            item is not None
            and accepted is not None
            and item.status.get("snapshot") == accepted.snapshot
            and item.status.get("observedGeneration") == item.metadata.generation
        )

    def _behind(self, key: GroupKey, judgement: Judgement | None) -> bool:
        state = self.groups.states.get(key)
        return (
            state is None
            or judgement is None
            or judgement.accepted is None
            or state.served.snapshot != judgement.accepted.snapshot
        )

    def _counts(self, key: TemplateKey) -> dict[str, int]:
        """Counts for status; none while groups are still being compared, so that what it says stays."""
        mine = self.cluster.groups_of(key)
        states = [s for k in mine if (s := self.groups.states.get(k))]
        if len(states) < len(mine) or any(self.groups.outcomes.get(k) is None for k in mine):
            return {}
        return {
            "groups": len(states),
            "users": sum(len(self.cluster.preferences.members(s.key)) for s in states),
            "invalidUsers": sum(self.groups.statuses.invalid_users(s) for s in states),
        }


def _groups(key: TemplateKey, judgement: Judgement | None) -> set[GroupKey]:
    """The groups of accepted content."""
    accepted = judgement.accepted if judgement is not None else None
    return {GroupKey(*key, name) for name in accepted.schema.groups} if accepted is not None else set()


def _content(judgement: Judgement | None) -> object:
    accepted = judgement.accepted if judgement is not None else None
    return judgement and (judgement.uid, judgement.generation, accepted and accepted.snapshot)
