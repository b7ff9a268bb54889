"""Rollouts beside others, and beside what others write: nobody waits for a neighbour's trouble."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from support.failing_writes import REFUSALS, Denying
from support.in_memory import Cluster, Operator, settled
from support.wave_rollouts import (
    CLAMP,
    LOCK,
    REST,
    Port,
    groups,
    happened,
    hearing,
    loud,
    pointer,
    progress,
    rewrite,
    share,
    until,
    voice,
    voices,
    waves,
)
from trimtab.engine.rollouts.preview import Previews
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    EVENTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
    USER_PREFERENCES,
    Resource,
)

APP = ("app", CONFIG_TEMPLATES)


class Refusing(Port):
    """It takes no status of what is called aaa, and no answer to actions on it."""

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        if name == "aaa" or resource is ROLLOUT_ACTIONS:
            raise errors.InvalidError(422, "Invalid", "not like this")
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
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster, Refusing(cluster.memory)) as operator:
        cluster.policy("aaa", CLAMP)
        cluster.policy("lock", LOCK, strategy=waves(soak="10s"))
        cluster.act("Pause", "lock")
        await until(operator, cluster, "Paused")
        cluster.act("Resume", "lock")
        await until(operator, cluster, "Succeeded")
        assert voices(cluster) == ["bright", "bright"]


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
async def test_an_answer_that_is_refused_keeps_no_other_one_and_no_event(error: errors.ApiError) -> None:
    class Deaf(Port):
        async def replace_status(self, resource: Resource, *args: Any, **options: Any) -> Body:
            if resource is ROLLOUT_ACTIONS and args[1] == refused:
                raise error
            return await self.memory.replace_status(resource, *args, **options)

    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster, Deaf(cluster.memory)) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="10m"))
        await until(operator, cluster, "Soaking")
        refused = cluster.act("Retry", "lock")
        answered = cluster.act("Pause", "lock")
        await asyncio.sleep(5)
        assert progress(cluster)["phase"] == "Paused"
        assert cluster.ready(ROLLOUT_ACTIONS, refused) == ("", "")
        assert cluster.ready(ROLLOUT_ACTIONS, answered) == ("True", "Accepted")
        assert happened(cluster)[-1] == "RolloutPaused"


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
async def test_an_answer_that_was_refused_is_given_once_it_can_be(error: errors.ApiError) -> None:
    cluster = Cluster()
    cluster.template(groups())
    cluster.policy("lock", LOCK)
    await settled(cluster)
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
async def test_an_event_that_is_refused_keeps_no_audit_line(
    verb: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cluster = Cluster()
    cluster.template(groups())
    error = errors.of(status, "Denied", "by a webhook")
    async with Operator(cluster, Denying(cluster, EVENTS, verb, error=error)) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="10s"))
        await until(operator, cluster, "Succeeded")
    told = [vars(record)["what"] for record in caplog.records if hasattr(record, "audit")]
    listed = [each["reason"] for each in progress(cluster)["transitions"]]
    assert told[::-1] == listed
    assert len(told) > 3


async def test_nobody_else_starts_in_groups_of_a_start_whose_answer_was_lost() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Behind(cluster, Losing(cluster.memory)) as operator:
        for name, policy in (("aaa", CLAMP), ("lock", LOCK)):
            cluster.policy(name, policy, strategy=waves(soak="1m"))
        while progress(cluster).get("phase") != "Succeeded":
            under_way = [name for name in ("aaa", "lock") if progress(cluster, name).get("underway")]
            assert len(under_way) < 2
            await asyncio.sleep(0.1)
        assert progress(cluster, "aaa")["phase"] == "Succeeded"
        await operator.quiet()


async def test_an_undo_in_mid_rollout_of_another_ends_and_so_does_that() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves(soak="2m")))
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        twice = [{**group, "values": {"session.minutes": 7}} for group in groups()["groups"]]
        cluster.template(groups(strategy=waves(soak="2m"), groups=twice))
        await until(operator, cluster, "Soaking", *APP)
        cluster.act("Undo", "lock")
        await asyncio.sleep(1800)
        assert "Forward" not in (progress(cluster).get("underway"), progress(cluster, *APP).get("underway"))
        assert progress(cluster, *APP)["phase"] == "Succeeded"


async def test_a_share_is_of_the_same_users_while_another_rollout_goes_back() -> None:
    cluster = Cluster()
    cluster.template(groups())
    for number in range(40):
        cluster.preference(f"user-{number}")
    cluster.policy("aaa", CLAMP)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=share(50, "free"))
        await until(operator, cluster, "Soaking")
        before, writes = hearing(cluster, "bright", 40), len(cluster.memory.writes)
        cluster.act("Undo", "aaa")
        await until(operator, cluster, "RolledBack", "aaa")
        await asyncio.sleep(REST)
        assert hearing(cluster, "bright", 40) == before
        assert not [write for write in cluster.memory.writes[writes:] if "-users-" in write.name]
        await until(operator, cluster, "Succeeded")


async def test_nothing_is_measured_for_a_rollout_that_is_deleted() -> None:
    gate = {"name": "probe", "interval": "10s", "http": {"url": "http://nowhere.example/"}, "dryRun": True}
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(gates=[gate]))
        await until(operator, cluster, "Soaking")
        cluster.remove(POLICY_ROLLOUTS, "lock")
        await asyncio.sleep(REST)
        assert not operator.engine.gates._running
        assert not operator.engine.watching._evidence


async def test_a_look_that_takes_long_is_not_made_again_for_others_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    cluster.template(groups(strategy=waves()))
    await settled(cluster)
    real, looks = Previews.of, []

    async def slow(*args: Any) -> Any:
        looks.append(args)
        await asyncio.sleep(10)
        return await real(*args)

    monkeypatch.setattr(Previews, "of", slow)
    async with Operator(cluster) as operator:
        cluster.template(loud(strategy=waves()))
        for number in range(40):  # the template's status counts them
            cluster.preference(f"user-{number}")
            await asyncio.sleep(1)
        await until(operator, cluster, "Soaking", *APP)
    assert len(looks) == 1


async def test_what_met_the_fence_for_a_moment_is_taken_up_again() -> None:
    may, cluster = [True], Cluster()
    cluster.template(groups())
    cluster.preference("alice")
    await settled(cluster)
    async with Operator(cluster, may_write=lambda: may[0]) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(operator, cluster, "Soaking")
        may[0] = False
        cluster.preference("alice", {"session.minutes": -3})
        await asyncio.sleep(200)
        may[0] = True
        await until(operator, cluster, "Succeeded")
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "alice") == ("False", "Invalid")


async def test_a_preview_that_takes_long_keeps_nobody_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    real = Previews.of

    async def slow(previews: Previews, source: Any, *args: Any) -> Any:
        await asyncio.sleep(600 if source.name == "slow" else 0)
        return await real(previews, source, *args)

    monkeypatch.setattr(Previews, "of", slow)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, groups=["free"], strategy={"waves": [{"name": "all", "soak": "1h"}]})
        await until(operator, cluster, "Soaking")
        cluster.policy("slow", CLAMP, groups=["paid"])
        await asyncio.sleep(REST)
        cluster.act("Abort", "lock")
        await asyncio.sleep(REST)
        assert (progress(cluster)["phase"], voices(cluster)) == ("RolledBack", ["calm", "calm"])
        assert progress(cluster, "slow")["phase"] == "Pending"
        await until(operator, cluster, "Succeeded", "slow")


@pytest.mark.parametrize("names", ["groups", "wave"])
async def test_a_group_that_leaves_the_template_in_mid_flight_is_skipped(names: str) -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    named = {"groups": ["free", "paid"]} if names == "groups" else {}
    waved = {
        "waves": [{"name": "canary", "groups": ["free"], "soak": "10m"}, {"name": "late", "groups": ["paid"]}]
    }
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves() if named else waved, **named)
        await until(operator, cluster, "Soaking")
        smaller = groups()
        cluster.template(smaller | {"groups": smaller["groups"][:1]})

        await asyncio.sleep(4 * REST + 1800)

        status = progress(cluster)
        assert (status.get("underway"), status["stable"]["hash"]) == (None, status["target"]["hash"])
        assert [o["metadata"]["name"] for o in cluster.memory.objects(RENDERED_GROUPS)] == ["app-free"]
        assert cluster.ready(CONFIG_TEMPLATES, "app")[0] == "True"


def _maker(cluster: Cluster, group: str = "free") -> tuple[int, str | None, str]:
    """The number, by and reason of a group's present revision."""
    status = (cluster.find(RENDERED_GROUPS, f"app-{group}") or {})["status"]
    entry = next(e for e in status["revisions"] if e["number"] == status["currentRevision"])
    return entry["number"], entry.get("by"), entry["reason"]


