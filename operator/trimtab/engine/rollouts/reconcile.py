"""The pass over all rollouts of one template: observe, step, store the progress, and only then act on it.

Status records every decision before anything follows from it; groups then follow their assignment. One pass handles all
rollouts of a template, one after the other, so that no two of them start in the same group.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.rollout import Observation, step
from trimtab.core.rollout.source import STATUS_FIELDS, TEMPLATE, RolloutSource
from trimtab.core.rollout.spec import EvaluatedSpec, requires_preview
from trimtab.engine.groups.state import GroupState
from trimtab.engine.rollouts.actions import Answers
from trimtab.engine.rollouts.events import RolloutEvents
from trimtab.engine.rollouts.evidence import EvidenceCollector
from trimtab.engine.rollouts.memory import RolloutMemories, Sent
from trimtab.engine.rollouts.observation import GroupObserver
from trimtab.engine.rollouts.preview_tasks import PreviewTasks
from trimtab.engine.rollouts.spec import RolloutSpecs
from trimtab.engine.rollouts.status import ProgressWriter, numbered
from trimtab.engine.scheduling.failures import apart
from trimtab.engine.scheduling.queue import Work
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.rollout_sources import RolloutSources

WARM_SECONDS = 30.0
"""How long a new leader waits at most until it has observed all groups of a rollout in progress."""


@dataclass(slots=True)
class Rollouts:
    """``clock`` gives seconds since 1970."""

    cluster: ClusterState
    sources: RolloutSources
    specs: RolloutSpecs
    observer: GroupObserver
    previews: PreviewTasks
    evidence: EvidenceCollector
    events: RolloutEvents
    answers: Answers
    writer: ProgressWriter
    clock: Callable[[], float]
    states: dict[GroupKey, GroupState]
    memories: RolloutMemories
    _warm_at: float = field(init=False)
    """Until then every group is observed before anything is concluded: another process has led before"""

    def __post_init__(self) -> None:
        self._warm_at = self.clock() + WARM_SECONDS

    async def reconcile(self, key: TemplateKey) -> None:
        """One pass.

        :raises trimtab.kube.errors.ApiError: nothing was lost; the caller retries later.
        """
        wake: list[float] = []
        failures, untold = list[Exception](), list[Exception]()
        for uid in [source.uid for source in self.sources.of(key)]:
            with apart(failures):
                wake += await self._advance(key, uid, untold)
        if not failures and key not in self.memories.reconciled:
            self.memories.reconciled.add(key)
            self.cluster.enqueue_template(key)
        with apart(failures):
            await self._forget_progress(key)
        self.evidence.watch(key, self.sources.of(key), self.states)
        with apart(untold):
            await self.answers.refuse_strays(key)
        self._tidy()
        if wake:
            delay = max(0.0, min(wake) - self.clock())
            self.cluster.queue.add_after(Work("rollout", key), key.namespace, delay)
        for failure in [*failures, *untold]:
            raise failure

    def _tidy(self) -> None:
        """Forget deleted rollouts."""
        present = self.sources.present()
        self.sources.keep(present)
        for uid in self.memories.keep(present):
            self.evidence.runner.forget(uid)

    async def _forget_progress(self, key: TemplateKey) -> None:
        """Remove the progress from the status of a template whose strategy was removed."""
        item = self.cluster.templates.get(key)
        if item is None or item.spec.get("strategy") is not None or not STATUS_FIELDS & item.status.keys():
            return
        status = {name: value for name, value in item.status.items() if name not in STATUS_FIELDS}
        self.evidence.stop_measuring(item.metadata.uid)
        await self.writer.put(TEMPLATE, item, status)
        for group in self.cluster.groups_of(key):
            self.cluster.enqueue_group(group)

    async def _advance(self, key: TemplateKey, uid: str, untold: list[Exception]) -> list[float]:
        """Advance one rollout; when to observe it again. ``untold`` collects failures to report it."""
        source = next((source for source in self.sources.of(key) if source.uid == uid), None)
        if source is None:
            return []
        self._resumed(key, source)
        spec = await self.specs.of(key, source)
        source = spec.source
        warming = source.progress.underway and self.clock() < self._warm_at
        if warming and not self.observer.complete(key, source):
            return [self._warm_at]  # after a start groups are still being compared
        seen = await self._observe(key, spec)
        made = step(source.progress, seen, self.clock())
        if made.transitions:
            made = numbered(made)
        delayed = self.writer.may_wait(source, made)
        if delayed is None:
            source = await self.writer.write(source, spec, made.progress)
        self._moved(key, source)
        self.memories.of(uid).consumed(seen.evidence)
        self.evidence.measure(key, source, spec, due=made.measure)
        with apart(untold):
            await self.answers.tell(made.results)
        with apart(untold):
            await self.events.record(source, source.progress.transitions, self.clock())
        again = self.clock() + spec.retry_seconds if spec.retry_seconds is not None else None
        return [at for at in (made.wake_at, delayed, again) if at is not None]

    # Observing.

    async def _observe(self, key: TemplateKey, spec: EvaluatedSpec) -> Observation:
        source = spec.source
        preview = source.progress.preview
        if spec.target is not None and requires_preview(spec):
            preview = await self.previews.of(key, source, spec.target, spec.scope, spec.basis) or preview
        else:
            self.memories.of(source.uid).drop_preview()
        return Observation(
            target=spec.target,
            refusal=spec.refusal.message if spec.refusal else "",
            strategy=spec.strategy,
            groups=await self.observer.of(key, source, spec.scope),
            busy=self._busy(key, spec),
            preview=preview,
            evidence=tuple(self.memories.of(source.uid).evidence),
            requests=tuple(self.answers.requests(source)),
            unprotected=spec.unprotected,
        )

    def _busy(self, key: TemplateKey, spec: EvaluatedSpec) -> str:
        """Another rollout that is in progress in a group of this one."""
        mine = (
            {name for wave in spec.source.progress.waves for name in wave.groups}
            if (spec.source.progress.underway)
            else set(spec.scope)
        )
        for other in self.sources.of(key):
            claimed = other.intents.keys() | self.memories.of(other.uid).uncertain
            shared = mine & claimed if other.uid != spec.source.uid else set()
            if shared:
                return f"{other.label} is in progress in group {min(shared)}"
        return ""

    # Acting.

    def _moved(self, key: TemplateKey, source: RolloutSource) -> None:
        """Queue the groups whose intents differ from those that they were queued with last.

        Not by what this pass has written: a write may have succeeded whose response was lost.
        """
        self._resumed(key, source)
        progress = source.progress
        memory = self.memories.of(source.uid)
        before = memory.sent
        after = Sent(source.intents, progress.stable, progress.target, progress.phase, progress.underway)
        memory.sent = after
        names = {*before.wanted, *after.wanted}
        changed = {name for name in names if before.wanted.get(name) != after.wanted.get(name)}
        where = before.stable, before.target, before.underway
        if before.phase is None or where != (after.stable, after.target, after.underway):
            changed |= {group.group for group in self.cluster.groups_of(key)}
        for name in changed:
            self.cluster.enqueue_group(GroupKey(key.namespace, key.name, name))
        if before.phase != after.phase:
            self.cluster.enqueue_template(key)
        if before.underway and not after.underway:
            self.cluster.enqueue_rollouts(key)  # others may have waited for it

    def _resumed(self, key: TemplateKey, source: RolloutSource) -> None:
        """Groups that are no longer paused or in progress: changes of their workloads by other clients are counted from
        now, and restarts that were given up are retried."""
        for name, before in self.memories.of(source.uid).sent.wanted.items():
            intent = source.intents.get(name)
            if intent is None or (before.hold and not intent.hold):
                self.evidence.workloads.history.resume(GroupKey(*key, name))
