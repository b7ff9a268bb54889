"""Status writes: coalesced, a few at a time, over exactly the version that they were computed for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.in_memory import HOME, LONGEST_WAIT, Cluster
from support.memory_api import EPOCH
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.engine.scheduling import retry
from trimtab.engine.scheduling.queue import Queue
from trimtab.engine.status.writer import CHANGED_SECONDS, Make, StatusWrite, StatusWriter, Target
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES


class Case(WriteGuard):
    """Statuses over a memory server; ``errors`` are raised one by one, ``most`` counts writes under way."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        super().__init__(self.cluster.memory, lambda: True)
        self.errors: list[Exception] = []
        self.tries = self.running = self.most = 0
        self.queue = Queue()
        self.statuses = StatusWriter(self, self.queue, lambda: EPOCH)

    async def replace_status(self, *args: Any, **options: Any) -> Body:
        self.tries += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.001)
            if self.errors:
                raise self.errors.pop(0)
            return await super().replace_status(*args, **options)
        finally:
            self.running -= 1

    def template(self, name: str) -> Body:
        place = {"name": name, "namespace": HOME}
        return self.cluster.memory.put(CONFIG_TEMPLATES, {"metadata": place, "spec": {}})

    def offer(self, name: str, said: int, version: str | None = None) -> None:
        def make() -> StatusWrite | None:
            body = self.cluster.find(CONFIG_TEMPLATES, name)
            if body is None or body.get("status") == {"said": said}:
                return None
            return StatusWrite({"said": said}, version or body["metadata"]["resourceVersion"], lambda _: None)

        self.statuses.offer(Target(CONFIG_TEMPLATES, HOME, name), make)

    async def settle(self) -> None:
        task = asyncio.create_task(self.statuses.run())
        await asyncio.sleep(LONGEST_WAIT)
        await asyncio.wait_for(self.statuses.idle(), 5)
        task.cancel()

    def said(self, name: str) -> Any:
        return (self.cluster.find(CONFIG_TEMPLATES, name) or {}).get("status")


async def test_only_the_latest_of_what_waits_is_written() -> None:
    case = Case()
    case.template("a")
    for said in range(5):
        case.offer("a", said)

    await case.settle()

    assert case.tries == 1
    assert case.said("a") == {"said": 4}


async def test_one_object_is_written_by_one_worker_at_a_time() -> None:
    case = Case()
    case.template("a")
    task = asyncio.create_task(case.statuses.run())
    for said in range(20):
        case.offer("a", said)
        await asyncio.sleep(0.0005)
    await case.settle()
    task.cancel()

    assert case.most == 1
    assert case.said("a") == {"said": 19}


async def test_while_rendering_has_work_one_write_is_under_way() -> None:
    case = Case()
    names = [f"t{n}" for n in range(12)]
    for name in names:
        case.template(name)
        case.offer(name, 1)
    case.queue.add("work", HOME)

    await case.settle()

    assert case.most == 1
    assert all(case.said(name) == {"said": 1} for name in names)


async def test_otherwise_several_are_under_way() -> None:
    case = Case()
    for number in range(12):
        case.template(f"t{number}")
        case.offer(f"t{number}", 1)

    await case.settle()

    assert case.most > 1


@pytest.mark.parametrize(
    "error",
    [
        errors.ConflictError(409, "Conflict", ""),
        errors.UnavailableError(503, "Unavailable", ""),
        errors.UnavailableError(0, "NoAnswer", ""),
    ],
)
async def test_a_temporary_failure_is_retried(error: Exception) -> None:
    case = Case()
    case.template("a")
    case.errors = [error, error]
    case.offer("a", 1)

    await case.settle()
    await case.settle()

    assert case.said("a") == {"said": 1}
    assert case.tries == 3


async def test_the_status_of_a_deleted_object_is_dropped() -> None:
    case = Case()
    case.template("a")
    case.errors = [errors.NotFoundError(404, "NotFound", "")]
    case.offer("a", 1)

    await case.settle()

    assert case.tries == 1
    assert case.said("a") is None


LASTING = [
    errors.InvalidError(422, "Invalid", ""),
    errors.ForbiddenError(403, "Forbidden", ""),
    errors.of(413, "RequestEntityTooLarge", ""),
    errors.of(500, "InternalError", "etcdserver: request is too large"),
]


@pytest.mark.parametrize("error", LASTING, ids=lambda error: error.reason)
async def test_a_permanent_refusal_is_retried_with_backoff(error: Exception) -> None:
    case = Case()
    case.template("a")
    case.errors = [error] * 1000
    case.offer("a", 1)

    for _ in range(60):
        await case.settle()

    assert case.tries <= 10 + 60 * LONGEST_WAIT / retry.LASTING.longest


async def test_edits_do_not_make_a_status_that_fails_be_tried_more_often_than_every_second() -> None:
    case = Case()
    case.template("a")
    case.errors = [errors.of(413, "RequestEntityTooLarge", "")] * 1000
    task = asyncio.create_task(case.statuses.run())

    for said in range(1000):
        case.offer("a", said)
        await asyncio.sleep(0.01)
    task.cancel()

    assert case.tries <= 20


async def test_once_it_would_fit_it_is_written_within_a_second() -> None:
    case = Case()
    case.template("a")
    case.errors = [errors.of(413, "RequestEntityTooLarge", "")] * 8  # the next try would be after 25 s
    case.offer("a", 1)
    task = asyncio.create_task(case.statuses.run())
    await asyncio.sleep(0.1 * 2**7 + 0.1)

    case.offer("a", 2)
    await asyncio.sleep(CHANGED_SECONDS + 0.1)
    task.cancel()

    assert case.said("a") == {"said": 2}


async def test_namespaces_are_served_round_robin() -> None:
    case = Case()
    order: list[str] = []

    def make(namespace: str) -> Make:
        def written() -> StatusWrite | None:
            order.append(namespace)
            return None

        return written

    for number in range(50):
        case.statuses.offer(Target(CONFIG_TEMPLATES, "flood", f"t{number}"), make("flood"))
    case.statuses.offer(Target(CONFIG_TEMPLATES, "calm", "t"), make("calm"))

    await case.settle()

    assert "calm" in order[:2]


async def test_a_newer_offer_outlives_the_retry_of_an_older_one() -> None:
    case = Case()
    case.template("a")
    case.errors = [errors.UnavailableError(503, "Unavailable", "")]
    case.offer("a", 1)
    await case.settle()

    case.offer("a", 2)
    await case.settle()
    await case.settle()

    assert case.said("a") == {"said": 2}


async def test_a_mistake_in_one_write_harms_no_other() -> None:
    case = Case()
    case.template("a")

    def broken() -> StatusWrite | None:
        raise RuntimeError("a bug")

    case.statuses.offer(Target(CONFIG_TEMPLATES, HOME, "b"), broken)
    case.offer("a", 1)

    await case.settle()

    assert case.said("a") == {"said": 1}
