"""A circuit breaker a host: what does not answer is left alone for a while, and costs neither time nor connections.

::

    closed --3 errors in a row--> open --its time is over--> one probe --answered--> closed
                                   ^                             |
                                   +----- error: twice as long --+

One request alone never keeps a host from the others: as long as it is all that has failed since the last answer or
probe, others are asked still, and the first of them that is answered closes it for everybody.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from trimtab.gates.metrics import GATE_HOSTS_OPEN

ERRORS = 3
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0


class OpenError(Exception):
    """Not asked: it failed too often. ``seconds`` until it is asked again."""

    def __init__(self, failures: int, seconds: float) -> None:
        super().__init__(f"not asked: it failed {failures} times in a row")
        self.failures, self.seconds = failures, seconds


@dataclass(slots=True)
class _Host:
    failures: int = 0
    until: float = 0.0
    probing: bool = False
    failed: frozenset[str] = field(default_factory=frozenset)
    """What was asked in vain since the last answer or probe."""

    def left_alone(self, what: str) -> bool:
        """By this request, for its time."""
        return self.failures >= ERRORS and (len(self.failed) > 1 or what in self.failed)


class Call:
    """One call that may be made. It counts only if it says how it went: what was cancelled says nothing."""

    def __init__(self) -> None:
        self.answered: bool | None = None

    def succeeded(self) -> None:
        """The host answered, whatever it said."""
        self.answered = True

    def failed(self) -> None:
        """The host did not answer, or is broken."""
        self.answered = False


class Breaker:
    """``clock`` gives seconds that never go back. Hosts are few: those that the cluster admin allows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hosts: dict[str, _Host] = {}

    @contextlib.contextmanager
    def call(self, name: str, what: str = "") -> Iterator[Call]:
        """``what`` is the request: it tells one that fails by itself from others to the same host.

        :raises OpenError: the host is left alone, or being probed.
        """
        host = self._hosts.get(name)
        probe = host is not None and host.left_alone(what)
        if host is not None and probe:
            wait = host.until - self._clock()
            if wait > 0 or host.probing:
                raise OpenError(host.failures, max(wait, 0.0))
            host.probing = True
        call = Call()
        try:
            yield call
        finally:
            self._learn(name, what, call.answered, probe)

    def _learn(self, name: str, what: str, answered: bool | None, probe: bool) -> None:
        host = self._hosts.setdefault(name, _Host())
        if probe:
            host.probing = False
        if answered is False:
            host.failed = frozenset((what,)) if probe else host.failed | {what}
        if answered is False and (probe or host.failures < ERRORS):
            host.failures += 1
            over = host.failures - ERRORS
            if over >= 0:
                host.until = self._clock() + min(FIRST_SECONDS * 2 ** min(over, 10), LONGEST_SECONDS)
        elif answered or not host.failures:
            del self._hosts[name]
        GATE_HOSTS_OPEN.set(sum(host.failures >= ERRORS for host in self._hosts.values()))
