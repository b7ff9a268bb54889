"""The pass over one template: judge it, send its groups to work, drop what nobody needs, and say how it stands."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from trimtab.core.evaluate.template import ready_verdict
from trimtab.core.refs import GroupKey, TemplateKey, WorkloadKey
from trimtab.core.rollout.phase import rollout_verdict
from trimtab.core.status import FALSE, UNKNOWN
from trimtab.core.violations import Notice
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.snapshots import FRESH_SECONDS, Snapshots
from trimtab.engine.content.templates import Judgement, Templates
from trimtab.engine.groups.reconcile import Groups
from trimtab.engine.groups.revisions import ListedSnapshots
from trimtab.engine.rollouts.memory import RolloutMemories
from trimtab.engine.scheduling.failures import apart
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.scheduling.retry import NEVER
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.rollout_sources import RolloutSources
from trimtab.engine.store.workload_listings import message_about
from trimtab.engine.templates.status import TemplateStatuses


@dataclass(slots=True)
class TemplatePass:
    """What one template asks of its groups, and what they make of it."""

    cluster: ClusterState
    templates: Templates
    policies: Policies
    sources: RolloutSources
    snapshots: Snapshots
    groups: Groups
    statuses: TemplateStatuses
    memories: RolloutMemories
    _seen: dict[TemplateKey, object] = field(default_factory=dict)
    """The content that each one's last pass was about: whoever else may have judged it since"""
    _listed: ListedSnapshots = field(default_factory=ListedSnapshots)
    _tidied: dict[TemplateKey, int] = field(default_factory=dict)
    _shared: dict[TemplateKey, dict[WorkloadKey, list[TemplateKey]]] = field(default_factory=dict)
    """Who lists the workloads of each template that others list as well, as its last pass found it"""

    async def reconcile(self, key: TemplateKey) -> None:
        """One pass.

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller tries again later.
        """
        judgement = await self.templates.judge(key)
        if judgement is not None and judgement.until < NEVER:
            delay = max(judgement.until - asyncio.get_running_loop().time(), 0.0)
            self.cluster.queue.add_after(Work("template", key), key.namespace, delay)
        changed = self._seen.get(key) != _content(judgement)
        if changed:
            self._collisions_again(key)
        self._shared_workloads(key, changed=changed)
        accepted = judgement.accepted if judgement else None
        wanted = {GroupKey(*key, name) for name in accepted.schema.groups} if accepted else set()
        unserved = await self._unserved(key) if judgement is not None and accepted is None else set()
        self._send(key, judgement, wanted, unserved, changed=changed)
        if judgement is not None:
            self._seen[key] = _content(judgement)
            self._say(key, judgement, wanted)
        else:
            self._seen.pop(key, None)
        failures: list[Exception] = []
        with apart(failures):
            await self.snapshots.restore(key, self._needed(key))
        with apart(failures):
            await self._prune(key, gone=judgement is None)
        if failures:
            raise failures[0]

    def _send(
        self,
        key: TemplateKey,
        judgement: Judgement | None,
        wanted: set[GroupKey],
        unserved: set[GroupKey],
        *,
        changed: bool,
    ) -> None:
        """Send groups to work that are not where they should be; if content ``changed``, whoever names them too."""
        # Of a state without any object left only we know.
        left = {g for g in self.groups.states if g.template == key.name and g.namespace == key.namespace}
        by_strategy = self.sources.template(key) is not None
        for group in self.cluster.known_groups_of(key) | left | wanted | unserved:
            state = self.groups.states.get(group)
            refused = judgement is not None and judgement.accepted is None and state is not None
            if by_strategy and judgement is not None:
                if changed and (group not in wanted or state is None):
                    self.cluster.everything(group)  # who names it is told
                elif changed or state is None:
                    self.cluster.enqueue_group(group)  # it follows its assignment
            elif not refused and not self._is_held(group, judgement):
                if self._behind(group, judgement):
                    self.cluster.everything(group)
                elif state is not None and not state.settled:
                    self.cluster.enqueue_group(group)  # the rollout that it was of is gone

    async def _prune(self, key: TemplateKey, *, gone: bool) -> None:
        """Delete the snapshots that nobody needs, and forget what was made of them."""
        sources = self.sources.of(key)
        unknown = bool(sources) and key not in self.memories.reconciled
        # A policy's snapshot may be so new that no status names it yet, whatever becomes of the template meanwhile.
        forsaken = gone and not sources
        if key in self.cluster.kept.templates:
            return
        try:
            if not unknown and not await self.snapshots.prune(key, lambda: self._needed(key), gone=forsaken):
                self.cluster.queue.add_after(Work("template", key), key.namespace, FRESH_SECONDS)
        finally:
            self._tidy(key, gone=gone)
        if forsaken and not self.sources.of(key):
            self.memories.reconciled.discard(key)

    async def _unserved(self, key: TemplateKey) -> set[GroupKey]:
        """Of a template that is refused: the groups of what is stable, which may not have been made when it still was
        valid."""
        source = self.sources.template(key)
        stable = source.progress.stable if source is not None else None
        schema = await self.templates.load(key, stable.snapshot) if stable and stable.snapshot else None
        return {GroupKey(*key, name) for name in schema.groups} if schema is not None else set()

    def _tidy(self, key: TemplateKey, *, gone: bool) -> None:
        """Drop what is in memory of content that nobody needs, if any was deleted since the last time."""
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
        """The snapshots that somebody may still serve."""
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

    def _collisions_again(self, key: TemplateKey) -> None:
        """A template changed or went: another one may have waited for its names."""
        for other, judgement in self.templates.judged.items():
            if other != key and self.templates.collided(judgement):
                self.cluster.enqueue_template(other)

    def _shared_workloads(self, key: TemplateKey, *, changed: bool) -> None:
        """Who restarts a workload that several templates list may have changed: look at the groups that list it."""
        listing = {
            workload: self.groups.restarts.listing(workload) for workload in self.cluster.listings.shared(key)
        }
        before = self._shared.pop(key, {})
        if listing:
            self._shared[key] = listing
        news = {w for w in before.keys() | listing.keys() if before.get(w) != listing.get(w)}
        told = listing.keys() if changed else news
        for other in {other for workload in told for other in self.cluster.listings.by(workload)} - {key}:
            self.cluster.enqueue_template(other)
        for group, state in self.groups.states.items() if news else ():
            if group.template_key == key and news.intersection(state.workloads):
                self.groups.restarts.request(group)

    def _notices(self, key: TemplateKey) -> tuple[Notice, ...]:
        """What the template has to know of workloads that others list as well."""
        shared = {w: listing for w, listing in self._shared.get(key, {}).items() if len(listing) > 1}
        return tuple(
            Notice("groups[].workloads", "WorkloadShared", message_about(workload, key, listing))
            for workload, listing in sorted(shared.items())
            if key in listing
        )

    def _say(self, key: TemplateKey, judgement: Judgement, wanted: set[GroupKey]) -> None:
        outcomes = {group: self.groups.outcomes.get(group) for group in wanted}
        pending = [
            group
            for group, found in outcomes.items()
            if found is None or found.ready == UNKNOWN or self._behind(group, judgement)
        ]
        source, verdict = self.sources.template(key), judgement.verdict
        if judgement.accepted is not None and source is not None and source.progress.phase != "Succeeded":
            verdict = rollout_verdict(source.progress, verdict.notices)
        elif judgement.accepted is not None:
            failing = {
                g: found for g, found in outcomes.items() if found is not None and found.ready == FALSE
            }
            verdict = ready_verdict(
                verdict, len(wanted), failing, pending=bool(pending), blocked=self._held(pending)
            )
            if verdict.ready == UNKNOWN and self._said_already(key, judgement):
                return  # a start, not a change: its groups are being compared
        verdict = replace(verdict, notices=(*verdict.notices, *self._notices(key)))
        self.statuses.offer(key, judgement, verdict, lambda: self._counts(key))

    def _is_held(self, group: GroupKey, judgement: Judgement | None) -> bool:
        """Whether a policy's rollout holds the group, so that it is sent to work when that is through."""
        return (
            judgement is not None
            and group in self.groups.states
            and any(group.group in source.intents for source in self.sources.policies(group.template_key))
        )

    def _held(self, pending: list[GroupKey]) -> str:
        """Which rollout the template's groups wait for, if they do."""
        for group in pending:
            for source in self.sources.policies(group.template_key):
                if group.group in source.intents:
                    return f"group {group.group} follows once {source.label} is through"
        return ""

    def _said_already(self, key: TemplateKey, judgement: Judgement) -> bool:
        """Whether the template's status is about this very content already."""
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


def _content(judgement: Judgement | None) -> object:
    accepted = judgement.accepted if judgement is not None else None
    return judgement and (judgement.uid, judgement.generation, accepted and accepted.snapshot)
