"""Evidence about a rollout in progress: the health of its workloads, and its gates' measurements."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from trimtab.api.rollout_status import RolloutProgress, WorkloadNote
from trimtab.core import times
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.rollout import planned
from trimtab.core.rollout.source import RolloutSource
from trimtab.core.rollout.spec import EvaluatedSpec
from trimtab.core.rollout.strategy import Gate
from trimtab.core.workload.health import Health, State
from trimtab.engine.groups.state import GroupState
from trimtab.engine.rollouts.memory import Measuring, RolloutMemories
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restarts import Workloads
from trimtab.gates import Subject
from trimtab.gates.runner import Runner

EVIDENCE_SECONDS = 180.0
"""How old evidence of a workload's health may be: longer than a watch may be silent."""
_BACK = ("RollingBack", "RolledBack", "RollbackFailed")
_WORST = {"Failed": 0, "Progressing": 1, "Healthy": 2}


@dataclass(slots=True)
class EvidenceCollector:
    cluster: ClusterState
    workloads: Workloads
    health_watch: HealthWatch
    runner: Runner
    memories: RolloutMemories
    _watched: dict[TemplateKey, set[Ref]] = field(default_factory=dict)
    _back: dict[TemplateKey, set[Ref]] = field(default_factory=dict)
    _owners: dict[Ref, TemplateKey] = field(default_factory=dict)

    # Health.

    def health(self, state: GroupState) -> tuple[State, str, list[WorkloadNote], bool]:
        """The group's workloads on its current revision: the worst state with its message, notes, and whether other
        clients caused all that is unhealthy."""
        worst: tuple[State, str] = ("Healthy", "")
        notes = []
        disturbed, by_others = self.workloads.history.disturbed(state.key), True
        for key, mark in self._marks(state).items():
            found = self._fresh(key, mark)
            if found.note:
                notes.append(
                    WorkloadNote(workload=str(key), reason="OnDelete", message=f"{key}: {found.note}")
                )
            if _WORST[found.state] < _WORST[worst[0]]:
                named = found.message.startswith("pod ")
                worst = (found.state, found.message if named else f"{key}: {found.message}")
            if found.state != "Healthy":
                by_others = by_others and (found.by_others or key in disturbed)
        return (*worst, notes, by_others and worst[0] != "Healthy")

    def lost_annotation(self, state: GroupState) -> bool:
        """Whether a workload of the group was observed without its digest: it was recreated, or another client changed
        it. Each version of it counts once."""
        history, lost = self.workloads.history, False
        for key, mark in self._marks(state).items():
            if mark is None:
                continue
            version = self.health_watch.lacks(key, mark, history.version(state.key, key))
            if version is not None:
                history.processed(state.key, key, mark, version)
                lost = True
        return lost

    def _marks(self, state: GroupState) -> dict[Ref, str | None]:
        """What the group's workloads carry; None for those that another template restarts."""
        keys = state.workloads
        marks = self.workloads.marks_of(state.view, keys) if keys else {}
        return {key: None if key in state.restarts.elsewhere else mark for key, mark in marks.items()}

    def _fresh(self, key: Ref, mark: str | None) -> Health:
        """A workload's health. From half of the maximum age it is requested again while it still counts: a silent watch
        alone must not interrupt a soak."""
        now = asyncio.get_running_loop().time()
        found = self.health_watch.state(key, mark, after=now - EVIDENCE_SECONDS / 2)
        return found if found.known else self.health_watch.state(key, mark, after=now - EVIDENCE_SECONDS)

    def watch(
        self, key: TemplateKey, sources: Sequence[RolloutSource], states: dict[GroupKey, GroupState]
    ) -> None:
        """Watch the workloads of groups in progress, and those of rolled back groups until they are healthy; measure
        nothing for deleted rollouts."""
        watched, back = set[Ref](), set[Ref]()
        for source in sources:
            mine = self._workloads_of(key, source, states)
            watched |= mine
            back |= mine if source.progress.phase in _BACK else set()
        present = {source.uid for source in sources}
        for uid in self.memories.measured_for(key):
            if uid not in present:
                self.stop_measuring(uid)
        if (watched, back) == (self._watched.get(key, set()), self._back.get(key, set())):
            return
        self._watched[key], self._back[key] = watched, back
        if not watched:
            del self._watched[key], self._back[key]
        self._owners = {workload: owner for owner, mine in self._watched.items() for workload in mine}
        self.health_watch.want(self._owners.keys(), back=set().union(*self._back.values()))

    def _workloads_of(
        self, key: TemplateKey, source: RolloutSource, states: dict[GroupKey, GroupState]
    ) -> set[Ref]:
        progress = source.progress
        names = source.intents or (planned(progress) if progress.phase in _BACK else ())
        found = [state for name in names if (state := states.get(GroupKey(*key, name))) is not None]
        if progress.underway is not None:
            return {workload for state in found for workload in state.workloads}
        return {workload for state in found for workload in self._still_progressing(key, state)}

    def _still_progressing(self, key: TemplateKey, state: GroupState) -> Iterator[Ref]:
        """Watched workloads of a finished rollout that are not healthy yet."""
        mine = self._watched.get(key, set()).intersection(state.workloads)
        for workload, mark in (self._marks(state) if mine else {}).items():
            if workload in mine and self.health_watch.state(workload, mark).state == "Progressing":
                yield workload

    def workload_changed(self, workload: Ref) -> None:
        """A workload's health has changed."""
        owner = self._owners.get(workload)
        if owner is not None:
            self.cluster.enqueue_rollouts(owner)

    # Gates.

    def measure(self, key: TemplateKey, source: RolloutSource, spec: EvaluatedSpec, *, due: bool) -> None:
        """Measure the gates of the rollout's current wave, or stop if they are not ``due``."""
        started_at = source.progress.wave_started_at
        gates = spec.strategy.gates if spec.strategy is not None else ()
        if not due or not gates or started_at is None:
            if spec.strategy is not None or not due:
                self.stop_measuring(source.uid)
            return
        progress, subject = source.progress, _subject(source, started_at)
        successful = {(s.name, s.rule or "") for s in progress.gates if s.result == "Successful"}
        self.memories.of(source.uid).measuring = Measuring(key, subject, frozenset(successful))
        self.runner.want(subject, _due_gates(gates, progress))

    def stop_measuring(self, uid: str) -> None:
        """Measure nothing of that rollout any longer."""
        self.runner.forget(uid)
        self.memories.of(uid).stop_measuring()


def _subject(source: RolloutSource, started_at: str) -> Subject:
    progress = source.progress
    return Subject(
        kind=source.kind,
        namespace=source.key.namespace,
        name=source.name,
        uid=source.uid,
        epoch=progress.epoch or 0,
        wave=progress.current_wave or 0,
        started_at=times.read(started_at) or 0.0,
        settled_at=progress.settled_at,
    )


def _due_gates(gates: Iterable[Gate], progress: RolloutProgress) -> list[Gate]:
    """The gates with what status records of their Jobs; a Job runs once the wave's groups have settled."""
    known = {status.name: (status.round, status.job or "") for status in progress.gates}
    due = [gate for gate in gates if progress.settled_at is not None or not gate.once]
    jobs = ((gate, *known.get(gate.name, (0, ""))) for gate in due)
    return [replace(gate, round=number, job=uid) for gate, number, uid in jobs]
