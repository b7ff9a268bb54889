"""A workload restarts once for a change that requires it, few at a time, whichever operator dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any

import pytest

from support.memory_api import Memory
from support.workload_controllers import Controllers, status, workload
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.workload.pods import digest_in
from trimtab.core.workload.restart_slots import AT_ONCE
from trimtab.crypto import Keys
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.restarts import (
    CHECK_SECONDS,
    LONGEST_SECONDS,
    SLOW_SECONDS,
    Workloads,
    restart_digest,
)
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import NAMESPACES, WORKLOADS

KEYS = Keys((b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",), b"digest-key-of-the-tests")
HOME = "music"


def view(
    values: Body | None = None, *, name: str = "web", kinds: Iterable[str] = ("Deployment",), **spec: Any
) -> GroupView:
    """A group with workloads of its own name that is served ``port`` (Restart) and ``motd`` (None)."""
    made: Body = {
        "keys": [
            {"name": "port", "type": "Integer", "default": 80},
            {"name": "motd", "type": "String", "default": "hello", "reload": "None"},
            {"name": "unused", "type": "Integer", "default": 1},
            {"name": "token", "type": "String", "default": "s3cr3t", "sensitive": True},
        ],
        "groups": [
            {
                "name": name,
                "values": values or {},
                "workloads": [{"kind": kind, "name": name} for kind in kinds],
            }
        ],
        "outputs": [{"name": "app", "format": "YAML", "fileName": "app.yaml", "include": ["port", "motd"]}],
        **spec,
    }
    schema = compile_template("app", ConfigTemplateSpec.model_validate(made))
    return group_view(schema, name)


class Process:
    """What of an operator restarts workloads. ``again`` sends a group to it once more, as the queue would."""

    def __init__(
        self, api: Any, views: dict[GroupKey, GroupView], *, watched: bool = True, **options: Any
    ) -> None:
        self.health = HealthWatch(api, self._changed) if watched else None
        self.workloads = Workloads(api, partial(restart_digest, KEYS), self.health, self._again, **options)
        self.views, self.problems = views, dict[GroupKey, list[str]]()
        self._queue: asyncio.Queue[GroupKey] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(4)]

    def _changed(self, key: Ref) -> None:
        self.workloads.settle(key)

    def _again(self, group: GroupKey) -> None:
        self._queue.put_nowait(group)

    def all(self) -> None:
        """A change of all groups, or a start."""
        for group in self.views:
            self._again(group)

    async def _work(self) -> None:
        while True:
            group = await self._queue.get()
            try:
                self.problems[group] = await self.workloads.restart(self.views[group], HOME, group)
            except errors.ApiError:
                self._again(group)
                await asyncio.sleep(1)

    async def kill(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.workloads.stop()
        if self.health is not None:
            await self.health.stop()


class Case:
    """A cluster whose workloads roll by themselves, and a process."""

    def __init__(self, count: int = 1, *, roll: float = 5, replicas: int = 2) -> None:
        self.memory = Memory()
        self.memory.put(NAMESPACES, {"metadata": {"name": HOME}})
        self.names = [f"web-{n:03}" for n in range(count)]
        for name in self.names:
            body = self.memory.put(WORKLOADS["Deployment"], workload(self.key(name), replicas))
            self.memory.put(WORKLOADS["Deployment"], {**body, "status": status(body)})
        self.controllers = Controllers(self.memory, roll)
        self.process: Process | None = None

    async def __aenter__(self) -> Case:
        await self.controllers.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process is not None:
            await self.process.kill()
        await self.controllers.__aexit__()
        await asyncio.sleep(0)

    def key(self, name: str) -> Ref:
        return Ref("Deployment", HOME, name)

    def start(self, values: Body | None = None, api: Any = None, **options: Any) -> Process:
        views = {GroupKey(HOME, "app", name): view(values, name=name) for name in self.names}
        self.process = Process(api or self.memory, views, **options)
        self.process.all()
        return self.process

    async def change(self, values: Body) -> Process:
        """Another process with other values takes over."""
        assert self.process is not None
        await self.process.kill()
        return self.start(values)

    def body(self, name: str) -> Body:
        return next(b for b in self.memory.objects(WORKLOADS["Deployment"]) if b["metadata"]["name"] == name)

    def digest(self, name: str) -> str | None:
        return digest_in(self.body(name)["spec"]["template"])

    def generations(self) -> list[int]:
        return [self.body(name)["metadata"]["generation"] for name in self.names]


# The digest.


def digest(found: GroupView) -> str:
    return restart_digest(KEYS, found)


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        ({"values": {"port": 81}}, True),
        ({"values": {"port": 80}}, False),
        ({"values": {"motd": "good morning"}}, False),
        ({"values": {"unused": 2}}, False),
        ({"values": {"token": "an0ther"}}, False),
        (
            {"values": {"unused": 2}, "outputs": [{"name": "app", "format": "YAML", "fileName": "app.yaml"}]},
            True,
        ),
        ({"users": {"delivery": "None"}}, False),
    ],
    ids=[
        "another port",
        "the same port",
        "reload: None",
        "in no file",
        "not in a ConfigMap",
        "in a file now",
        "users",
    ],
)
def test_only_keys_that_need_it_and_are_served_change_the_digest(change: Body, restarts: bool) -> None:
    assert (digest(view(**change)) != digest(view())) == restarts


def test_what_users_files_hold_of_the_group_is_served_to_it() -> None:
    files = [{"name": "prefs", "scope": "User", "format": "JSON", "fileName": "prefs.json"}]
    for delivery, restarts in (("Sharded", True), ("PerUser", True), ("None", False)):
        options: Body = {"outputs": files, "users": {"delivery": delivery}}
        assert (digest(view({"unused": 2}, **options)) != digest(view({"unused": 1}, **options))) == restarts


def test_the_digest_is_keyed() -> None:
    other = restart_digest(Keys.fresh(), view())

    assert other != digest(view())


# One change, one restart.


async def test_a_change_restarts_once_and_its_rollback_once_more() -> None:
    async with Case(1) as case:
        stamps = []
        case.start({"port": 1})
        for port in (1, 2, 2, 1):
            await case.change({"port": port})
            await asyncio.sleep(30)
            stamps.append((case.digest("web-000"), case.generations()[0]))

        (one, first), (two, second), again, back = stamps
        assert one != two
        assert again == (two, second)
        assert back == (one, first + 2)


async def test_a_workload_that_changes_continuously_is_restarted() -> None:
    class Busy(WriteGuard):
        conflicts = 3

        async def apply(self, resource: Any, body: Body, **options: Any) -> Body:
            if self.conflicts:
                self.conflicts -= 1
                found = case.body("web-000")
                case.memory.put(
                    resource, {**found, "status": {**found["status"], "replicas": self.conflicts}}
                )
            return await super().apply(resource, body, **options)

    async with Case(1) as case:
        case.start(api=Busy(case.memory, lambda: True))
        await asyncio.sleep(30)

        assert case.generations() == [2]


async def test_a_missing_or_refused_workload_is_reported_and_takes_no_slot() -> None:
    async with Case(1) as case:
        process = case.start(at_once=1)
        gone = view(name="gone", kinds=["Deployment", "StatefulSet", "DaemonSet"])
        problems = await process.workloads.restart(gone, HOME, GroupKey(HOME, "app", "gone"))

        assert problems[1] == "StatefulSet music/gone does not exist"
        assert len(problems) == 3
        await asyncio.sleep(30)
        assert case.generations() == [2]


# Not all at once.


async def test_few_workloads_restart_concurrently_and_all_in_the_end() -> None:
    async with Case(35) as case:
        process = case.start()
        await asyncio.sleep(60)

        assert case.generations() == [2] * 35
        assert case.controllers.most == AT_ONCE
        assert process.health is not None
        assert process.health.watches == 0, "nobody waits any more"
        assert not any(process.problems.values())


async def test_few_workloads_are_not_watched() -> None:
    async with Case(AT_ONCE) as case:
        process = case.start()
        for _ in range(200):
            await asyncio.sleep(0.1)
            assert process.health is not None
            assert process.health.watches == 0

        assert case.generations() == [2] * AT_ONCE


async def test_a_free_slot_is_used_immediately() -> None:
    async with Case(30, roll=1) as case:
        case.start(at_once=3)
        await asyncio.sleep(12)

        assert case.generations() == [2] * 30
        assert case.controllers.most == 3


async def test_failing_workloads_do_not_delay_others() -> None:
    async with Case(30) as case:
        case.controllers.bad.add(digest(view({"port": 0})))
        case.start({"port": 0}, at_once=3)
        await asyncio.sleep(120)
        assert case.generations() == [2] * 30

        case.controllers.rolled.clear()
        await case.change({"port": 1})
        await asyncio.sleep(120)
        assert case.generations() == [3] * 30


async def test_workloads_that_neither_fail_nor_finish_delay_others_temporarily() -> None:
    async with Case(6, roll=1e6) as case:
        case.start(at_once=3)
        await asyncio.sleep(LONGEST_SECONDS - 10)
        assert sorted(case.generations()) == [1, 1, 1, 2, 2, 2]
        await asyncio.sleep(2 * CHECK_SECONDS)

        assert case.generations() == [2] * 6


async def test_a_workload_that_is_deleted_meanwhile_does_not_delay_others() -> None:
    async with Case(6, roll=1e6) as case:
        case.start(at_once=3)
        await asyncio.sleep(10)
        case.memory.remove(WORKLOADS["Deployment"], HOME, next(n for n in case.names if case.digest(n)))
        await asyncio.sleep(2 * CHECK_SECONDS)

        case.names = [b["metadata"]["name"] for b in case.memory.objects(WORKLOADS["Deployment"])]
        assert sorted(case.generations()) == [1, 1, 2, 2, 2]


async def test_without_health_nothing_is_waited_for() -> None:
    async with Case(35, roll=100) as case:
        case.start(watched=False)
        await asyncio.sleep(10)

        assert case.generations() == [2] * 35


async def test_a_workload_keeps_its_slot_during_a_rollback() -> None:
    async with Case(3, roll=1e6) as case:
        process = case.start(at_once=3)
        await asyncio.sleep(10)
        process.views = {group: view({"port": 1}, name=group.group) for group in process.views}
        process.all()
        await asyncio.sleep(10)

        assert case.generations() == [3] * 3


# Whoever dies.


class Dying(WriteGuard):
    """Dies at its ``at``-th write, before or after that has taken effect: no call returns from then on."""

    def __init__(self, memory: Memory, at: int, *, after: bool) -> None:
        super().__init__(memory, lambda: True)
        self.at, self.after, self.count = at, after, 0
        self.dead = asyncio.Event()

    async def apply(self, resource: Any, body: Body, **options: Any) -> Body:
        self.count += 1
        now = self.count == self.at
        if now and not self.after:
            self.dead.set()
        await self._alive()
        try:
            return await super().apply(resource, body, **options)
        finally:
            if now:
                self.dead.set()
            await self._alive()

    async def get(self, resource: Any, namespace: str | None, name: str) -> Body:
        await self._alive()
        return await super().get(resource, namespace, name)

    async def _alive(self) -> None:
        if self.dead.is_set():
            await asyncio.Event().wait()


@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after the write"])
async def test_no_workload_restarts_twice_for_one_change_whichever_operator_dies(after: bool) -> None:
    for at in range(1, 13):
        async with Case(12) as case:
            dying = Dying(case.memory, at, after=after)
            dead = case.start({"port": 1}, dying, at_once=4)
            await dying.dead.wait()
            assert dying.count >= at
            await dead.kill()
            case.start({"port": 1}, at_once=4)
            await asyncio.sleep(60)

            assert case.generations() == [2] * 12, f"write {at}"
            digests = {case.digest(name) for name in case.names}
            assert digests == {restart_digest(KEYS, view({"port": 1}, name=name)) for name in case.names}
            assert len(case.memory.writes) == 12


async def test_an_operator_that_finds_no_difference_writes_nothing() -> None:
    async with Case(3) as case:
        case.start()
        await asyncio.sleep(30)
        assert case.process is not None
        await case.process.kill()
        watched = Dying(case.memory, 0, after=False)
        case.start(api=watched)
        await asyncio.sleep(30)

        assert watched.count == 0


async def test_a_new_leader_counts_the_restarts_in_progress() -> None:
    async with Case(20) as case:
        first = case.start()
        await asyncio.sleep(2)
        await first.kill()
        case.start()
        await asyncio.sleep(60)

        assert case.generations() == [2] * 20
        assert case.controllers.most == AT_ONCE


async def test_an_api_server_that_is_down_delays_and_changes_nothing_else() -> None:
    class Down(WriteGuard):
        down = 30

        async def apply(self, resource: Any, body: Body, **options: Any) -> Body:
            if self.down:
                self.down -= 1
                if self.down % 2:  # it was taken, and the answer is lost
                    await super().apply(resource, body, **options)
                raise errors.UnavailableError(503, "ServiceUnavailable", "down")
            return await super().apply(resource, body, **options)

    async with Case(20) as case:
        case.start(api=Down(case.memory, lambda: True))
        await asyncio.sleep(120)

        assert case.generations() == [2] * 20
        assert case.controllers.most <= AT_ONCE


@pytest.mark.parametrize("status", [0, 403, 418, 500, 503])
async def test_workloads_that_cannot_be_restarted_delay_no_other_template(status: int) -> None:
    class Failing(WriteGuard):
        async def apply(self, resource: Any, body: Body, **options: Any) -> Body:
            if body["metadata"]["name"] != "web-019":
                raise errors.of(status, "", "failed calling webhook")
            return await super().apply(resource, body, **options)

    async with Case(20) as case:
        last = case.names.pop()
        process = case.start(api=Failing(case.memory, lambda: True))
        await asyncio.sleep(CHECK_SECONDS)
        other = GroupKey(HOME, "other", last)
        process.views[other] = view(name=last)
        process.all()
        await asyncio.sleep(SLOW_SECONDS + 2 * CHECK_SECONDS)

        assert case.generations() == [1] * 19
        assert case.body(last)["metadata"]["generation"] == 2


async def test_no_further_workload_is_restarted_once_a_restart_has_failed() -> None:
    """What comes late would put the mark of an old revision over that of the one which follows."""
    memory = Memory()
    memory.put(NAMESPACES, {"metadata": {"name": HOME}})
    memory.put(WORKLOADS["StatefulSet"], workload(Ref("StatefulSet", HOME, "web")))

    class Slow(WriteGuard):
        async def get(self, resource: Any, namespace: str | None, name: str) -> Body:
            if resource.kind == "Deployment":
                raise errors.UnavailableError(503, "ServiceUnavailable", "not now")
            await asyncio.sleep(1)
            return await super().get(resource, namespace, name)

    workloads = Workloads(Slow(memory, lambda: True), partial(restart_digest, KEYS))
    with pytest.raises(errors.UnavailableError):
        await workloads.restart(view(kinds=("Deployment", "StatefulSet")), HOME, GroupKey(HOME, "app", "web"))
    writes = len(memory.writes)
    await asyncio.sleep(10)
    assert len(memory.writes) == writes
