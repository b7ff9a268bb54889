"""Long work in slices: fair between tasks, and cancelled anywhere without harm to another."""

from __future__ import annotations

import asyncio

import pytest

from trimtab.engine.scheduling import time_slices as slices_module
from trimtab.engine.scheduling.time_slices import TimeSlices


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> TimeSlices:
    """Every step uses its slice up."""
    monkeypatch.setattr(slices_module, "SLICE_SECONDS", -1.0)
    return TimeSlices()


async def test_two_long_tasks_alternate(tiny: TimeSlices) -> None:
    order: list[str] = []

    async def work(name: str) -> None:
        async with tiny.turn() as turn:
            for _ in range(5):
                order.append(name)
                await turn.over()

    await asyncio.gather(work("a"), work("b"))

    assert order[:6] in (["a", "b", "a", "b", "a", "b"], ["b", "a", "b", "a", "b", "a"])


async def test_others_get_the_loop_between_slices(tiny: TimeSlices) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    async with tiny.turn() as turn:
        for _ in range(20):
            await turn.over()
    ticker.cancel()

    assert ticks >= 20


@pytest.mark.parametrize("ticks", range(12))
async def test_a_slice_that_is_cancelled_anywhere_ends_and_harms_no_other(
    tiny: TimeSlices, ticks: int
) -> None:
    done: list[str] = []

    async def work(name: str) -> None:
        async with tiny.turn() as turn:
            for _ in range(10):
                await turn.over()
        done.append(name)

    tasks = [asyncio.create_task(work(name)) for name in "abc"]
    for _ in range(ticks):
        await asyncio.sleep(0)
    tasks[0].cancel()
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(r) for r in results] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]
    assert done == ["c"]
    assert not tiny.lock.locked()
