"""How far a rollout is, read from its status: what exit codes and output are based on."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from trimtab.api.rollout_status import RolloutProgress
from trimtab.cli.cluster.objects import NOT_OBSERVED_MESSAGE
from trimtab.cli.cluster.rollouts import Kind, Rollout
from trimtab.cli.errors import Failure
from trimtab.core import durations, times
from trimtab.core.rollout import freezes


class Outcome(enum.IntEnum):
    """The exit codes of `rollout status` and `rollout watch`."""

    SUCCEEDED = 0
    FAILED = 1
    PROGRESSING = 3
    WAITING = 4


FINAL = {
    "Succeeded": Outcome.SUCCEEDED,
    "Rejected": Outcome.FAILED,
    "RolledBack": Outcome.FAILED,
    "RollbackFailed": Outcome.FAILED,
}
_OUTCOMES = FINAL | {"AwaitingApproval": Outcome.WAITING, "Paused": Outcome.WAITING}
_BACK = {"RollingBack": "rolling back", "RolledBack": "rolled back", "RollbackFailed": "rollback failed"}
_KEPT = ("wave", "updated", "underway", "attempt", "epoch", "startedAt", "waveStartedAt", "soakStartedAt")


@dataclass(frozen=True, slots=True)
class Progress:
    """A rollout with its status."""

    rollout: Rollout
    status: RolloutProgress

    @classmethod
    def of(cls, rollout: Rollout) -> Progress:
        """:raises Failure: its status was edited manually."""
        try:
            return cls(rollout, RolloutProgress.model_validate(rollout.status))
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise Failure(f"{rollout}: status.{place} is not as Trimtab writes it; was it edited?") from None

    @property
    def observed(self) -> int:
        """The generation that the status is about; 0 if none."""
        return int(self.rollout.status.get("observedGeneration") or 0)

    @property
    def current(self) -> bool:
        """Whether the status is about the present spec."""
        if self.observed < self.rollout.generation:
            return False
        rollout, status = self.rollout, self.status
        if not rollout.rolls_out or rollout.kind is Kind.POLICY_ROLLOUT or status.phase not in FINAL:
            return True
        accepted = rollout.status.get("snapshot")  # the template's content, maybe not observed by its rollout
        known = {content.snapshot for content in (status.target, status.stable) if content is not None}
        known |= {f"{rollout.name}-{entry.hash}" for entry in status.quarantine}
        return not accepted or accepted in known

    @property
    def phase(self) -> str:
        return str(self.status.phase or "Pending") if self.rollout.rolls_out else "Unwatched"

    @property
    def final(self) -> bool:
        """Whether it changes only by a new spec or an action."""
        return self.outcome in (Outcome.SUCCEEDED, Outcome.FAILED)

    @property
    def outcome(self) -> Outcome:
        if not self.current:
            return Outcome.PROGRESSING
        if self.rollout.rolls_out:
            return _OUTCOMES.get(self.phase, Outcome.PROGRESSING)
        ready = {"True": Outcome.SUCCEEDED, "False": Outcome.FAILED}
        return ready.get(str(self.rollout.ready.get("status")), Outcome.PROGRESSING)

    @property
    def message(self) -> str:
        """Why it is in its phase."""
        if not self.current and not self.observed:
            return NOT_OBSERVED_MESSAGE
        if not self.current:
            generation = self.rollout.generation
            return (
                f"status of generation {self.observed}: the operator has not observed generation {generation}"
            )
        ready = str(self.rollout.ready.get("message") or "")
        if not self.rollout.rolls_out:
            return f"no strategy, so changes take effect in all groups immediately: {ready or NOT_OBSERVED_MESSAGE}"
        return self.status.message or ready

    def waves(self, now: float) -> list[dict[str, Any]]:
        """The plan, each wave with its ``state``."""
        approved = self.status.approved
        return [
            {
                "name": wave.name,
                "groups": list(wave.groups),
                "percent": wave.percent,
                "soak": wave.soak,
                "approval": "-" if not wave.approval else "given" if wave.name in approved else "needed",
                "state": self._state(number, wave.soak, now),
            }
            for number, wave in enumerate(self.status.waves, 1)
        ]

    def _state(self, number: int, soak: str, now: float) -> str:
        at = self.status.current_wave or 0
        held = self.status.wave_state in (None, "Held")
        if self.phase in _BACK:
            return _BACK[self.phase] if self._begun(number) else "not started"
        if self.phase == "Succeeded" or number < at:
            return "done"
        if number > max(at, 1):
            return "pending"
        if at == 0 or held:
            return "held"
        return "updating" if self.status.wave_state == "Moving" else self._soaking(soak, now)

    def _begun(self, number: int) -> bool:
        at = self.status.current_wave or 0
        return number < at or (number == at and self.status.wave_state != "Held")

    def _soaking(self, soak: str, now: float) -> str:
        began = times.read(self.status.soak_started_at)
        so_far = "" if began is None else f", {span(now - began)} of {span(durations.seconds(soak))}"
        return f"soaking{so_far}"

    def freezes(self, now: float) -> list[dict[str, Any]]:
        """The strategy's freezes; an active one has ``holdsUntil``."""
        return [_freeze(rule, now) for rule in (self.rollout.spec.get("strategy") or {}).get("freezes") or ()]

    def content(self, now: float) -> dict[str, Any]:
        """The whole for programs."""
        rollout, status = self.rollout, self.status.to_dict()
        made: dict[str, Any] = {
            "kind": str(rollout.kind),
            **rollout.reference,
            "generation": rollout.generation,
            "observedGeneration": self.observed,
            "current": self.current,
            "phase": self.phase,
            "final": self.final,
            "message": self.message,
        }
        made |= {name: status[name] for name in _KEPT if name in status}
        made |= {name: status.get(name) for name in ("target", "stable", "previous")}
        made |= {"waves": self.waves(now), "gates": status.get("gates", [])}
        made |= {name: status[name] for name in ("halt", "failure") if name in status}
        made |= {"quarantine": status.get("quarantine", []), "freezes": self.freezes(now)}
        return made | {n: rollout.status.get(n) or [] for n in ("violations", "warnings", "transitions")}


def _freeze(rule: dict[str, Any], now: float) -> dict[str, Any]:
    try:
        seconds = durations.seconds(str(rule.get("duration")))
        compiled = freezes.compile_freeze(str(rule.get("schedule")), rule.get("timeZone"), seconds, "")
        active = freezes.frozen((compiled,), now)
    except ValueError:
        return rule  # the status reports what is wrong with it
    return rule | ({"holdsUntil": times.text(active.ends_at)} if active else {})


def span(seconds: float) -> str:
    """A length of time, to the second: 1h2m3s."""
    left = max(0, int(seconds))
    parts = [(left // 3600, "h"), (left % 3600 // 60, "m"), (left % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def clock() -> float:
    """Seconds since 1970."""
    return datetime.now(UTC).timestamp()
