"""Few workloads restart concurrently, none blocks all others, and rollbacks take precedence."""

from __future__ import annotations

import pytest

from trimtab.core.workload.restart_slots import AT_ONCE, MOST, Claim, RestartSlot, admits, next_of

A, B, C, D, E = (Claim(name) for name in "abcde")
BACK_A, BACK_B = Claim("a", back=True), Claim("b", back=True)


def turns(claim: Claim, number: int, *, slow: bool = False) -> list[RestartSlot]:
    return [RestartSlot(claim, slow)] * number


SLOW_A = turns(A, 10, slow=True)


@pytest.mark.parametrize(
    ("claim", "taken", "admitted"),
    [
        (A, [], True),
        (A, turns(A, 9), True),
        (A, turns(A, 10), False),
        (B, turns(A, 10), False),
        (B, [*turns(A, 5), *turns(C, 5)], False),
        (A, SLOW_A, False),
        (B, SLOW_A, True),
        (B, [*SLOW_A, *turns(B, 4)], True),
        (B, [*SLOW_A, *turns(B, 5)], False),
        (C, [*SLOW_A, *turns(B, 5)], True),
        (C, [*SLOW_A, *turns(B, 5), *turns(C, 3)], False),
        (D, [*SLOW_A, *turns(B, 5), *turns(C, 3)], True),
        (E, [*SLOW_A, *turns(B, 5), *turns(C, 3), *turns(D, 2)], False),
        (BACK_B, turns(A, 10), True),
        (BACK_A, turns(A, 20), True),
        (BACK_A, [*turns(A, 10), *turns(BACK_A, 10)], False),
        (BACK_B, [*turns(A, 10), *turns(BACK_A, 10)], False),
        (BACK_B, [*turns(A, 10), *turns(BACK_A, 10, slow=True)], True),
        (BACK_B, [*turns(A, 20), *turns(BACK_A, 10, slow=True)], False),
        (A, turns(BACK_B, 10), False),
    ],
)
def test_which_workloads_may_restart_concurrently(
    claim: Claim, taken: list[RestartSlot], admitted: bool
) -> None:
    assert admits(claim, taken) == admitted


def test_those_who_wait_have_a_share_too() -> None:
    assert admits(B, [*SLOW_A, *turns(B, 4)])
    assert not admits(B, [*SLOW_A, *turns(B, 4)], waiting=[C])


@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
@pytest.mark.parametrize("back", [False, True], ids=["forward", "back"])
def test_the_number_of_restart_slots_is_limited(slow: bool, back: bool) -> None:
    taken: list[RestartSlot] = []
    for number in range(100):
        claim = Claim(number, back)
        while admits(claim, taken):
            taken.append(RestartSlot(claim, slow))

    assert len(taken) <= (AT_ONCE * MOST if slow else AT_ONCE)


@pytest.mark.parametrize(
    ("waiting", "taken", "claim"),
    [
        ([], [], None),
        ([A, BACK_B], [], BACK_B),
        ([A, B], [], A),
        ([A, B], turns(A, 3), B),
        ([A, B], turns(A, 10), None),
        ([A, B], SLOW_A, B),
        ([A, BACK_B], turns(A, 10), BACK_B),
        ([A], [*turns(A, 4), *turns(BACK_B, 4)], A),
    ],
)
def test_which_workload_gets_the_next_slot(
    waiting: list[Claim], taken: list[RestartSlot], claim: Claim | None
) -> None:
    assert next_of(waiting, taken) == claim
