"""One rollout as its status tells it: what scripts decide on, and what people read."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from trimtab.api.rollout_status import RolloutProgress
from trimtab.cli.cluster.rollout_reference import Found, Kind
from trimtab.cli.errors import Failure
from trimtab.core import durations, times
from trimtab.core.rollout import freezes


class Outcome(enum.IntEnum):
    """What a rollout comes to for scripts: the exit codes of `rollout status` and `rollout watch`."""

    DONE = 0
    FAILED = 1
    MOVING = 3
    STANDING = 4


FINAL = {
    "Succeeded": Outcome.DONE,
    "Rejected": Outcome.FAILED,
    "RolledBack": Outcome.FAILED,
    "RollbackFailed": Outcome.FAILED,
}
_STANDING = frozenset(("AwaitingApproval", "Paused"))
_BACK = {"RollingBack": "being taken back", "RolledBack": "taken back", "RollbackFailed": "not taken back"}


@dataclass(frozen=True, slots=True)
class Progress:
    """A rollout and how far it is."""

    found: Found
    made: RolloutProgress

    @classmethod
    def of(cls, found: Found) -> Progress:
        """:raises Failure: somebody has written its status by hand."""
        try:
            return cls(found, RolloutProgress.model_validate(found.body.get("status") or {}))
        except ValidationError as error:
            place = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise Failure(f"{found}: status.{place} is not as Trimtab writes it; was it edited?") from None

    @property
    def status(self) -> dict[str, Any]:
        return self.found.body.get("status") or {}

    @property
    def strategy(self) -> dict[str, Any] | None:
        made: dict[str, Any] | None = (self.found.body.get("spec") or {}).get("strategy")
        return made

    @property
    def watched(self) -> bool:
        """Whether its changes roll out at all: those of a template without a strategy are served at once."""
        return self.found.kind is Kind.POLICY_ROLLOUT or self.strategy is not None

    @property
    def ready(self) -> dict[str, Any]:
        """The Ready condition, or nothing."""
        listed = self.status.get("conditions") or ()
        return next((c for c in listed if c.get("type") == "Ready"), {})

    @property
    def current(self) -> bool:
        """Whether the status is about the spec as it is now, and not about the one before."""
        if int(self.status.get("observedGeneration") or 0) < self.found.generation:
            return False
        accepted = self.status.get(
            "snapshot"
        )  # of a template: content that its rollout may not have looked at yet
        if not self.watched or self.found.kind is Kind.POLICY_ROLLOUT or self.made.phase not in FINAL:
            return True
        known = {c.snapshot for c in (self.made.target, self.made.stable) if c is not None}
        return not accepted or accepted in known | {
            f"{self.found.name}-{q.hash}" for q in self.made.quarantine
        }

    @property
    def phase(self) -> str:
        """Where it is, in one word."""
        return str(self.made.phase or "Pending") if self.watched else "Unwatched"

    @property
    def final(self) -> bool:
        """Whether nothing will happen by itself any more."""
        return self.outcome in (Outcome.DONE, Outcome.FAILED)

    @property
    def outcome(self) -> Outcome:
        if not self.current:
            return Outcome.MOVING
        if not self.watched:
            said = {"True": Outcome.DONE, "False": Outcome.FAILED}
            return said.get(str(self.ready.get("status")), Outcome.MOVING)
        if self.phase in _STANDING:
            return Outcome.STANDING
        return FINAL.get(self.phase, Outcome.MOVING)

    @property
    def message(self) -> str:
        """Why it is there, for people."""
        if not self.current:
            seen = int(self.status.get("observedGeneration") or 0)
            if not seen:
                return "no operator has looked at it yet; is `trimtab run` running?"
            return f"that was generation {seen}: the operator has not looked at {self.found.generation} yet"
        if not self.watched:
            told = self.ready.get("message") or "no operator has looked at it yet; is `trimtab run` running?"
            return f"it has no strategy, so a change of it is served at once, in all groups: {told}"
        return self.made.message or str(self.ready.get("message") or "")

    def waves(self, now: float) -> list[dict[str, Any]]:
        """The plan, each wave with its ``state``."""
        return [
            {
                "name": wave.name,
                "groups": list(wave.groups),
                "percent": wave.percent,
                "soak": wave.soak,
                "approval": ("given" if wave.name in self.made.approved else "needed")
                if wave.approval
                else "-",
                "state": self._state(number, wave.soak, now),
            }
            for number, wave in enumerate(self.made.waves, 1)
        ]

    def _state(self, number: int, soak: str, now: float) -> str:
        at = self.made.current_wave or 0
        if self.phase == "Succeeded":
            return "done"
        if self.phase in _BACK:
            return _BACK[self.phase] if number <= at and self._begun(number) else "not started"
        if number < at:
            return "done"
        if number > max(at, 1):
            return "to come"
        if at == 0 or self.made.wave_state in (None, "Held"):
            return "held"
        if self.made.wave_state == "Moving":
            return "now: moving"
        return f"now: soaking{_so_far(self.made.soak_started_at, soak, now)}"

    def _begun(self, number: int) -> bool:
        return number < (self.made.current_wave or 0) or self.made.wave_state != "Held"

    def freezes(self, now: float) -> list[dict[str, Any]]:
        """The strategy's freezes; one that holds now says until when."""
        return [_freeze(rule, now) for rule in (self.strategy or {}).get("freezes") or ()]

    def to_dict(self, now: float) -> dict[str, Any]:
        """The whole for programs."""
        found, told = self.found, self.made.to_dict()
        made: dict[str, Any] = {
            "kind": str(found.kind),
            "namespace": found.namespace,
            "name": found.name,
            "generation": found.generation,
            "observedGeneration": int(self.status.get("observedGeneration") or 0),
            "current": self.current,
            "phase": self.phase,
            "final": self.final,
            "message": self.message,
        }
        kept = (
            "wave",
            "updated",
            "underway",
            "attempt",
            "epoch",
            "startedAt",
            "waveStartedAt",
            "soakStartedAt",
        )
        made |= {name: told[name] for name in kept if name in told}
        made |= {name: told.get(name) for name in ("target", "stable", "previous")}
        made["waves"] = self.waves(now)
        made["gates"] = told.get("gates", [])
        made |= {name: told[name] for name in ("halt", "failure") if name in told}
        made["quarantine"] = told.get("quarantine", [])
        made["freezes"] = self.freezes(now)
        made |= {name: self.status.get(name) or [] for name in ("violations", "warnings", "transitions")}
        return made


def _so_far(since: str | None, soak: str, now: float) -> str:
    began = times.read(since)
    if began is None:
        return ""
    return f", {span(now - began)} of {span(durations.seconds(soak))}"


def _freeze(rule: dict[str, Any], now: float) -> dict[str, Any]:
    try:
        seconds = durations.seconds(str(rule.get("duration")))
        compiled = freezes.compile_freeze(str(rule.get("schedule")), rule.get("timeZone"), seconds, "")
        holding = freezes.frozen((compiled,), now)
    except ValueError:
        return rule  # its status says what is wrong with it
    return rule | ({"holdsUntil": times.text(holding.ends_at)} if holding else {})


def span(seconds: float) -> str:
    """A length of time, to the second: 1h2m3s."""
    left = max(0, int(seconds))
    parts = [(left // 3600, "h"), (left % 3600 // 60, "m"), (left % 60, "s")]
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def clock() -> float:
    """Seconds since 1970."""
    return datetime.now(UTC).timestamp()
