"""Content that the API server refuses to store: status reports it, and the content in effect stays."""

from __future__ import annotations

import asyncio

import pytest

from support.failing_writes import BROKEN, DENIED, QUOTA, Denying
from support.in_memory import Cluster, Operator, spec
from support.wave_rollouts import DARK, LOCK, calm, loud, progress, until, voices, waves
from trimtab.engine.content.snapshots import FRESH_SECONDS, SEEN_SECONDS
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_TEMPLATES, CONTROLLER_REVISIONS, POLICY_ROLLOUTS, USER_PREFERENCES


@pytest.fixture
def cluster(ann_and_bob: Cluster) -> Cluster:
    return ann_and_bob


@pytest.mark.parametrize("error", [QUOTA, BROKEN], ids=lambda error: str(error.status))
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_template_that_cannot_be_stored_delays_no_user(
    cluster: Cluster, error: errors.ApiError, restarted: bool
) -> None:
    api = Denying(cluster, CONTROLLER_REVISIONS, "create", error=error)
    if restarted:
        cluster.template(loud())
    async with Operator(cluster, api) as operator:
        cluster.template(loud())
        cluster.policy("lock", {"values": {"agent.temperature": 1}})
        await asyncio.sleep(60)
        cluster.preference("ann", {"session.minutes": 9})
        cluster.preference("new", {"session.minutes": 9})
        cluster.remove(USER_PREFERENCES, "bob")
        await asyncio.sleep(1)
        assert cluster.file("bob") is None
        for user in ("ann", "new"):
            assert '"minutes":9' in str(cluster.file(user))
            assert '"calm"' in str(cluster.file(user)), "what was accepted before"
            assert cluster.ready(USER_PREFERENCES, user) == ("True", "Accepted")
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "WriteFailed")
        for kind, name in ((CONFIG_TEMPLATES, "app"), (POLICY_ROLLOUTS, "lock")):
            assert error.message in cluster.message(kind, name)

        before = api.refused
        for minutes in range(10, 30):
            cluster.preference("ann", {"session.minutes": minutes})
            await asyncio.sleep(10)
        assert api.refused - before <= 20, "users' edits do not try it again"
        api.error = None
        await operator.quiet()
        assert voices(cluster) == ["loud", "loud"]
        assert '"loud"' in str(cluster.file("ann"))
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
        assert cluster.ready(POLICY_ROLLOUTS, "lock") == ("True", "Succeeded")


async def test_a_rollout_whose_new_content_cannot_be_stored_can_be_aborted(cluster: Cluster) -> None:
    api = Denying(cluster, CONTROLLER_REVISIONS, "create", error=None)

    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        assert voices(cluster) == ["bright", "calm"]

        api.error = QUOTA
        cluster.policy("lock", DARK, strategy=waves(soak="1h"))
        await asyncio.sleep(5)
        assert QUOTA.message in progress(cluster)["message"]

        cluster.act("Abort", "lock")
        await asyncio.sleep(5)
        assert voices(cluster) == ["calm", "calm"]


@pytest.mark.parametrize("error", [DENIED, BROKEN], ids=lambda error: str(error.status))
async def test_a_stored_snapshot_that_cannot_be_read_again_is_not_refused(
    cluster: Cluster, error: errors.ApiError
) -> None:
    api = Denying(cluster, CONTROLLER_REVISIONS, "get", error=None)

    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        before = progress(cluster)["target"]
        api.error = error
        await asyncio.sleep(SEEN_SECONDS + 60)
        cluster.template(loud())
        cluster.template(calm())
        cluster.policy("lock", LOCK, strategy=waves(soak="2h"))
        await asyncio.sleep(60)

        assert api.refused
        assert progress(cluster)["target"] == before
        assert voices(cluster) == ["bright", "calm"]
        assert cluster.ready(CONFIG_TEMPLATES, "app")[1] != "WriteFailed"


def content(voice: str) -> Body:
    keys = [*spec()["keys"][:2], {"name": "agent.voice", "type": "String", "default": voice}]
    return calm(keys=keys, revisionHistoryLimit=2)


def snapshots(cluster: Cluster) -> set[str]:
    return {body["metadata"]["name"] for body in cluster.memory.objects(CONTROLLER_REVISIONS)}


@pytest.mark.parametrize("error", [DENIED, BROKEN], ids=lambda error: str(error.status))
async def test_a_snapshot_that_may_not_be_deleted_keeps_no_other_one(
    cluster: Cluster, error: errors.ApiError
) -> None:
    (kept,) = snapshots(cluster)
    api = Denying(cluster, CONTROLLER_REVISIONS, "delete", kept, error=error)

    async with Operator(cluster, api) as operator:
        for number in range(6):
            cluster.template(content(f"voice {number}"))
            await asyncio.sleep(FRESH_SECONDS + 60)
        assert api.refused
        assert len(snapshots(cluster) - {kept}) <= 3

        api.error = None
        await operator.quiet()
        assert kept not in snapshots(cluster)


async def test_a_policy_whose_status_is_refused_has_its_content_stored_once(cluster: Cluster) -> None:
    api = Denying(cluster, POLICY_ROLLOUTS, "status")
    async with Operator(cluster, api) as operator:
        before = len(cluster.memory.writes)
        cluster.policy("lock", LOCK)
        await asyncio.sleep(600)
        assert [write.verb for write in cluster.memory.writes[before:]] == ["create"]
        api.error = None
        await operator.quiet()
        assert voices(cluster) == ["bright", "bright"]
