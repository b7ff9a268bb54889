"""Rollouts are independent: refused writes, lost responses and slow previews of one delay no other."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from support.failing_writes import REFUSALS, Denying
from support.in_memory import Cluster, Operator, rendered, settled
from support.wave_rollouts import (
    APP,
    CLAMP,
    LOCK,
    REST,
    Port,
    calm,
    event_reasons,
    progress,
    until,
    voices,
    waves,
)
from trimtab.engine.rollouts.preview import Previews
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONTROLLER_REVISIONS,
    EVENTS,
    POLICY_ROLLOUTS,
    ROLLOUT_ACTIONS,
    USER_PREFERENCES,
    Resource,
)


class Refusing(Port):
    """It takes no status of what is called aaa, and no answer to actions on it."""

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        if name == "aaa" or resource is ROLLOUT_ACTIONS:
            raise errors.InvalidError(422, "Invalid", "not like this")
        return await self.memory.replace_status(resource, namespace, name, status, version=version)


class Silent(Port):
    """It stores no status of a PolicyRollout until ``calm``."""

    calm = False

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        if resource is POLICY_ROLLOUTS and not self.calm:
            raise errors.UnavailableError(503, "Unavailable", "not now")
        return await self.memory.replace_status(resource, namespace, name, status, version=version)


class Losing(Port):
    """The answer to aaa's first start is lost on its way."""

    lost = False

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        body = await self.memory.replace_status(resource, namespace, name, status, version=version)
        if name == "aaa" and status.get("underway") and not self.lost:
            self.lost = True
            raise errors.UnavailableError(0, "Lost", "no answer")
        return body


