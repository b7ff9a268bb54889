"""How far a rollout is, written into its status: over exactly the object that was looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.api.rollout_status import TRANSITIONS, RolloutProgress, Transition
from trimtab.core.objects import AnyObject
from trimtab.core.rollout import Step, intents
from trimtab.core.rollout.phase import rollout_verdict
from trimtab.core.rollout.source import POLICY, STATUS_FIELDS, RolloutSource
from trimtab.core.rollout.spec import EvaluatedSpec
from trimtab.core.status import Verdict, conditions, notice_fields, violation_fields, without_times
from trimtab.engine.rollouts.memory import RolloutMemories
from trimtab.engine.store.rollout_sources import RolloutSources, resource_of
from trimtab.kube import errors
from trimtab.kube.port import Api

SETTLE_SECONDS = 1.0
"""Counters in a rollout's status are written at most this often."""


@dataclass(slots=True)
class ProgressWriter:
    """``clock`` gives seconds since 1970, ``now`` the same as RFC 3339 text."""

    api: Api
    sources: RolloutSources
    clock: Callable[[], float]
    now: Callable[[], str]
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
        status = {name: value for name, value in item.status.items() if name not in STATUS_FIELDS}
        status |= progress.to_dict()
        if source.kind == POLICY:
            generation = item.metadata.generation
            verdict = _verdict(spec, progress)
            before = item.status.get("conditions") or ()
            status |= {
                "observedGeneration": generation,
                "conditions": conditions(verdict, generation, self.now(), before),
                "violations": violation_fields(verdict.violations),
                "warnings": notice_fields(verdict.notices),
            }
        elif progress.phase != "Succeeded" and spec.refusal is None:  # its phase and Ready are never at odds
            generation, before = item.metadata.generation, item.status.get("conditions") or ()
            verdict = rollout_verdict(progress, ())
            status |= {
                "observedGeneration": generation,
                "conditions": conditions(verdict, generation, self.now(), before),
            }
        status = {name: value for name, value in status.items() if value not in (None, [])}
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

    async def put(self, kind: str, item: AnyObject, status: dict[str, Any]) -> AnyObject:
        """Write a status over exactly ``item``; what stands there now."""
        resource = resource_of(kind)
        store = self.sources.store(kind)
        try:
            answer = await self.api.replace_status(
                resource, *item.key, status, version=item.metadata.resourceVersion
            )
        except errors.ConflictError:
            store.put(msgspec.convert(await self.api.get(resource, *item.key), AnyObject))
            raise
        except errors.NotFoundError:
            store.drop(item)
            raise errors.UnavailableError(0, "Gone", f"{kind} {item.key} is gone") from None
        now = msgspec.convert(answer, AnyObject)
        store.put(now)
        return now


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


def _verdict(spec: EvaluatedSpec, progress: RolloutProgress) -> Verdict:
    if spec.refusal is not None:
        return spec.refusal
    return rollout_verdict(progress, spec.notices)
