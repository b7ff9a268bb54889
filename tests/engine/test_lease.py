"""The Lease: one holder, fenced by time, by clocks that need not agree."""

from __future__ import annotations

from typing import Any

import pytest

from support.in_memory import SYSTEM, Cluster
from support.memory_api import Memory
from trimtab.engine.leadership import lease as leader_module
from trimtab.engine.leadership.lease import Leader, LeaseSettings
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.kube.errors import NotFoundError, NotLeaderError
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, LEASES


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leader_module.time, "monotonic", made.monotonic)
    return made


@pytest.fixture
def memory() -> Memory:
    return Cluster().memory


def candidate(name: str, duration: float = 15.0) -> Leader:
    settings = LeaseSettings(SYSTEM, name, duration=duration)
    return Leader(None, settings, lambda leading: None)  # type: ignore[arg-type]


async def attempt(leader: Leader, memory: Memory) -> bool | None:
    return await leader._attempt(memory)  # type: ignore[arg-type]


def lease(memory: Memory) -> Body:
    return memory.objects(LEASES)[0]["spec"]


async def test_the_first_to_ask_holds_the_lease(memory: Memory, clock: Clock) -> None:
    assert await attempt(candidate("a"), memory) is True
    assert lease(memory)["holderIdentity"] == "a"


async def test_a_namespace_that_does_not_exist_is_named(clock: Clock) -> None:
    leader = candidate("a")
    with pytest.raises(NotFoundError) as raised:
        await attempt(leader, Memory())
    assert leader._trouble(raised.value).startswith(f"namespace {SYSTEM} does not exist")


async def test_a_standby_waits_while_the_holder_renews(memory: Memory, clock: Clock) -> None:
    holder, standby = candidate("a"), candidate("b")
    await attempt(holder, memory)
    for _ in range(20):
        assert await attempt(standby, memory) is False
        clock.now += 2
        assert await attempt(holder, memory) is True


async def test_a_standby_acquires_the_lease_once_the_record_has_not_changed(
    memory: Memory, clock: Clock
) -> None:
    holder, standby = candidate("a"), candidate("b")
    await attempt(holder, memory)
    clock.now += 100
    assert await attempt(standby, memory) is False, "it has only now seen the record"
    clock.now += 14
    assert await attempt(standby, memory) is False
    clock.now += 2

    assert await attempt(standby, memory) is True

    assert lease(memory)["holderIdentity"] == "b"
    assert lease(memory)["leaseTransitions"] == 1
    assert await attempt(holder, memory) is False


async def test_a_released_lease_is_free_immediately(memory: Memory, clock: Clock) -> None:
    holder, standby = candidate("a"), candidate("b")
    await attempt(holder, memory)
    await holder._release(memory)  # type: ignore[arg-type]

    assert await attempt(standby, memory) is True


async def test_a_stranger_s_lease_is_not_released(memory: Memory, clock: Clock) -> None:
    await attempt(candidate("a"), memory)
    await candidate("b")._release(memory)  # type: ignore[arg-type]

    assert lease(memory)["holderIdentity"] == "a"


async def test_of_two_concurrent_acquisitions_one_fails(clock: Clock) -> None:
    class Racing(Memory):
        """Somebody else renews between our look and our swap."""

        async def merge_patch(self, *args: Any, **options: Any) -> Body:
            body = self.objects(LEASES)[0]
            self.put(LEASES, {**body, "spec": {**body["spec"], "renewTime": "later"}})
            return await super().merge_patch(*args, **options)

    memory = Racing()
    memory.put(*_namespace())
    holder = candidate("a")
    await attempt(holder, memory)

    assert await attempt(holder, memory) is None


def _namespace() -> tuple[Any, Body]:
    from trimtab.kube.resources import NAMESPACES

    return NAMESPACES, {"metadata": {"name": SYSTEM}}


def test_writing_ends_before_the_lease_does(clock: Clock) -> None:
    leader = candidate("a", duration=10)
    assert not leader.may_write()
    leader._until = clock.now + leader.settings.duration - leader.settings.margin
    assert leader.may_write()

    clock.now += 8

    assert not leader.may_write()


async def test_the_fence_lets_reads_pass_and_no_write(memory: Memory) -> None:
    fence = WriteGuard(memory, lambda: False)
    body = {"metadata": {"name": "a", "namespace": SYSTEM}}

    assert [page.items async for page in fence.pages(CONFIG_MAPS, dict)] == [[]]
    for call in (
        fence.create(CONFIG_MAPS, body),
        fence.apply(CONFIG_MAPS, body),
        fence.merge_patch(CONFIG_MAPS, SYSTEM, "a", {}),
        fence.replace_status(CONFIG_MAPS, SYSTEM, "a", {}, version="1"),
        fence.delete(CONFIG_MAPS, SYSTEM, "a"),
    ):
        with pytest.raises(NotLeaderError):
            await call
    assert memory.writes == []