class Late:
    """A store that hears of everything some seconds later."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def put(self, item: Any) -> None:
        asyncio.get_running_loop().call_later(5, self.store.put, item)

    def drop(self, item: Any) -> None:
        asyncio.get_running_loop().call_later(5, self.store.drop, item)


class Behind(Operator):
    async def _kopf(self, resource: Resource, store: Any) -> None:
        await super()._kopf(resource, Late(store))


async def test_a_rollout_whose_status_is_refused_stops_no_other() -> None:
    cluster = await rendered(calm())
    async with Operator(cluster, Refusing(cluster.memory)):
        cluster.policy("aaa", CLAMP)
        cluster.policy("lock", LOCK, strategy=waves(soak="10s"))
        cluster.act("Pause", "lock")
        await until(cluster, "Paused")
        cluster.act("Resume", "lock")
        await until(cluster, "Succeeded")
        assert voices(cluster) == ["bright", "bright"]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
async def test_a_refused_action_status_delays_no_other_action_and_no_event(error: errors.ApiError) -> None:
    class Deaf(Port):
        async def replace_status(self, resource: Resource, *args: Any, **options: Any) -> Body:
            if resource is ROLLOUT_ACTIONS and args[1] == refused:
                raise error
            return await self.memory.replace_status(resource, *args, **options)

    cluster = await rendered(calm())
    async with Operator(cluster, Deaf(cluster.memory)):
        cluster.policy("lock", LOCK, strategy=waves(soak="10m"))
        await until(cluster, "Soaking")
        refused = cluster.act("Retry", "lock")
        answered = cluster.act("Pause", "lock")
        await asyncio.sleep(5)
        assert progress(cluster)["phase"] == "Paused"
        assert cluster.ready(ROLLOUT_ACTIONS, refused) == ("", "")
        assert cluster.ready(ROLLOUT_ACTIONS, answered) == ("True", "Accepted")
        assert event_reasons(cluster)[-1] == "RolloutPaused"


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
async def test_a_refused_action_status_is_written_once_it_is_accepted(error: errors.ApiError) -> None:
    cluster = await rendered(calm(), lock=LOCK)
    api = Denying(cluster, ROLLOUT_ACTIONS, "status", error=error)
    async with Operator(cluster, api):
        asked = [cluster.act("Pause", "lock"), cluster.act("Pause", "nobody")]
        await asyncio.sleep(600)
        assert api.refused < 500
        api.error = None
        await asyncio.sleep(2 * REST)
        assert [cluster.ready(ROLLOUT_ACTIONS, name)[0] for name in asked] == ["False", "False"]


@pytest.mark.parametrize("status", [400, 401, 403, 405, 413, 418, 422])
@pytest.mark.parametrize("verb", ["get", "create"])
async def test_a_refused_event_delays_no_audit_line(
    verb: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = Cluster()
    cluster.template(calm())
    error = errors.of(status, "Denied", "by a webhook")

    async with Operator(cluster, Denying(cluster, EVENTS, verb, error=error)):
        cluster.policy("lock", LOCK, strategy=waves(soak="10s"))
        await until(cluster, "Succeeded")
    told = [vars(record)["what"] for record in caplog.records if hasattr(record, "audit")]
    listed = [each["reason"] for each in progress(cluster)["transitions"]]

    assert told[::-1] == listed
    assert len(told) > 3


async def test_no_other_rollout_starts_in_groups_of_a_start_whose_response_was_lost() -> None:
    cluster = await rendered(calm())

    async with Behind(cluster, Losing(cluster.memory)) as operator:
        for name, policy in (("aaa", CLAMP), ("lock", LOCK)):
            cluster.policy(name, policy, strategy=waves(soak="1m"))
        while progress(cluster).get("phase") != "Succeeded":
            under_way = [name for name in ("aaa", "lock") if progress(cluster, name).get("underway")]
            assert len(under_way) < 2
            await asyncio.sleep(0.1)
        assert progress(cluster, "aaa")["phase"] == "Succeeded"

        await operator.quiet()


async def test_an_undo_during_another_rollout_completes_and_so_does_the_other() -> None:
    cluster = await rendered(calm(strategy=waves(soak="2m")), lock=LOCK)
    async with Operator(cluster):
        twice = [{**group, "values": {"session.minutes": 7}} for group in calm()["groups"]]
        cluster.template(calm(strategy=waves(soak="2m"), groups=twice))
        await until(cluster, "Soaking", *APP)
        cluster.act("Undo", "lock")
        await asyncio.sleep(1800)
        assert "Forward" not in (progress(cluster).get("underway"), progress(cluster, *APP).get("underway"))
        assert progress(cluster, *APP)["phase"] == "Succeeded"


async def test_work_that_the_write_guard_refused_temporarily_is_retried() -> None:
    may, cluster = [True], Cluster()
    cluster.template(calm())
    cluster.preference("alice")
    await settled(cluster)

    async with Operator(cluster, may_write=lambda: may[0]) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Soaking")
        may[0] = False
        cluster.preference("alice", {"session.minutes": -3})
        await asyncio.sleep(200)
        may[0] = True
        await until(cluster, "Succeeded")
        await operator.quiet()

        assert cluster.ready(USER_PREFERENCES, "alice") == ("False", "Invalid")


async def test_a_slow_preview_delays_no_other_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = await rendered(calm())
    real = Previews.of

    async def slow(previews: Previews, source: Any, *args: Any) -> Any:
        await asyncio.sleep(600 if source.name == "slow" else 0)
        return await real(previews, source, *args)

    monkeypatch.setattr(Previews, "of", slow)
    async with Operator(cluster):
        cluster.policy("lock", LOCK, groups=["free"], strategy={"waves": [{"name": "all", "soak": "1h"}]})
        await until(cluster, "Soaking")
        cluster.policy("slow", CLAMP, groups=["paid"])
        await asyncio.sleep(REST)
        cluster.act("Abort", "lock")
        await asyncio.sleep(REST)
        assert (progress(cluster)["phase"], voices(cluster)) == ("RolledBack", ["calm", "calm"])
        assert progress(cluster, "slow")["phase"] == "Pending"
        await until(cluster, "Succeeded", "slow")


async def test_content_of_a_spec_that_is_refused_before_it_ever_started_is_deleted() -> None:
    cluster = Cluster()
    cluster.template(calm())
    await settled(cluster)
    port = Silent(cluster.memory)

    def stored() -> list[str]:
        found = (body["metadata"]["name"] for body in cluster.memory.objects(CONTROLLER_REVISIONS))
        return [name for name in found if name.startswith("lock-policy-")]

    async with Operator(cluster, port):
        cluster.policy("lock", LOCK, strategy=waves())
        await asyncio.sleep(30)
        assert len(stored()) == 1

        cluster.policy("lock", LOCK, groups=["nobody"])
        port.calm = True
        await until(cluster, "Rejected")
        await asyncio.sleep(600)
        assert not stored()
