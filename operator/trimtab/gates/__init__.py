"""Gates: measurements while a rollout soaks. This package measures; the state machine in `core` decides.

The operator's only connections to addresses that users specify start here. All of them pass `urls` (only what the
cluster admin allows), `addresses` (to which addresses a name may resolve) and `aiohttp_client` (limits on size, time
and number).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from trimtab.api.strategy import GateSpec

Result = Literal["Pending", "Successful", "Failed", "Error", "Inconclusive", "NoData"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement of one gate. ``message`` contains the measured value, or why there is none.

    Failed: the condition is not met. Error: the gate could not be measured. A message never contains text that a server
    sent, except one number.
    """

    result: Result
    message: str = ""
    job: str = ""
    """The uid of the Job that was observed."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a measurement is about: one wave of one attempt of a rollout. ``started_at`` is the start of the wave, in
    seconds since 1970. ``settled_at`` is since when all groups of the wave are updated and healthy; when it changes,
    all gates are measured again."""

    kind: str
    namespace: str
    name: str
    uid: str
    epoch: int
    wave: int
    started_at: float
    settled_at: str | None = None


class Gate(Protocol):
    """A gate with all defaults applied; durations in seconds."""

    @property
    def name(self) -> str: ...

    @property
    def interval(self) -> float: ...

    @property
    def initial_delay(self) -> float: ...

    @property
    def timeout(self) -> float: ...

    @property
    def rule(self) -> str: ...

    @property
    def round(self) -> int: ...

    @property
    def job(self) -> str: ...

    @property
    def spec(self) -> GateSpec: ...


def is_final(gate: Gate, measurement: Measurement) -> bool:
    """Whether the gate is not measured again in this wave: a Job runs once a wave."""
    return gate.spec.job is not None and measurement.result in ("Successful", "Failed")
