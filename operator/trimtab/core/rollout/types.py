"""Input and output of a step: plain values."""

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
    """What the rollout requires of one group. ``percent`` is the share of its users on the target, 0 for Stable;
    ``hold``: do not move the group if it is not there yet."""

    kind: Literal["Target", "Stable"]
    percent: int
    epoch: int
    hold: bool = False


@dataclass(frozen=True, slots=True)
class GroupObservation:
    """One group as observed."""

    exists: bool = True
    epoch: int = 0
    """This rollout's epoch as recorded on the group; 0: none."""
    settled: bool = False
    """Whether its revision is what ``intent`` requires, its objects are written and its workloads restarted."""
    health: Health = "Healthy"
    """Of its workloads on the group's current revision, never of an older one."""
    message: str = ""
    """Why it is not healthy."""
    problem: str = ""
    """A write that keeps failing"""
    waits: str = ""
    """What else it waits for, which is not a failure: a slot to restart its workloads"""
    notes: tuple[WorkloadNote, ...] = ()
    """Notes about its workloads"""
    contested: str = ""
    """Why one of its workloads is no longer restarted: other clients keep changing its pod template back"""
    by_others: bool = False
    """Whether it is unhealthy only because other clients deleted, recreated or paused its workloads, or changed them
    back."""
    intent: Intent | None = None
    """What was required of it when it was observed: settled there, it may not be settled for another intent."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement of a gate, with the epoch and the wave (from 1) of its start. ``rule`` is that of the gate
    that was measured, ``at`` when the measurement started, in seconds since 1970."""

    gate: str
    epoch: int
    wave: int
    result: Result
    message: str = ""
    rule: str = ""
    at: float = 0.0
    job: str = ""
    """The uid of the measured Job"""


@dataclass(frozen=True, slots=True)
class Request:
    """A RolloutAction that is not processed yet. ``action`` is as written."""

    uid: str
    action: str
    content_hash: str = ""
    requester: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """One observation of everything. A planned group without an entry in ``groups`` was not observed: nothing follows
    from that."""

    target: Content | None
    """The accepted content of the present spec; None: the spec is refused"""
    strategy: Strategy | None
    """None while the spec is refused."""
    groups: Mapping[str, GroupObservation] = field(default_factory=dict)
    refusal: str = ""
    busy: str = ""
    """Which other rollout is in progress in groups of this one"""
    preview: Preview | None = None
    evidence: tuple[Evidence, ...] = ()
    """Measured since the last step that was stored"""
    requests: tuple[Request, ...] = ()
    """The oldest first."""
    unprotected: bool = False
    """Whether no group is rendered yet, so that waves protect no group."""


@dataclass(frozen=True, slots=True)
class Transition:
    """An event of the rollout; STATES.md lists them. ``before`` and ``after`` are hashes of content; ``by`` is the
    requester, or gate/NAME, or empty: the operator."""

    reason: str
    message: str
    from_phase: str
    to_phase: str
    before: str = ""
    after: str = ""
    by: str = ""
    warning: bool = False
    at: str = ""
    """When, as status records it: the time by which soaks, deadlines and freezes were evaluated"""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The result of a RolloutAction."""

    uid: str
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one observation: store ``progress`` first, then act on the rest."""

    progress: RolloutProgress
    transitions: tuple[Transition, ...] = ()
    results: tuple[ActionResult, ...] = ()
    measure: bool = False
    """Whether gates must be measured now"""
    wake_at: float | None = None
    """When to observe again even if no change is seen; in seconds, as ``now``"""
