"""When what failed is retried: the delays of everything that the engine retries, in one table.

A delay doubles with each failure in a row. Whoever retries keeps a :class:`Retry`, or a :class:`Backoff` for many keys,
and the queue (or the writer of statuses) waits. Watches have their own delays (kube/reflector.py), as they need no
leader.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.kube.errors import ConflictError, NotLeaderError, UnavailableError

NEVER = float("inf")
"""A time on the event loop's clock that never comes."""


class Delays(NamedTuple):
    """The ``first`` delay in seconds, and the ``longest``."""

    first: float
    longest: float

    def after(self, failures: int) -> float:
        """The delay after so many failures in a row, at least one."""
        return min(self.longest, self.first * 2.0 ** min(failures - 1, 10))


PASSING = Delays(0.1, 5.0)
"""Passes, statuses and a group's objects, after an error that may pass on its own. An API server that responds only
sometimes may fail many passes that still do part of their work: a rollout's Events and results must not wait longer and
longer."""
LASTING = Delays(0.1, 30.0)
"""Passes and statuses, after any other error."""
REFUSED_OBJECTS = Delays(0.1, 15.0)
"""A group's objects that the API server refuses, or that are not Trimtab's."""
REFUSED_ENTRIES = Delays(0.5, 15.0)
"""Users' entries that the API server refuses in an object."""
RESTARTS = Delays(0.5, 15.0)
"""Workloads that could not be restarted."""
SNAPSHOTS = Delays(1.0, 30.0)
"""Snapshots that the API server refuses to store."""
WORKLOAD_READS = Delays(0.5, 30.0)
"""Direct reads of a workload."""
SEARCH_SECONDS = 0.25
"""Between passes that search for the entries for which an object is refused."""
CONFLICT_SECONDS = 15.0
"""Until a conflicting object of another client is read again, as it is not watched; until a group that cannot be moved,
or whose workloads have a problem, is reconciled again."""


@dataclass(slots=True)
class Retry:
    """How often in a row something has failed, and when it is due (the event loop's time)."""

    at: float = NEVER
    failures: int = 0

    def failed(self, delays: Delays, now: float) -> None:
        """It has failed once more."""
        self.failures += 1
        self.at = now + delays.after(self.failures)

    def succeeded(self) -> None:
        """There is nothing to do."""
        self.at, self.failures = NEVER, 0

    def restart(self) -> None:
        """It is due now, as something has changed."""
        self.at, self.failures = 0.0, 0


@dataclass(slots=True)
class Backoff:
    """The failures in a row of each key."""

    _failures: dict[Hashable, int] = field(default_factory=dict)

    def worked(self, key: Hashable) -> None:
        """The next failure is the first one again."""
        self._failures.pop(key, None)

    def failed(self, key: Hashable, error: Exception) -> tuple[int, float]:
        """How often in a row it has failed, and the seconds until it is retried."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        passes = isinstance(error, (ConflictError, NotLeaderError, UnavailableError))
        return count, (PASSING if passes else LASTING).after(count)
