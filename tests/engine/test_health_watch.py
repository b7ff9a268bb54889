"""Workloads are watched on demand, evaluated from memory, and nothing is left when no rollout waits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from support.memory_api import Memory, Write
from support.workload_controllers import pod, status, workload
from trimtab.core.refs import Ref
from trimtab.core.workload.health import Health
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.engine.workloads import health as module
from trimtab.engine.workloads.health import HealthWatch
from trimtab.engine.workloads.pod_diagnosis import READ_SECONDS
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import NAMESPACES, PODS, WORKLOADS

WEB = Ref("Deployment", "music", "web")
DB = Ref("StatefulSet", "music", "db")
AGENT = Ref("DaemonSet", "music", "agent")
GOOD, BAD = "0000000000000000", "bbbbbbbbbbbbbbbb"


class Api(WriteGuard):
    """Counts the calls about workloads and pods, and refuses what ``refusals`` names by verb and plural."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, lambda: self.leads)
        self.memory, self.leads = memory, True
        self.calls: Counter[str] = Counter()
        self.refusals: dict[str, Exception] = {}
        self.now = self.most = 0
        self.slow = 0.0

    def _call(self, verb: str, resource: Any) -> None:
        self.calls[f"{verb} {resource.plural}"] += 1
        refusal = self.refusals.get(f"{verb} {resource.plural}")
        if refusal is not None:
            raise refusal

    async def pages(self, resource: Any, item: Any, **options: Any) -> AsyncIterator[Any]:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            self._call("list", resource)
            async for page in super().pages(resource, item, **options):
                yield page
                await asyncio.sleep(self.slow)
        finally:
            self.now -= 1

    async def watch(self, resource: Any, item: Any, **options: Any) -> AsyncIterator[Any]:
        self._call("watch", resource)
        async for event in super().watch(resource, item, **options):
            yield event

    async def stream(self, resource: Any, item: Any, **options: Any) -> AsyncIterator[Any]:
        self._call("stream", resource)
        async for event in super().stream(resource, item, **options):
            yield event

    async def get(self, resource: Any, namespace: str | None, name: str) -> Body:
        self._call("get", resource)
        try:
            return await super().get(resource, namespace, name)
        finally:
            await asyncio.sleep(self.slow)

    async def delete(self, resource: Any, namespace: str | None, name: str, **options: Any) -> None:
        self._call("delete", resource)
        await super().delete(resource, namespace, name, **options)


class Case:
    """A cluster in memory, who watches it, and what was told."""

    def __init__(self, *namespaces: str, streams: bool = True) -> None:
        self.memory = Memory()
        self.memory.streams = streams
        for name in namespaces or ("music",):
            self.memory.put(NAMESPACES, {"metadata": {"name": name}})
        self.api = Api(self.memory)
        self.told: list[Ref] = []
        self.watch = HealthWatch(self.api, self.told.append)

    async def __aenter__(self) -> Case:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.watch.stop()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"

    def put(self, key: Ref, digest: str = GOOD, *, said: Body | None = None, **spec: Any) -> Body:
        """A workload whose controller has done all it has to, apart from ``said``."""
        body = self.memory.put(WORKLOADS[key.kind], workload(key, digest=digest, **spec))
        return self.memory.put(WORKLOADS[key.kind], {**body, "status": status(body, **(said or {}))})

    def crash(self, key: Ref, name: str, digest: str = BAD, **meta: Any) -> None:
        self.memory.put(PODS, pod(key, name, digest, "CrashLoopBackOff", **meta))

    def remove(self, key: Ref) -> None:
        self.memory.remove(WORKLOADS[key.kind], key.namespace, key.name)

    async def until(
        self, key: Ref, state: str, digest: str | None = GOOD, says: str = "", **options: Any
    ) -> Health:
        """Wait for a verdict, looking again only when it is told to."""
        async with asyncio.timeout(1000):
            while True:
                seen, found = len(self.told), self.watch.state(key, digest, **options)
                if found.known and found.state == state and says in found.message:
                    return found
                while len(self.told) == seen:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

    async def quietly(self, seconds: float) -> Counter[str]:
        """The calls in that time."""
        before = self.api.calls.copy()
        await asyncio.sleep(seconds)
        return self.api.calls - before


