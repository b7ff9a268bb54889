"""List and watch: a sink stays equal to the API server, and never learns the end of an incomplete list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from support.in_memory import HOME, Cluster
from support.memory_api import Memory
from trimtab.core.objects import MetaOnly
from trimtab.kube import errors
from trimtab.kube.port import Page
from trimtab.kube.reflector import Reflector
from trimtab.kube.resources import CONFIG_MAPS, Resource


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(100):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Sink:
    """What a store would hold, and how many lists it has seen whole."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.begun = self.ended = 0
        self.seen: set[str] = set()

    def begin(self) -> None:
        self.begun += 1
        self.seen = set()

    def put(self, item: MetaOnly) -> None:
        self.seen.add(item.metadata.name)
        self.held[item.metadata.name] = int(item.metadata.resourceVersion)

    def drop(self, item: MetaOnly) -> None:
        self.held.pop(item.metadata.name, None)

    def end(self, version: int) -> None:
        self.ended += 1
        self.held = {n: v for n, v in self.held.items() if n in self.seen or v > version}


class Case:
    def __init__(self, memory: Memory, **options: Any) -> None:
        self.memory, self.sink = memory, Sink()
        options = {"selector": "", "limit": 3, "relist_seconds": 60.0, **options}
        self.reflector: Reflector[MetaOnly] = Reflector(
            memory, CONFIG_MAPS, MetaOnly, self.sink, version=lambda o: o.metadata.resourceVersion, **options
        )
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Case:
        self.task = asyncio.create_task(self.reflector.run())
        await asyncio.wait_for(self.reflector.synced.wait(), 5)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self.task is not None
        assert not self.task.done(), self.task
        self.task.cancel()

    async def equal(self) -> None:
        """Wait until the sink holds what the server holds."""
        await until(lambda: self.sink.held == self.truth())

    def truth(self) -> dict[str, int]:
        found = self.memory.objects(CONFIG_MAPS)
        return {b["metadata"]["name"]: int(b["metadata"]["resourceVersion"]) for b in found}


def put(memory: Memory, *names: str, data: str = "") -> None:
    for name in names:
        memory.put(CONFIG_MAPS, {"metadata": {"name": name, "namespace": HOME}, "data": {"x": data}})


@pytest.fixture(params=[True, False], ids=["streamed list", "pages"])
def memory(request: pytest.FixtureRequest) -> Memory:
    made = Cluster().memory
    made.streams = request.param
    put(made, *(f"m{n}" for n in range(8)))
    return made


async def test_what_exists_and_what_changes_arrives(memory: Memory) -> None:
    async with Case(memory) as case:
        assert len(case.sink.held) == 8
        put(memory, "new")
        put(memory, "m1", data="changed")
        memory.remove(CONFIG_MAPS, HOME, "m0")

        await case.equal()

    assert case.sink.ended == 1


async def test_a_broken_watch_resumes_where_it_broke(memory: Memory) -> None:
    async with Case(memory) as case:
        for number in range(4):
            memory.break_watches()
            put(memory, f"n{number}")
            memory.remove(CONFIG_MAPS, HOME, f"m{number}")
            await case.equal()

    assert case.sink.ended == 1, "no new list"


async def test_an_expired_version_lists_again_and_finds_lost_deletions(memory: Memory) -> None:
    async with Case(memory) as case:
        memory.remove(CONFIG_MAPS, HOME, "m3")
        memory.compact()
        await case.equal()

    assert case.sink.ended == 2


async def test_bookmarks_carry_the_watch_over_a_compaction_elsewhere(memory: Memory) -> None:
    async with Case(memory) as case:
        memory.bookmark(CONFIG_MAPS)
        await asyncio.sleep(0.01)
        before = case.sink.held.copy()

    assert before == case.truth()


async def test_an_incomplete_list_never_ends_a_round(memory: Memory) -> None:
    class Cut(Memory):
        failing = 3

        async def pages(
            self, resource: Resource, item: type[Any], **options: Any
        ) -> AsyncIterator[Page[Any]]:  # type: ignore[override]
            count = 0
            async for page in memory.pages(resource, item, **options):
                yield page
                count += 1
                if count == 2 and self.failing:
                    self.failing -= 1
                    rounds.append(case.sink.ended)
                    kind = errors.GoneError if self.failing % 2 else errors.UnavailableError
                    raise kind(410, "Expired", "cut")

    rounds: list[int] = []
    cut = Cut()
    cut.streams = False
    case = Case(memory)
    case.reflector._api = cut
    cut.watch = memory.watch  # type: ignore[method-assign]
    async with case:
        await case.equal()

    assert rounds == [0, 0, 0]
    assert case.sink.ended == 1


@pytest.mark.parametrize("memory", [True], ids=["streamed list"], indirect=True)
async def test_a_streamed_list_that_breaks_never_ends_a_round(memory: Memory) -> None:
    broken = 2
    whole = memory.stream

    async def stream(*args: Any, **options: Any) -> AsyncIterator[Any]:
        nonlocal broken
        count = 0
        async for event in whole(*args, **options):
            count += 1
            if broken and count == 5:
                broken -= 1
                assert case.sink.ended == 0
                raise errors.UnavailableError(0, "WatchBroken", "cut")
            yield event

    memory.stream = stream  # type: ignore[method-assign]
    case = Case(memory)
    async with case:
        await case.equal()

    assert (case.sink.begun, case.sink.ended) == (3, 1)


async def test_a_selector_s_view_loses_what_stops_matching(memory: Memory) -> None:
    labelled = {"name": "mine", "namespace": HOME, "labels": {"a": "b"}}
    memory.put(CONFIG_MAPS, {"metadata": labelled})
    async with Case(memory, selector="a=b") as case:
        assert case.sink.held.keys() == {"mine"}
        memory.put(CONFIG_MAPS, {"metadata": {**labelled, "labels": {}}})
        await until(lambda: not case.sink.held)


async def test_without_a_watch_it_lists_on_request(memory: Memory) -> None:
    async with Case(memory, watch=False) as case:
        put(memory, "new")
        await asyncio.sleep(0.01)
        assert "new" not in case.sink.held

        case.reflector.ask()
        await case.equal()


async def test_a_request_during_a_list_causes_another_list(memory: Memory) -> None:
    async with Case(memory, watch=False) as case:
        begin = case.sink.begin

        def asked() -> None:
            begin()
            if case.sink.begun == 2:
                case.reflector.ask()

        case.sink.begin = asked  # type: ignore[method-assign]
        case.reflector.ask()
        await asyncio.sleep(1)
        assert case.sink.ended == 3


async def test_it_lists_at_intervals_whatever_the_watch_sends(memory: Memory) -> None:
    async with Case(memory, relist_seconds=1.0) as case:
        case.sink.held["ghost"] = 1
        await until(lambda: "ghost" not in case.sink.held)
        await case.equal()


async def test_it_can_always_be_cancelled(memory: Memory) -> None:
    for ticks in range(25):
        case = Case(memory, watch=ticks % 2 == 0)
        task = asyncio.create_task(case.reflector.run())
        for _ in range(ticks):
            await asyncio.sleep(0)
        put(memory, f"t{ticks}")
        case.reflector.ask()
        task.cancel()
        async with asyncio.timeout(1):
            await asyncio.gather(task, return_exceptions=True)
