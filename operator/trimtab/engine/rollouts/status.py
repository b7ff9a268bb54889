"""How far a rollout is, written into its status: over exactly the object that was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab.api.rollout_status import TRANSITIONS, RolloutProgress, Transition
from trimtab.core.objects import AnyObject
from trimtab.core.rollout import Step, intents
from trimtab.core.rollout.phase import rollout_verdict
from trimtab.core.rollout.source import POLICY, STATUS_FIELDS, RolloutSource
from trimtab.core.rollout.spec import EvaluatedSpec
from trimtab.core.status import composed, findings, without_times
from trimtab.engine.rollouts.memory import RolloutMemories
from trimtab.engine.status.writer import StatusWriter
from trimtab.engine.store.rollout_sources import RolloutSources, resource_of
from trimtab.kube import errors

SETTLE_SECONDS = 1.0
"""Counters in a rollout's status are written at most this often."""


@dataclass(slots=True)
class ProgressWriter:
    """``clock`` gives seconds since 1970."""

    statuses: StatusWriter
    sources: RolloutSources
    clock: Callable[[], float]
    memories: RolloutMemories

    def may_wait(self, source: RolloutSource, made: Step) -> float | None:
        """When to write it, if only its counters moved and they were written a moment ago."""
        quiet: dict[str, Any] = {"message": None, "updated": None, "workload_notes": []}
        if made.progress.model_copy(update=quiet) != source.progress.model_copy(update=quiet):
            return None
        meta, said = source.item.metadata, source.item.status.get("observedGeneration")
        if made.progress == source.progress or (source.kind == POLICY and said != meta.generation):
            return None
        at = self.memories.of(source.uid).written_at
        return at + SETTLE_SECONDS if 0 <= self.clock() - at < SETTLE_SECONDS else None

    async def write(
        self, source: RolloutSource, spec: EvaluatedSpec, progress: RolloutProgress
    ) -> RolloutSource:
        """Put it into status, over the object that was looked at.

        :raises trimtab.kube.errors.ConflictError: it has changed; what is there now is in the store.
        """
        item, memory = self._newest(source), self.memories.of(source.uid)
        status = self._composed(item, spec, progress)
        wanted = intents(progress)
        if without_times(status) == without_times(item.status):
            memory.uncertain = frozenset()
            return source
        try:
            item = await self.put(source.kind, item, status)
        except errors.UnavailableError:
            memory.uncertain = frozenset(wanted)
            raise
        except errors.ApiError:
            memory.uncertain = frozenset()
            raise
        memory.uncertain, memory.written_at = frozenset(), self.clock()
        return RolloutSource(source.kind, item, progress, wanted)

    def _newest(self, source: RolloutSource) -> AnyObject:
        """What was looked at, or how it stands now if only others' fields of its status have changed meanwhile: that a
        look takes long must not have its outcome refused."""
        seen = source.item
        now = self.sources.store(source.kind).get(source.key)
        same = now is not None and (now.metadata.uid, now.metadata.generation, _ours(now)) == (
            seen.metadata.uid,
            seen.metadata.generation,
            _ours(seen),
        )
        return now if now is not None and same else seen

    def _composed(self, item: AnyObject, spec: EvaluatedSpec, progress: RolloutProgress) -> dict[str, Any]:
        others = {name: value for name, value in item.status.items() if name not in STATUS_FIELDS}
        fields, generation = progress.to_dict(), item.metadata.generation
        if spec.source.kind == POLICY:
            verdict = spec.refusal or rollout_verdict(progress, spec.notices)
            fields |= findings(verdict)
        elif progress.phase != "Succeeded" and spec.refusal is None:
            verdict = rollout_verdict(progress, ())  # its phase and Ready agree always
        else:
            return {name: value for name, value in {**others, **fields}.items() if value not in (None, [])}
        return composed(others, verdict, generation, self.statuses.now(), fields)

    async def put(self, kind: str, item: AnyObject, status: dict[str, Any]) -> AnyObject:
        """Write a status over exactly ``item``; the object as it is now."""
        try:
            return await self.statuses.replace(resource_of(kind), self.sources.store(kind), item, status)
        except errors.NotFoundError:
            raise errors.UnavailableError(0, "Gone", f"{kind} {item.key} was deleted") from None


def numbered(made: Step) -> Step:
    """The step with its transitions on the list in status."""
    progress = made.progress
    last = max((t.number for t in progress.transitions), default=0)
    fresh = [
        Transition(
            number=last + index,
            at=t.at,
            reason=t.reason,
            message=t.message,
            by=t.by or None,
            phase=t.to_phase,
            warning=t.warning,
            before=t.before or None,
            after=t.after or None,
        )
        for index, t in enumerate(made.transitions, 1)
    ]
    listed = [*reversed(fresh), *progress.transitions][:TRANSITIONS]
    changed = progress.model_copy(update={"transitions": listed})
    return Step(changed, made.transitions, made.results, made.measure, made.wake_at)


def _ours(item: AnyObject) -> dict[str, Any]:
    """The fields of status that are a rollout's."""
    return {name: value for name, value in item.status.items() if name in STATUS_FIELDS}
