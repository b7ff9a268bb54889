"""What a leader remembers of each rollout, by uid. All of it may be lost: status has what the next leader needs."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.api.rollout_status import Content, Preview
from trimtab.core.policy.policy import Policy
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout import Evidence, Intent
from trimtab.core.rollout.strategy import Strategy
from trimtab.core.schema.template import Schema
from trimtab.core.status import Verdict
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.gates import Gate, Measurement, Subject


@dataclass(frozen=True, slots=True)
class Measuring:
    """The wave whose gates are measured. ``successful`` are (name, rule) of the gates that succeed by status."""

    template: TemplateKey
    subject: Subject
    successful: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Sent:
    """The state for which groups and other rollouts were queued last."""

    wanted: Mapping[str, Intent] = field(default_factory=dict)
    stable: Content | None = None
    target: Content | None = None
    phase: str | None = None
    underway: str | None = None


@dataclass(frozen=True, slots=True)
class EvaluatedPolicy:
    """A policy's outcome, and what it was evaluated with."""

    spec: Mapping[str, object]
    schema: Schema
    others: tuple[Policy, ...]
    outcome: Policy | Verdict

    def is_with(self, spec: Mapping[str, object], schema: Schema, others: Sequence[Policy]) -> bool:
        """Whether it was evaluated with exactly these."""
        return (
            self.spec == spec
            and self.schema is schema
            and len(self.others) == len(others)
            and all(one is other for one, other in zip(self.others, others, strict=True))
        )


@dataclass(frozen=True, slots=True)
class EvaluatedStrategy:
    """A strategy's outcome, and what it depends on."""

    basis: object
    outcome: Strategy | Verdict


@dataclass(frozen=True, slots=True)
class PreviewTask:
    """``about`` is the content's hash, the hash of what its effects depend on, and the groups."""

    about: tuple[str, str, tuple[str, ...]]
    task: asyncio.Task[Preview]


@dataclass(slots=True)
class RolloutMemory:
    """One rollout's."""

    sent: Sent = field(default_factory=Sent)
    policy: EvaluatedPolicy | None = None
    strategy: EvaluatedStrategy | None = None
    latest: Content | None = None
    """What a policy has stored last: its status may name it much later"""
    preview: PreviewTask | None = None
    uncertain: frozenset[str] = frozenset()
    """Groups that it claims if a status write without a response has succeeded"""
    written_at: float = 0.0
    """When its status was written last, in seconds since 1970"""
    last_event: int = 0
    """The number of the last transition that has an Event"""
    measuring: Measuring | None = None
    evidence: list[Evidence] = field(default_factory=list)
    """What gates have measured and no pass has processed"""

    def drop_preview(self) -> None:
        """Cancel it if it is not finished."""
        if self.preview is not None:
            self.preview.task.cancel()
        self.preview = None

    def stop_measuring(self) -> None:
        """Drop what was measured, too."""
        self.measuring = None
        self.evidence.clear()

    def consumed(self, processed: Sequence[Evidence]) -> None:
        """Status has this evidence now. What was measured meanwhile is behind it."""
        del self.evidence[: len(processed)]


@dataclass(slots=True)
class RolloutMemories:
    """Those of all rollouts."""

    cluster: ClusterState
    reconciled: set[TemplateKey] = field(default_factory=set)
    """Templates whose rollouts have had a pass: until then it is unknown which content they need"""
    _all: dict[str, RolloutMemory] = field(default_factory=dict)

    def of(self, uid: str) -> RolloutMemory:
        """The rollout's memory, empty at first."""
        return self._all.setdefault(uid, RolloutMemory())

    def keep(self, present: Container[str]) -> list[str]:
        """Drop all but these rollouts; those that were dropped."""
        gone = [uid for uid in self._all if uid not in present]
        for uid in gone:
            self._all.pop(uid).drop_preview()
        return gone

    def latest(self, namespace: str) -> Iterator[Content]:
        """The content that policies of a namespace have stored last."""
        for item in self.cluster.rollouts:
            memory = self._all.get(item.metadata.uid) if item.metadata.namespace == namespace else None
            if memory is not None and memory.latest is not None:
                yield memory.latest

    def measured_for(self, template: TemplateKey) -> list[str]:
        """The rollouts that are measured for a template."""
        found = self._all.items()
        return [uid for uid, m in found if m.measuring is not None and m.measuring.template == template]

    def measured(self, subject: Subject, gate: Gate, measurement: Measurement, begun: float) -> None:
        """Add the result of a measurement that began then, and queue the template's rollouts if it is news."""
        memory = self._all.get(subject.uid)
        measuring = memory.measuring if memory is not None else None
        if memory is None or measuring is None:
            return
        known = measuring.subject == subject and (gate.name, gate.rule) in measuring.successful
        if known and not memory.evidence and measurement.result == "Successful":
            return
        memory.evidence.append(
            Evidence(
                gate.name,
                subject.epoch,
                subject.wave,
                measurement.result,
                measurement.message,
                gate.rule,
                begun,
                measurement.job,
            )
        )
        self.cluster.enqueue_rollouts(measuring.template)