@pytest.fixture(params=[True, False], ids=["streamed lists", "pages"])
def streams(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.mark.parametrize("key", [WEB, DB, AGENT], ids=str)
async def test_a_workload_is_unknown_until_it_was_seen(key: Ref, streams: bool) -> None:
    async with Case(streams=streams) as case:
        case.put(key)
        assert not case.watch.state(key, GOOD).known

        case.watch.want([key])
        assert not case.watch.state(key, GOOD).known
        healthy = await case.until(key, "Healthy")

        assert healthy.generation == 1
        assert case.told == [key], "told once, as nothing more has happened"


async def test_changes_of_a_workload_are_reported(streams: bool) -> None:
    async with Case(streams=streams) as case:
        case.watch.want([WEB])
        absent = await case.until(WEB, "Progressing")
        assert (absent.message, absent.generation) == ("does not exist", 0)

        case.put(WEB)
        await case.until(WEB, "Healthy")
        case.put(WEB, BAD, said={"updated": 1})
        await case.until(WEB, "Progressing", BAD, "1 of 2 replicas are updated")
        assert "not of this revision" in case.watch.state(WEB, GOOD).message
        case.put(WEB, BAD)
        await case.until(WEB, "Healthy", BAD)
        case.remove(WEB)
        await case.until(WEB, "Progressing", BAD, "does not exist")


async def test_without_a_waiting_rollout_nothing_happens() -> None:
    async with Case() as case:
        case.put(WEB, said={"available": 0})
        case.put(DB)

        assert not await case.quietly(3600)


async def test_a_healthy_workload_costs_one_watch_and_no_list_of_its_pods() -> None:
    async with Case() as case:
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")

        assert case.api.calls == {"stream deployments": 1}
        assert set(await case.quietly(300)) <= {"stream deployments", "watch deployments"}


async def test_of_others_in_the_namespace_nothing_is_kept_or_told() -> None:
    async with Case() as case:
        for number in range(50):
            case.put(WEB._replace(name=f"other-{number}"), said={"available": 0})
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        case.put(WEB._replace(name="other-1"), said={"available": 1})
        await asyncio.sleep(10)

        assert case.told == [WEB]
        assert not case.watch.state(WEB._replace(name="other-1"), None).known
        assert not case.api.calls["list pods"]


async def test_watches_follow_the_requested_workloads() -> None:
    async with Case("music", "film") as case:
        film = WEB._replace(namespace="film")
        case.watch.want([WEB, WEB._replace(name="two"), DB])
        assert case.watch.watches == 2
        case.watch.want([film], by="restarts")
        assert case.watch.watches == 3
        case.watch.want([WEB])
        assert case.watch.watches == 2
        case.watch.want((), by="restarts")
        case.watch.want(())
        assert case.watch.watches == 0
        await asyncio.sleep(0)

        assert len(asyncio.all_tasks()) == 1


async def test_many_namespaces_share_one_watch() -> None:
    names = [f"ns-{n}" for n in range(module.NAMESPACES + 1)]
    async with Case(*names) as case:
        keys = [WEB._replace(namespace=name) for name in names]
        for key in keys:
            case.put(key)
        case.watch.want(keys[:-1])
        for key in keys[:-1]:
            await case.until(key, "Healthy")
        assert case.watch.watches == module.NAMESPACES

        case.watch.want(keys)
        await case.until(keys[-1], "Healthy")

        assert case.watch.watches == 1
        case.put(keys[0], BAD)
        await case.until(keys[0], "Healthy", BAD)


async def test_a_workload_that_is_requested_later_is_read_separately() -> None:
    async with Case() as case:
        case.put(WEB)
        case.put(two := WEB._replace(name="two"))
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        case.watch.want([WEB, two, three := WEB._replace(name="three")])

        await case.until(two, "Healthy")
        assert (await case.until(three, "Progressing")).message == "does not exist"
        assert case.api.calls == {"stream deployments": 1, "get deployments": 2}


async def test_a_workload_that_is_requested_during_a_list_does_not_count_as_missing() -> None:
    async with Case(streams=False) as case:
        for number in range(1200):
            case.put(WEB._replace(name=f"a-{number:04}"))
        case.watch.want([WEB])
        case.api.slow = 1
        await asyncio.sleep(0.5)  # the first page has been read
        case.watch.want([WEB, early := WEB._replace(name="a-0000")])

        async with asyncio.timeout(30):
            await case.until(early, "Healthy")


# Pods.


async def test_a_crash_of_the_new_revision_is_a_failure_with_its_reason() -> None:
    async with Case() as case:
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        case.put(WEB, BAD, said={"updated": 1, "available": 1})
        case.crash(WEB, "web-new")

        failed = await case.until(WEB, "Failed", BAD)

        assert failed.message == "pod web-new: container main is in CrashLoopBackOff after 3 restarts"
        assert "hunter2" not in repr(case.watch._store)


async def test_a_crash_that_does_not_change_the_workload_is_noticed() -> None:
    async with Case() as case:
        case.put(WEB, BAD, said={"updated": 1, "available": 1})
        case.watch.want([WEB])
        await case.until(WEB, "Progressing", BAD)
        await asyncio.sleep(60)
        case.crash(WEB, "web-new")

        before = asyncio.get_running_loop().time()
        await case.until(WEB, "Failed", BAD)

        assert asyncio.get_running_loop().time() - before <= READ_SECONDS + 1


async def test_a_crash_of_the_old_revision_proves_nothing() -> None:
    async with Case() as case:
        case.put(WEB, GOOD, said={"updated": 1, "available": 1})
        case.crash(WEB, "web-old", BAD)
        case.watch.want([WEB])
        await case.until(WEB, "Progressing")
        await asyncio.sleep(20)

        assert case.watch.state(WEB, GOOD).state == "Progressing"
        assert case.api.calls["list pods"] > 2


async def test_pods_are_listed_only_while_a_workload_is_unhealthy() -> None:
    async with Case() as case:
        case.put(WEB, said={"available": 1})
        case.watch.want([WEB])
        await case.until(WEB, "Progressing")
        looks = await case.quietly(60)
        assert 10 < looks["list pods"] <= 60 / READ_SECONDS + 1

        case.put(WEB)
        await case.until(WEB, "Healthy")
        assert not (await case.quietly(60))["list pods"]

        case.put(WEB, BAD, said={"available": 1})
        await asyncio.sleep(1)
        case.watch.want(())
        assert not await case.quietly(60)


async def test_the_pods_of_a_workload_that_changes_often_are_listed_at_intervals() -> None:
    async with Case() as case:
        case.watch.want([WEB])
        for number in range(500):
            case.put(WEB, said={"available": 0, "replicas": 10 + number})
            await asyncio.sleep(0.02)

        assert 10 < case.api.calls["list pods"] <= 10 / module_gap() + 2


def module_gap() -> float:
    from trimtab.engine.workloads.pod_diagnosis import GAP_SECONDS

    return GAP_SECONDS


async def test_looks_are_bounded() -> None:
    async with Case() as case:
        keys = [WEB._replace(name=f"web-{n}") for n in range(40)]
        for key in keys:
            case.put(key, BAD, said={"available": 1})
            case.crash(key, f"{key.name}-new")
        case.api.slow = 0.2
        case.watch.want(keys)
        for key in keys:
            await case.until(key, "Failed", BAD)

        assert case.api.most <= module.READS


async def test_pods_that_may_not_be_read_are_reported() -> None:
    async with Case() as case:
        case.put(WEB, said={"available": 1})
        case.api.refusals["list pods"] = errors.ForbiddenError(403, "Forbidden", "no")
        case.watch.want([WEB])
        await case.until(WEB, "Progressing")
        await asyncio.sleep(5)

        assert case.watch.state(WEB, GOOD).message.endswith("its pods cannot be read (Forbidden)")
        assert (await case.quietly(300))["list pods"] <= 10


# Moments.


async def test_evidence_older_than_requested_is_refused_and_read_again() -> None:
    async with Case() as case:
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        await asyncio.sleep(30)
        moment = asyncio.get_running_loop().time()

        old = case.watch.state(WEB, GOOD, after=moment)
        assert (old.known, old.state) == (False, "Progressing")
        assert old.seen_at < moment
        fresh = await case.until(WEB, "Healthy", after=moment)

        assert fresh.seen_at >= moment
        assert case.api.calls["get deployments"] == 1


async def test_every_sign_of_life_of_the_watch_renews_the_evidence() -> None:
    async with Case() as case:
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        await asyncio.sleep(30)
        moment = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        case.memory.bookmark(WORKLOADS["Deployment"])
        await asyncio.sleep(1)

        assert case.watch.state(WEB, GOOD, after=moment).state == "Healthy"
        assert not case.api.calls["get deployments"]


async def test_what_a_broken_watch_last_saw_grows_old() -> None:
    async with Case() as case:
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        down = errors.UnavailableError(503, "ServiceUnavailable", "down")
        case.api.refusals = {f"{verb} deployments": down for verb in ("stream", "watch", "get", "list")}
        case.memory.break_watches()
        case.put(WEB, said={"available": 0})
        await asyncio.sleep(60)
        moment = asyncio.get_running_loop().time()

        assert not case.watch.state(WEB, GOOD, after=moment).known
        await asyncio.sleep(300)
        assert not case.watch.state(WEB, GOOD, after=moment).known

        case.api.refusals.clear()
        assert (await case.until(WEB, "Progressing", after=moment)).seen_at >= moment


async def test_a_list_of_pods_older_than_requested_is_refused_and_repeated() -> None:
    async with Case() as case:
        case.put(WEB, BAD, said={"available": 1})
        case.crash(WEB, "web-new")
        case.watch.want([WEB])
        await case.until(WEB, "Failed", BAD)
        case.put(WEB, BAD, said={"available": 0})
        await asyncio.sleep(0.05)
        moment = asyncio.get_running_loop().time()

        assert case.watch.state(WEB, BAD, after=moment - 0.01).state == "Progressing"
        failed = await case.until(WEB, "Failed", BAD, after=moment)

        assert failed.seen_at >= moment


async def test_an_old_response_does_not_replace_newer_evidence() -> None:
    async with Case() as case:
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        case.api.slow = 10
        moment = asyncio.get_running_loop().time() + 1
        await asyncio.sleep(1)
        case.watch.state(WEB, GOOD, after=moment)  # asks, and the answer is under way for long
        await asyncio.sleep(1)
        case.put(WEB, BAD, said={"available": 0})
        await asyncio.sleep(20)

        assert case.watch.state(WEB, BAD).message.startswith("0 of 2")
        case.remove(WEB)
        await asyncio.sleep(1)
        assert case.watch.state(WEB, BAD).message == "does not exist"


async def test_a_late_not_found_does_not_replace_newer_evidence() -> None:
    async with Case() as case:
        case.watch.want([WEB])
        await case.until(WEB, "Progressing")
        case.api.slow = 10
        case.watch.want([WEB, two := WEB._replace(name="two")])
        await asyncio.sleep(1)  # the answer is under way
        case.put(two)
        await case.until(two, "Healthy")
        await asyncio.sleep(20)

        assert case.watch.state(two, GOOD).state == "Healthy"


async def test_a_list_that_has_only_begun_renews_nothing() -> None:
    async with Case(streams=False) as case:
        for number in range(1200):
            case.put(WEB._replace(name=f"a-{number:04}"))
        case.put(WEB)
        case.watch.want([WEB])
        await case.until(WEB, "Healthy")
        await asyncio.sleep(10)
        moment = asyncio.get_running_loop().time()
        case.memory.compact()
        case.memory.break_watches()
        case.put(WEB, said={"available": 0})
        case.api.slow = 10
        await asyncio.sleep(5)  # the first page of the next list has been read
        before = case.watch.state(WEB, GOOD)
        await asyncio.sleep(30)

        assert (before.state, before.seen_at < moment) == ("Healthy", True)
        assert case.watch.state(WEB, GOOD).state == "Progressing"


# Faults.


def broken(case: Case) -> None:
    case.memory.break_watches()


def expired(case: Case) -> None:
    case.memory.compact()
    case.memory.break_watches()


def busy(case: Case) -> None:
    case.memory.break_watches()
    refusal = errors.UnavailableError(429, "TooManyRequests", "later", 1.0)
    for verb in ("stream", "watch", "list", "get"):
        case.api.refusals[f"{verb} deployments"] = refusal
    asyncio.get_running_loop().call_later(40, case.api.refusals.clear)


@pytest.mark.parametrize("fault", [broken, expired, busy])
async def test_no_fault_leaves_a_wrong_verdict(fault: Callable[[Case], None], streams: bool) -> None:
    async with Case(streams=streams) as case:
        gone, made = WEB._replace(name="gone"), WEB._replace(name="made")
        for key in (WEB, gone):
            case.put(key)
        case.watch.want([WEB, gone, made])
        for _ in range(3):
            await case.until(WEB, "Healthy")
            fault(case)
            case.put(WEB, BAD, said={"updated": 1, "available": 1})
            case.remove(gone)
            case.put(made)
            await case.until(WEB, "Progressing", BAD, "1 of 2 replicas are updated")
            await case.until(gone, "Progressing", GOOD, "does not exist")
            await case.until(made, "Healthy")
            case.remove(made)
            case.put(gone)
            case.put(WEB)


async def test_the_reason_for_missing_evidence_is_reported() -> None:
    async with Case() as case:
        case.api.refusals["stream deployments"] = errors.ForbiddenError(403, "Forbidden", "no")
        case.watch.want([WEB])
        await asyncio.sleep(1)

        verdict = case.watch.state(WEB, GOOD)

        assert (verdict.known, verdict.message) == (False, "has not been read yet: Forbidden")


async def test_an_invalid_response_does_not_end_the_watch() -> None:
    async with Case(streams=False) as case:
        case.put(WEB)
        case.api.refusals["list deployments"] = RuntimeError("nonsense")
        case.watch.want([WEB])
        await asyncio.sleep(1)
        case.api.refusals.clear()

        await case.until(WEB, "Healthy")


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_it_can_be_stopped_anywhere(steps: int) -> None:
    async with Case() as case:
        case.put(WEB, BAD, said={"available": 1})
        case.put(two := DB._replace(name="two"))
        case.crash(WEB, "web-new")
        case.watch.want([WEB])
        for step in range(steps):
            if step == 5:
                case.watch.want([WEB, two])
            if step == 9:
                case.watch.state(WEB, BAD, after=asyncio.get_running_loop().time() + 1)
            await asyncio.sleep(0)

        await case.watch.stop()

        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not await case.quietly(100)


# StatefulSets that wait for a broken pod.


def blocked(case: Case, digest: str = GOOD, **fields: Any) -> None:
    """Back to ``digest``, while a pod of the bad revision is there still."""
    body = case.put(DB, digest, said={"updated": 1, "available": 1}, **fields)
    owner = {"kind": "StatefulSet", "name": "db", "uid": body["metadata"]["uid"], "controller": True}
    case.crash(DB, "db-1", ownerReferences=[owner])


async def test_a_broken_pod_that_holds_a_stateful_set_up_is_deleted() -> None:
    async with Case() as case:
        blocked(case)
        case.watch.want([DB])
        await case.until(DB, "Progressing")
        await asyncio.sleep(10)

        assert case.memory.writes == [Write("delete", "Pod", "music", "db-1")]


async def test_a_pod_that_never_becomes_ready_is_deleted_only_during_a_rollback() -> None:
    async with Case() as case:
        blocked(case)
        body = case.memory.objects(PODS)[0]
        body["status"]["containerStatuses"] = []
        case.memory.put(PODS, body)
        case.watch.want([DB])
        await asyncio.sleep(60)
        assert not case.memory.writes

        case.watch.want([DB], back=[DB])
        await asyncio.sleep(10)

        assert case.memory.writes == [Write("delete", "Pod", "music", "db-1")]


async def test_a_pod_of_the_desired_revision_is_never_deleted() -> None:
    async with Case() as case:
        blocked(case, BAD)
        case.watch.want([DB], back=[DB])
        assert (await case.until(DB, "Failed", BAD)).message.startswith("pod db-1")
        await asyncio.sleep(60)

        assert not case.memory.writes


async def test_only_the_leader_deletes_pods() -> None:
    async with Case() as case:
        blocked(case)
        case.api.leads = False
        case.watch.want([DB])
        await asyncio.sleep(60)

        assert not case.memory.writes


async def test_a_pod_that_may_not_be_deleted_is_reported() -> None:
    async with Case() as case:
        blocked(case)
        case.api.refusals["delete pods"] = errors.ForbiddenError(403, "Forbidden", "no")
        case.watch.want([DB])
        await asyncio.sleep(10)

        message = case.watch.state(DB, GOOD).message

        assert message.endswith("pod db-1 blocks the update; delete it (Forbidden)")
