"""One step while it is computed: the progress so far, the observation, and the transitions to record.

The phase is a function of these, so it is computed when a transition is recorded, and at the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from trimtab.api.rollout_status import (
    QUARANTINED,
    Content,
    Failure,
    Halt,
    Phase,
    PlannedWave,
    Quarantined,
    RolloutProgress,
)
from trimtab.core import times
from trimtab.core.rollout import queries
from trimtab.core.rollout.freezes import Freeze, frozen
from trimtab.core.rollout.strategy import PROGRESS_DEADLINE, Gate
from trimtab.core.rollout.types import ActionResult, GroupObservation, Observation, Transition
from trimtab.core.text import capitalized

FailureReason = Literal[
    "GateFailed",
    "WorkloadFailed",
    "WriteFailed",
    "ProgressDeadlineExceeded",
    "Aborted",
    "Superseded",
    "Undone",
]
HaltReason = Literal["Action", "GateError", "NoData", "Inconclusive", "Failed", "ChangedBack"]
NOT_OBSERVED = GroupObservation()
QUIET = {"soak_started_at": None, "moving_since": None, "checked_at": None, "settled_at": None}


class Run:
    """``progress`` changes during the step; ``before`` is the given one. ``now`` is in seconds, to the millisecond that
    status records: decisions and records use the same time."""

    def __init__(self, progress: RolloutProgress, observed: Observation, now: float) -> None:
        self.before = progress
        self.progress = progress
        self.observed = observed
        self.now = times.rounded(now)
        self.transitions: list[Transition] = []
        self.results: list[ActionResult] = []
        self.phase: Phase | None = progress.phase
        self.was_held = progress.underway == "Forward" and progress.phase in queries.HELD
        self.ignore_freeze = False
        self.pending: list[Transition] = []
        self._freeze: tuple[Freeze | None] | None = None
        self._settled: tuple[object, frozenset[str]] | None = None

    # Reading.

    @property
    def paused(self) -> bool:
        """Whether the spec or a halt pauses it."""
        return self.progress.halt is not None or (
            self.observed.strategy is not None and self.observed.strategy.paused
        )

    @property
    def held(self) -> bool:
        return self.paused or self.observed.target is None

    @property
    def coming(self) -> bool:
        """Whether there is accepted content that is neither stable nor quarantined, and has not started yet."""
        progress, target = self.progress, self.observed.target
        return (
            progress.underway is None
            and target is not None
            and self.observed.strategy is not None
            and queries.same(target, progress.target)
            and not queries.same(target, progress.stable)
            and not self.quarantined(target)
        )

    @property
    def freeze(self) -> Freeze | None:
        """The active freeze."""
        if self.ignore_freeze or self.observed.strategy is None:
            return None
        if self._freeze is None:
            self._freeze = (frozen(self.observed.strategy.freezes, self.now),)
        return self._freeze[0]

    @property
    def deadline(self) -> float:
        return self.observed.strategy.progress_deadline if self.observed.strategy else PROGRESS_DEADLINE

    @property
    def rolls_back(self) -> bool:
        """Whether a failure rolls back instead of pausing."""
        strategy = self.observed.strategy
        return (strategy.on_failure if strategy else self.progress.on_failure) != "Pause"

    @property
    def wave(self) -> PlannedWave | None:
        return queries.present(self.progress)

    @property
    def promoted(self) -> bool:
        """Whether the current wave was promoted."""
        return self.wave is not None and self.wave.name in self.progress.promoted

    @property
    def needs_approval(self) -> bool:
        """Whether the next wave waits for an approval."""
        wave = self.wave
        return wave is not None and wave.approval and wave.name not in self.progress.approved

    @property
    def settled_groups(self) -> frozenset[str]:
        """The groups that are where their present intent requires them to be, in the present epoch."""
        progress, hold = self.progress, self.held
        basis = (
            progress.underway,
            progress.epoch,
            progress.current_wave,
            progress.wave_state,
            hold,
            id(progress.waves),
        )
        if self._settled is None or self._settled[0] != basis:
            intents, groups = queries.intents_with(progress, hold=hold), self.observed.groups
            settled = frozenset(
                name
                for name, intent in intents.items()
                if (found := groups.get(name)) is not None
                and found.exists
                and found.settled
                and found.epoch == intent.epoch
                and found.intent == intent
            )
            self._settled = (basis, settled)
        return self._settled[1]

    def quarantined(self, content: Content | None) -> bool:
        return content is not None and any(q.hash == content.hash for q in self.progress.quarantine)

    def gate(self, name: str) -> Gate | None:
        """The strategy's gate of that name."""
        gates = self.observed.strategy.gates if self.observed.strategy else ()
        return next((gate for gate in gates if gate.name == name), None)

    def group(self, name: str) -> GroupObservation | None:
        """The group as observed; without an observation it exists and is not settled. None: it does not exist."""
        found = self.observed.groups.get(name, NOT_OBSERVED)
        return found if found.exists else None

    def settled(self, name: str) -> bool:
        return name in self.settled_groups

    def existing(self, names: list[str]) -> list[str]:
        """The groups that exist."""
        return [name for name in names if self.group(name) is not None]

    def since(self, moment: str | None) -> float:
        """Seconds since a moment of progress, exact to the millisecond as both are; 0 for one that is unreadable."""
        at = times.read(moment)
        return 0.0 if at is None else round(self.now - at, 3)

    # Changing.

    @property
    def text(self) -> str:
        """``now`` as status records it."""
        return times.text(self.now)

    def change(self, **fields: Any) -> None:
        self.progress = self.progress.model_copy(update=fields)

    def record(
        self, reason: str, message: str, by: str = "", *, warning: bool = False, back: bool = False
    ) -> None:
        """Add a transition; ``back`` if it leads away from the target."""
        ends = (self.progress.stable, self.progress.target or self.observed.target)
        before, after = reversed(ends) if back else ends
        self.pending.append(
            Transition(
                reason,
                capitalized(message),
                "",
                "",
                (before or queries.NOTHING).hash,
                (after or queries.NOTHING).hash,
                by,
                warning,
            )
        )

    def flush(self, phase: Phase) -> list[Transition]:
        """Record the added transitions with their phases: the first one led to the new phase."""
        made = []
        for each in self.pending:
            made.append(replace(each, from_phase=self.phase or "", to_phase=phase, at=self.text))
            self.phase = phase
        self.pending = []
        self.transitions += made
        return made

    def halt(self, reason: HaltReason, message: str, by: str = "", gate: str = "") -> None:
        """Pause the rollout. ``by``: the requester; ``gate``: the one without evidence."""
        self.change(halt=Halt(reason=reason, message=message or None, by=gate or by or None, since=self.text))
        text = ": ".join(filter(None, ("paused", message))) if reason == "Action" else message
        self.record("RolloutPaused", text, f"gate/{gate}" if gate else by, warning=reason != "Action")

    def quarantine(self, message: str) -> None:
        """Quarantine the target: it does not restart automatically."""
        target = self.progress.target or queries.NOTHING
        kept = [q for q in self.progress.quarantine if q.hash != target.hash]
        fresh = Quarantined(hash=target.hash, reason=message, at=self.text)
        self.change(quarantine=[*kept, fresh][-QUARANTINED:])
        self.record(
            "RevisionQuarantined",
            f"content {queries.short(target)} is quarantined: {message}",
            warning=True,
            back=True,
        )

    def roll_back(self, reason: FailureReason, message: str, by: str = "") -> None:
        """Roll back: every planned group returns to the stable content, whether it was moved or not."""
        halt = self.progress.halt
        superseded = reason == "Superseded" and not (halt and halt.reason == "Failed")
        self.change(
            **QUIET,
            underway="Back",
            epoch=(self.progress.epoch or 0) + 1,
            failure=Failure(reason=reason, message=message, at=self.text),
            halt=halt if superseded and halt is not None and halt.reason == "Action" else None,
        )
        self.change(moving_since=self.text, checked_at=self.text)
        self.record("RollbackStarted", message, by, warning=not superseded, back=True)
        if not superseded:
            self.quarantine(message)
