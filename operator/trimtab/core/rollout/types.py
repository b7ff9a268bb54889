"""What the machine looks at, and what it says: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trimtab.api.rollout_status import Content, Preview, RolloutProgress, WorkloadNote
from trimtab.core.rollout.strategy import Strategy

Result = Literal["Pending", "Successful", "Failed", "Error", "Inconclusive", "NoData"]
Health = Literal["Healthy", "Progressing", "Failed"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What the rollout wants of one group. ``percent`` is the share of its users on the target, 0 for Stable;
    ``hold``: do not move the group if it is not there yet."""

    kind: Literal["Target", "Stable"]
    percent: int
    epoch: int
    hold: bool = False


@dataclass(frozen=True, slots=True)
class GroupObservation:
    """One group as it is."""

    exists: bool = True
    epoch: int = 0
    """This rollout's epoch as stamped on the group; 0: none."""
    settled: bool = False
    """Whether its pointer is as ``intent`` wants, its objects are written and its restarts are stamped."""
    health: Health = "Healthy"
    """Of its workloads on the revision that it serves now, never of an older one."""
    message: str = ""
    """Why it is not healthy."""
    problem: str = ""
    """A write that keeps failing."""
    waits: str = ""
    """What else it waits for that is no fault of anybody's: a turn to restart its workloads."""
    notes: tuple[WorkloadNote, ...] = ()
    """What to know about its workloads."""
    contested: str = ""
    """Why a workload of it is not restarted any more: others keep changing its pod template back."""
    by_others: bool = False
    """Whether all that keeps it from being well is what others did to its workloads: they deleted, recreated or paused
    them, or changed them back."""
    intent: Intent | None = None
    """What was wanted of it when it was looked at: to have settled there says nothing of another intent."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement of a gate, with the epoch and the wave (from 1) that it was made in. ``rule`` is that of the gate
    that was measured, ``at`` when the measurement was begun, in seconds since 1970."""

    gate: str
    epoch: int
    wave: int
    result: Result
    message: str = ""
    rule: str = ""
    at: float = 0.0
    job: str = ""
    """The uid of the Job that was looked at."""


@dataclass(frozen=True, slots=True)
class Request:
    """A RolloutAction that is not answered yet. ``action`` is as somebody wrote it."""

    uid: str
    action: str
    content_hash: str = ""
    requester: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at everything. A planned group without an entry in ``groups`` has not been looked at: nothing is
    concluded from that."""

    target: Content | None
    """The accepted content of the present spec; None: the spec is refused."""
    strategy: Strategy | None
    """None while the spec is refused."""
    groups: Mapping[str, GroupObservation] = field(default_factory=dict)
    refusal: str = ""
    busy: str = ""
    """Which other rollout holds groups of this one."""
    preview: Preview | None = None
    evidence: tuple[Evidence, ...] = ()
    """Measured since the last step that was written."""
    requests: tuple[Request, ...] = ()
    """The oldest first."""
    unprotected: bool = False
    """Whether nothing is served yet, so that there is nothing to protect."""


@dataclass(frozen=True, slots=True)
class Transition:
    """Something that happened; STATES.md lists them. ``before`` and ``after`` are hashes of content; ``by`` is who
    asked, or gate/NAME, or empty: the machine itself."""

    reason: str
    message: str
    from_phase: str
    to_phase: str
    before: str = ""
    after: str = ""
    by: str = ""
    warning: bool = False
    at: str = ""
    """When, as status writes it: the very moment that soaks, deadlines and freezes were judged by."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a RolloutAction."""

    uid: str
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one look: write ``progress`` first, then act on the rest."""

    progress: RolloutProgress
    transitions: tuple[Transition, ...] = ()
    answers: tuple[Answer, ...] = ()
    measure: bool = False
    """Whether gates are to be measured now."""
    wake_at: float | None = None
    """When to look again even if nothing is seen to change; in seconds, as ``now``."""
