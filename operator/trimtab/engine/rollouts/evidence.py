"""What is watched while a rollout is under way: the health of its workloads, and its gates' evidence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trimtab.api.rollout_status import WorkloadNote
from trimtab.core import times
from trimtab.core.refs import GroupKey, TemplateKey, WorkloadKey
from trimtab.core.rollout import planned
from trimtab.core.rollout.source import RolloutSource
from trimtab.core.rollout.spec import EvaluatedSpec
from trimtab.core.workload.health import Health, State
from trimtab.engine.groups.state import GroupState
from trimtab.engine.rollouts.memory import Measuring, RolloutMemories
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restarts import Workloads
from trimtab.gates import Subject
from trimtab.gates.runner import Runner

EVIDENCE_SECONDS = 180.0
"""How old evidence of a workload's health may be: longer than a watch says nothing."""
_BACK = ("RollingBack", "RolledBack", "RollbackFailed")
_WORST = {"Failed": 0, "Progressing": 1, "Healthy": 2}


@dataclass(slots=True)
class Watching:
    cluster: ClusterState
    workloads: Workloads
    health_watch: HealthWatch
    runner: Runner
    memories: RolloutMemories
    _wanted: dict[TemplateKey, set[WorkloadKey]] = field(default_factory=dict)
    _back: dict[TemplateKey, set[WorkloadKey]] = field(default_factory=dict)
    _owners: dict[WorkloadKey, TemplateKey] = field(default_factory=dict)

    # Health.

    def health(self, state: GroupState) -> tuple[State, str, list[WorkloadNote], bool]:
        """The group's workloads on what it serves now: the worst of them, what to know of them, and whether all that
        are not well are so by others' doing."""
        worst: tuple[State, str] = ("Healthy", "")
        notes = []
        disturbed, by_others = self.workloads.stamps.disturbed(state.key), True
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

    def lost_stamp(self, state: GroupState) -> bool:
        """Whether a workload of the group is seen without its stamp: it has come back, or others changed it. Each
        version of it counts once."""
        stamps, lost = self.workloads.stamps, False
        for key, mark in self._marks(state).items():
            if mark is None:
                continue
            version = self.health_watch.lacks(key, mark, stamps.version(state.key, key))
            if version is not None:
                stamps.saw(state.key, key, mark, version)
                lost = True
        return lost

    def _marks(self, state: GroupState) -> dict[WorkloadKey, str | None]:
        """What the group's workloads carry; None for those that another template restarts."""
        keys = state.workloads
        marks = self.workloads.marks_of(state.view, keys) if keys else {}
        return {key: None if key in state.elsewhere else mark for key, mark in marks.items()}

    def _fresh(self, key: WorkloadKey, mark: str | None) -> Health:
        """What is known of a workload. Evidence of half the age at which it counts no more, as its watch is dead, is
        asked for anew while it still counts: that nothing happens is no reason to break a soak."""
        now = asyncio.get_running_loop().time()
        found = self.health_watch.state(key, mark, after=now - EVIDENCE_SECONDS / 2)
        return found if found.known else self.health_watch.state(key, mark, after=now - EVIDENCE_SECONDS)

    def keep(
        self, key: TemplateKey, sources: Sequence[RolloutSource], states: dict[GroupKey, GroupState]
    ) -> None:
        """Watch the workloads of the groups that are under way, and of those that came back until they are healthy;
        measure nothing for deleted rollouts."""
        wanted: set[WorkloadKey] = set()
        back: set[WorkloadKey] = set()
        for source in sources:
            going_back = source.progress.phase in _BACK
            for name in source.intents or (planned(source.progress) if going_back else ()):
                state = states.get(GroupKey(*key, name))
                mine = set(state.workloads) if state is not None else set()
                if source.progress.underway is None:
                    mine &= self._wanted.get(key, set())
                    marks = self._marks(state) if state is not None and mine else {}
                    mine = {
                        w
                        for w, m in marks.items()
                        if w in mine and self.health_watch.state(w, m).state == "Progressing"
                    }
                wanted |= mine
                back |= mine if going_back else set()
        present = {source.uid for source in sources}
        for uid in self.memories.measured_for(key):
            if uid not in present:
                self.stop_measuring(uid)
        if (wanted, back) == (self._wanted.get(key, set()), self._back.get(key, set())):
            return
        self._wanted[key], self._back[key] = wanted, back
        if not wanted:
            del self._wanted[key], self._back[key]
        self._owners = {workload: owner for owner, mine in self._wanted.items() for workload in mine}
        self.health_watch.want(self._owners.keys(), back=set().union(*self._back.values()))

    def workload_changed(self, workload: WorkloadKey) -> None:
        """Something is known of a workload that was not known before."""
        owner = self._owners.get(workload)
        if owner is not None:
            self.cluster.enqueue_rollouts(owner)

    # Gates.

    def follow(self, key: TemplateKey, source: RolloutSource, spec: EvaluatedSpec, *, measure: bool) -> None:
        """Measure the rollout's gates in its present wave, or none."""
        progress = source.progress
        gates = spec.strategy.gates if spec.strategy is not None else ()
        if not measure or not gates or progress.wave_started_at is None:
            if spec.strategy is not None or not measure:
                self.stop_measuring(source.uid)
            return
        subject = Subject(
            kind=source.kind,
            namespace=source.key.namespace,
            name=source.name,
            uid=source.uid,
            epoch=progress.epoch or 0,
            wave=progress.current_wave or 0,
            started_at=times.read(progress.wave_started_at) or 0.0,
            settled_at=progress.settled_at,
        )
        successful = {(s.name, s.rule or "") for s in progress.gates if s.result == "Successful"}
        self.memories.of(source.uid).measuring = Measuring(key, subject, frozenset(successful))
        known = {status.name: (status.round, status.job or "") for status in progress.gates}
        due = [gate for gate in gates if progress.settled_at is not None or not gate.once]
        jobs = ((gate, *known.get(gate.name, (0, ""))) for gate in due)
        self.runner.want(subject, [replace(gate, round=number, job=uid) for gate, number, uid in jobs])

    def stop_measuring(self, uid: str) -> None:
        """Measure nothing of that rollout any longer."""
        self.runner.forget(uid)
        self.memories.of(uid).stop_measuring()