async def test_a_templates_change_is_never_said_to_be_the_policys_that_moved_the_group_before() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    cluster.policy("lock", LOCK)
    await settled(cluster)
    assert _maker(cluster) == (2, "PolicyRollout lock", "PolicyRollout lock generation 1")
    cluster.template(loud())
    await settled(cluster)
    assert _maker(cluster) == (3, None, "ConfigTemplate generation 2")
    cluster.template(groups())  # back to content that the policy made first
    await settled(cluster)
    assert _maker(cluster) == (2, None, "ConfigTemplate generation 3")
    cluster.remove(POLICY_ROLLOUTS, "lock")
    await settled(cluster)
    assert _maker(cluster) == (1, "PolicyRollout lock", "PolicyRollout lock was deleted")


async def test_what_a_group_is_taken_back_to_keeps_who_made_it() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    cluster.policy("lock", LOCK)
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("clamp", CLAMP, strategy=waves())
        await until(operator, cluster, "Soaking", "clamp")
        assert _maker(cluster)[1] == "PolicyRollout clamp"
        cluster.act("Abort", "clamp")
        await until(operator, cluster, "RolledBack", "clamp")
        await operator.quiet()
    assert _maker(cluster) == (2, "PolicyRollout lock", "PolicyRollout lock generation 1")


