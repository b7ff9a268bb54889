"""Failures are retried: soon, then with increasing delays, but always."""

from __future__ import annotations

import itertools

import pytest

from trimtab.engine.scheduling.retry import LASTING, PASSING, Backoff
from trimtab.kube.errors import ConflictError, InvalidError, NotLeaderError, UnavailableError


def delays(backoff: Backoff, error: Exception, count: int = 100) -> list[float]:
    return [backoff.failed("a", error)[1] for _ in range(count)]


@pytest.mark.parametrize(
    ("error", "longest"),
    [
        (UnavailableError(503, "ServiceUnavailable", ""), PASSING.longest),
        (ConflictError(409, "Conflict", ""), PASSING.longest),
        (NotLeaderError(), PASSING.longest),
        (InvalidError(422, "Invalid", ""), LASTING.longest),
        (ValueError("a bug"), LASTING.longest),
    ],
    ids=lambda value: type(value).__name__,
)
def test_delays_double_up_to_the_longest(error: Exception, longest: float) -> None:
    found = delays(Backoff(), error)

    assert found[0] == PASSING.first
    assert all(b == min(2 * a, longest) for a, b in itertools.pairwise(found))
    assert found[-1] == longest


def test_a_success_resets_the_delay() -> None:
    backoff = Backoff()
    delays(backoff, ValueError())

    backoff.worked("a")

    assert backoff.failed("a", ValueError()) == (1, PASSING.first)


def test_keys_wait_apart() -> None:
    backoff = Backoff()
    delays(backoff, ValueError())

    assert backoff.failed("b", ValueError()) == (1, PASSING.first)
