"""How long what failed waits until it is tried again."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from trimtab.kube.errors import ConflictError, NotLeaderError, UnavailableError

NEVER = float("inf")
"""A time on the event loop's clock that does not come."""
FIRST_SECONDS = 0.1
PASSING_SECONDS = 5.0
"""The longest wait after what passes by itself. Behind an API server that answers only now and then a pass may fail
again and again and yet do part of its work each time: a rollout's Events and answers must not wait ever longer."""
LASTING_SECONDS = 30.0
"""The longest wait after anything else."""


def doubled(seconds: float, times: int, longest: float) -> float:
    """``seconds``, doubled so many times, and ``longest`` at most."""
    return min(longest, seconds * 2.0 ** min(times, 10))


@dataclass(slots=True)
class Backoff:
    """Delays that double with each failure in a row, for each key."""

    _failures: dict[Hashable, int] = field(default_factory=dict)

    def worked(self, key: Hashable) -> None:
        """It starts anew."""
        self._failures.pop(key, None)

    def failed(self, key: Hashable, error: Exception) -> tuple[int, float]:
        """How many times in a row it has failed by now, and the seconds that it waits."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        passes = isinstance(error, (ConflictError, NotLeaderError, UnavailableError))
        longest = PASSING_SECONDS if passes else LASTING_SECONDS
        return count, doubled(FIRST_SECONDS, count - 1, longest)