async def test_a_policy_whose_groups_have_all_left_the_template_keeps_it_waiting_for_nothing() -> None:
    cluster = Cluster()
    cluster.template(groups(strategy={}))
    await settled(cluster)
    async with Operator(cluster) as operator:
        soak = {"waves": [{"name": "all", "soak": "10m"}]}
        cluster.policy("lock", LOCK, strategy=soak, groups=["free"])
        await until(operator, cluster, "Soaking")
        without = groups(strategy={})
        cluster.template(without | {"groups": without["groups"][1:]})

        await asyncio.sleep(1200)
        assert progress(cluster, *APP)["phase"] == "Succeeded"
        assert [o["metadata"]["name"] for o in cluster.memory.objects(RENDERED_GROUPS)] == ["app-paid"]
        assert progress(cluster).get("underway") is None


async def test_a_template_may_drop_a_group_that_a_policy_in_force_names() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    cluster.policy("lock", LOCK, groups=["free", "paid"])
    await settled(cluster)
    smaller = groups()
    cluster.template(smaller | {"groups": smaller["groups"][1:]})
    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert progress(cluster)["phase"] == "Rejected"
    assert [o["metadata"]["name"] for o in cluster.memory.objects(RENDERED_GROUPS)] == ["app-paid"]
    assert voice(cluster, "paid") == "bright"


async def test_what_succeeds_is_stable_also_where_the_next_rollout_starts_in_the_same_moment() -> None:
    cluster = Cluster()
    cluster.template(groups())
    await settled(cluster)
    async with Operator(cluster) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(operator, cluster, "Soaking")
        cluster.policy("next", {"values": {"session.minutes": 44}}, strategy=waves(soak="1h"))
        await until(operator, cluster, "Succeeded")
        await until(operator, cluster, "Soaking", "next")
        assert [pointer(cluster, group) for group in ("free", "paid")] == [(3, 2), (2, 2)]

        rewrite(cluster, {})
        await asyncio.sleep(REST)
        assert voices(cluster) == ["bright", "bright"]
        cluster.act("Abort", "next")
        await until(operator, cluster, "RolledBack", "next")
        await operator.quiet()
        assert [pointer(cluster, group) for group in ("free", "paid")] == [(2, 2), (2, 2)]
