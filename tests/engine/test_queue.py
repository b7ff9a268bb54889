"""The queue: one entry a key, fair between namespaces, never loses what comes while a key runs."""

from __future__ import annotations

import asyncio

import pytest

from trimtab.engine.scheduling.queue import Queue


async def drained(queue: Queue) -> list[str]:
    taken = []
    while len(queue):
        key = await queue.get()
        taken.append(str(key))
        queue.done(key)
    return taken


async def test_a_key_that_waits_is_one_entry() -> None:
    queue = Queue()
    for _ in range(3):
        queue.add("a", "x")

    assert await drained(queue) == ["a"]


async def test_a_key_that_is_added_while_it_runs_runs_once_more() -> None:
    queue = Queue()
    queue.add("a", "x")
    key = await queue.get()
    for _ in range(3):
        queue.add("a", "x")
    assert len(queue) == 1
    assert queue.busy

    queue.done(key)

    assert await drained(queue) == ["a"]
    assert not queue.busy


async def test_a_running_key_is_not_given_out_a_second_time() -> None:
    queue = Queue()
    queue.add("a", "x")
    await queue.get()
    queue.add("a", "x")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await queue.get()


async def test_a_namespace_that_floods_delays_another_by_one_entry() -> None:
    queue = Queue()
    for number in range(100):
        queue.add(f"flood-{number}", "loud")
    queue.add("calm-1", "calm")
    queue.add("calm-2", "calm")

    taken = await drained(queue)

    assert taken.index("calm-1") == 1
    assert taken.index("calm-2") == 3


async def test_a_key_that_comes_back_waits_behind_the_other_namespaces() -> None:
    queue = Queue()
    queue.add("a", "x")
    queue.add("b", "y")
    key = await queue.get()
    queue.add("a", "x")
    queue.done(key)

    assert await drained(queue) == ["b", "a"]


async def test_a_timer_adds_later_and_a_second_one_replaces_it() -> None:
    queue = Queue()
    queue.add_after("a", "x", 60)
    queue.add_after("a", "x", 0.01)
    assert len(queue) == 0

    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_adding_immediately_ends_the_timer() -> None:
    queue = Queue()
    queue.add_after("a", "x", 0.01)
    queue.add("a", "x")
    assert await drained(queue) == ["a"]

    await asyncio.sleep(0.03)

    assert len(queue) == 0


async def test_a_timer_for_a_key_that_waits_changes_nothing() -> None:
    queue = Queue()
    queue.add("a", "x")
    queue.add_after("a", "x", 0.001)
    assert await drained(queue) == ["a"]

    await asyncio.sleep(0.01)

    assert len(queue) == 0


async def test_idle_is_when_nothing_waits_or_runs() -> None:
    queue = Queue()
    await queue.idle()
    queue.add("a", "x")
    key = await queue.get()
    waiting = asyncio.create_task(queue.idle())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add("a", "x")
    queue.done(key)
    await asyncio.sleep(0)
    assert not waiting.done(), "it runs once more"

    queue.done(await queue.get())

    await asyncio.wait_for(waiting, 1)


async def test_several_workers_share_one_queue() -> None:
    queue = Queue()
    got: list[object] = []

    async def work() -> None:
        while True:
            key = await queue.get()
            got.append(key)
            await asyncio.sleep(0)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for number in range(50):
        queue.add(number, str(number % 3))
    await queue.idle()
    for worker in workers:
        worker.cancel()

    assert sorted(got) == list(range(50))  # type: ignore[type-var]


async def test_one_namespace_never_keeps_more_than_its_share_at_work() -> None:
    queue = Queue(share=2)
    for name in "abcd":
        queue.add(name, "flood")
    running = [await queue.get(), await queue.get()]
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0.01)
    assert not waiting.done()

    queue.add("e", "calm")

    assert await asyncio.wait_for(waiting, 1) == "e"
    queue.done(running[0])
    assert await asyncio.wait_for(queue.get(), 1) == "c"
