"""Failures are retried: soon, then with increasing delays, but always."""

from __future__ import annotations

import itertools

import pytest

from trimtab.engine.scheduling.retry import FIRST_SECONDS, LASTING_SECONDS, PASSING_SECONDS, Backoff
from trimtab.kube.errors import ConflictError, InvalidError, NotLeaderError, UnavailableError


def delays(backoff: Backoff, error: Exception, count: int = 100) -> list[float]:
    return [backoff.failed("a", error)[1] for _ in range(count)]


@pytest.mark.parametrize(
    ("error", "longest"),
    [
        (UnavailableError(503, "ServiceUnavailable", ""), PASSING_SECONDS),
        (ConflictError(409, "Conflict", ""), PASSING_SECONDS),
        (NotLeaderError(), PASSING_SECONDS),
        (InvalidError(422, "Invalid", ""), LASTING_SECONDS),
        (ValueError("a bug"), LASTING_SECONDS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_delays_double_up_to_the_longest(error: Exception, longest: float) -> None:
    found = delays(Backoff(), error)

    assert found[0] == FIRST_SECONDS
    assert all(b == min(2 * a, longest) for a, b in itertools.pairwise(found))
    assert found[-1] == longest


def test_a_success_resets_the_delay() -> None:
    backoff = Backoff()
    delays(backoff, ValueError())

    backoff.worked("a")

    assert backoff.failed("a", ValueError()) == (1, FIRST_SECONDS)


def test_keys_wait_apart() -> None:
    backoff = Backoff()
    delays(backoff, ValueError())

    assert backoff.failed("b", ValueError()) == (1, FIRST_SECONDS)
