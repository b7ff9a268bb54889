"""Content that the API server refuses to store: whoever wrote it is told, and what is served lives on."""

from __future__ import annotations

import asyncio

import pytest

from refusing import BROKEN, QUOTA
from simulation import Cluster, Operator, settled
from trimtab.engine.fence import Fence
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    POLICY_ROLLOUTS,
    USER_PREFERENCES,
    Resource,
)
from waving import DARK, LOCK, groups, loud, progress, until, voices, waves


class Full(Fence):
    """Refuses every new ControllerRevision, for as long as there is an error."""

    def __init__(self, cluster: Cluster, error: errors.ApiError | None = None) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.error, self.refused = error, 0

    async def create(self, resource: Resource, body: Body) -> Body:
        if resource is CONTROLLER_REVISIONS and self.error is not None:
            self.refused += 1
            raise self.error
        return await super().create(resource, body)


@pytest.fixture
async def cluster() -> Cluster:
    cluster = Cluster()
    cluster.template(groups())
    for user in ("ann", "bob"):
        cluster.preference(user, {"session.minutes": 5})
    await settled(cluster)
    return cluster


@pytest.mark.parametrize("error", [QUOTA, BROKEN], ids=lambda error: str(error.status))
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_template_that_cannot_be_stored_holds_up_no_user(
    cluster: Cluster, error: errors.ApiError, restarted: bool
) -> None:
    api = Full(cluster, error)
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
    api = Full(cluster)
    async with Operator(cluster, api) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(operator, cluster, "Soaking")
        assert voices(cluster) == ["bright", "calm"]
        api.error = QUOTA
        cluster.policy("lock", DARK, strategy=waves(soak="1h"))
        await asyncio.sleep(5)
        assert QUOTA.message in progress(cluster)["message"]
        cluster.act("Abort", "lock")
        await asyncio.sleep(5)
        assert voices(cluster) == ["calm", "calm"]
