"""A circuit breaker for each host: requests to a host that fails repeatedly are rejected for some time.

::

    closed --3 failures in a row--> open --its time is over--> one probe --response--> closed
                                     ^                             |
                                     +---- failure: twice as long -+

A single request that keeps failing does not open the circuit for other requests: while it is the only one that has
failed since the last response or probe, other requests are sent, and the first response to them closes the circuit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trimtab.gates.metrics import GATE_OPEN_CIRCUITS

ERRORS = 3
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0


class OpenError(Exception):
    """The circuit is open. ``seconds`` is the time until the next request is sent."""

    def __init__(self, failures: int, seconds: float) -> None:
        super().__init__(f"not sent: the host failed {failures} times in a row")
        self.failures, self.seconds = failures, seconds


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    until: float = 0.0
    probing: bool = False
    failed: frozenset[str] = field(default_factory=frozenset)
    """The requests that failed since the last response or probe."""

    def is_open(self, request: str) -> bool:
        return self.failures >= ERRORS and (len(self.failed) > 1 or request in self.failed)

    def fail(self, request: str, now: float, *, probe: bool) -> None:
        self.failed = frozenset((request,)) if probe else self.failed | {request}
        if not probe and self.failures >= ERRORS:
            return  # the request started before the circuit opened
        self.failures += 1
        excess = self.failures - ERRORS
        if excess >= 0:
            self.until = now + min(FIRST_SECONDS * 2 ** min(excess, 10), LONGEST_SECONDS)


class Call:
    """One request. It counts only if its outcome is reported: a cancelled one has none."""

    def __init__(self) -> None:
        self.outcome: bool | None = None

    def succeeded(self) -> None:
        """The host responded, with whatever status."""
        self.outcome = True

    def failed(self) -> None:
        """The host did not respond, or not with valid HTTP."""
        self.outcome = False


class Breaker:
    """``clock`` returns monotonic seconds. There are few hosts: those that the cluster admin allows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}

    @contextlib.contextmanager
    def call(self, host: str, request: str = "") -> Iterator[Call]:
        """``request`` distinguishes requests to the same host.

        :raises OpenError: the circuit is open, or a probe is in progress.
        """
        circuit = self._circuits.get(host)
        probe = circuit is not None and circuit.is_open(request)
        if circuit is not None and probe:
            wait = circuit.until - self._clock()
            if wait > 0 or circuit.probing:
                raise OpenError(circuit.failures, max(wait, 0.0))
            circuit.probing = True
        call = Call()
        try:
            yield call
        finally:
            self._record(host, request, call.outcome, probe=probe)

    def _record(self, host: str, request: str, succeeded: bool | None, *, probe: bool) -> None:
        circuit = self._circuits.setdefault(host, _Circuit())
        if probe:
            circuit.probing = False
        if succeeded is False:
            circuit.fail(request, self._clock(), probe=probe)
        elif succeeded or not circuit.failures:
            del self._circuits[host]
        GATE_OPEN_CIRCUITS.set(sum(circuit.failures >= ERRORS for circuit in self._circuits.values()))
