"""Groups whose RenderedGroup the API server refuses to write: they stay where they are, and their users are served."""

from __future__ import annotations

import asyncio

import pytest

from support.failing_writes import BROKEN, DENIED, Denying
from support.in_memory import Cluster, Operator
from support.wave_rollouts import LOCK, calm, loud, progress, until, voices, waves
from trimtab.engine.groups.delivery import PATIENCE
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES, Resource


@pytest.fixture
def cluster(ann_and_bob: Cluster) -> Cluster:
    return ann_and_bob


@pytest.mark.parametrize("error", [DENIED, BROKEN], ids=lambda error: str(error.status))
@pytest.mark.parametrize("restarted", [False, True])
async def test_a_group_that_a_policy_cannot_reach_serves_its_users(
    cluster: Cluster, error: errors.ApiError, restarted: bool
) -> None:
    api = Denying(cluster, RENDERED_GROUPS, "apply status", "app-free", error=error)
    if restarted:
        template = calm()
        template["keys"][0] = {**template["keys"][0], "default": 0.9}
        cluster.template(template)
    async with Operator(cluster, api):
        cluster.policy("lock", LOCK)
        await asyncio.sleep(60)
        cluster.preference("ann", {"session.minutes": 9})
        cluster.preference("new", {"session.minutes": 9})
        cluster.remove(USER_PREFERENCES, "bob")
        await asyncio.sleep(2)
        assert cluster.file("bob") is None
        for user in ("ann", "new"):
            assert '"minutes":9' in str(cluster.file(user))
            assert '"calm"' in str(cluster.file(user))
            assert cluster.ready(USER_PREFERENCES, user) == ("True", "Accepted")
        assert voices(cluster) == ["calm", "bright"], "only the group that can be moved is"
        assert progress(cluster)["phase"] == "Progressing"
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "WriteFailed")
        assert error.message in cluster.message(CONFIG_TEMPLATES, "app")

        before = api.refused
        await asyncio.sleep(300)
        assert api.refused - before <= 100
        api.error = None
        await until(cluster, "Succeeded")
        assert voices(cluster) == ["bright", "bright"]
        assert '"bright"' in str(cluster.file("ann"))


async def test_users_of_a_group_that_cannot_be_created_are_informed(cluster: Cluster) -> None:
    api = Denying(cluster, RENDERED_GROUPS, "apply status", "app-more")
    async with Operator(cluster, api) as operator:
        template = calm()
        cluster.template({**template, "groups": [*template["groups"], {"name": "more"}]})
        cluster.preference("new", group="more")
        await asyncio.sleep(10)
        assert cluster.ready(USER_PREFERENCES, "new") == ("False", "WriteFailed")
        assert DENIED.message in cluster.message(USER_PREFERENCES, "new")
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "WriteFailed")
        cluster.preference("ann", {"session.minutes": 9})
        await asyncio.sleep(1)
        assert '"minutes":9' in str(cluster.file("ann"))

        api.error = None
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "new") == ("True", "Accepted")
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


@pytest.mark.parametrize("move", [True, False], ids=["it may not move", "an output may not go"])
async def test_a_refusal_with_a_changing_message_is_not_written_each_time(
    cluster: Cluster, move: bool
) -> None:
    class Numbering(Denying):
        """A webhook that says the number of the request; it gives up before a test would never end."""

        def _deny(self, verb: str, resource: Resource, name: str) -> None:
            if self.refused < 500:
                self.error = errors.ForbiddenError(403, "Forbidden", f"request {self.refused} is denied")
                super()._deny(verb, resource, name)

        async def replace_status(
            self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
        ) -> Body:
            if move and resource is RENDERED_GROUPS and status["currentRevision"] > 1:
                self._deny("move", resource, name)
            return await super().replace_status(resource, namespace, name, status, version=version)

    api = Numbering(cluster, RENDERED_GROUPS if move else CONFIG_MAPS, "move delete", "app-free")
    async with Operator(cluster, api) as operator:
        if move:
            cluster.template(loud())
        else:
            cluster.template({**calm(), "groups": calm()["groups"][1:]})
        await asyncio.sleep(60)
        assert "request" in cluster.message(RENDERED_GROUPS, "app-free")
        assert api.refused < 100
        api.refused = 500
        await operator.quiet()
        assert voices(cluster)[0] == "loud" if move else cluster.find(RENDERED_GROUPS, "app-free") is None


class Losing(Denying):
    """Loses the answer to the next write of a RenderedGroup's status, and denies ConfigMaps while there is an error."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster, CONFIG_MAPS, "apply", "*-users-*", error=None)
        self.loses = False

    async def replace_status(
        self, resource: Resource, namespace: str | None, name: str, status: Body, *, version: str
    ) -> Body:
        made = await super().replace_status(resource, namespace, name, status, version=version)
        if self.loses and resource is RENDERED_GROUPS:
            self.loses = False
            raise errors.UnavailableError(0, "NoAnswer", "the connection was lost")
        return made


async def test_a_group_that_was_updated_without_a_response_is_not_rolled_back_before_its_content(
    cluster: Cluster,
) -> None:
    api = Losing(cluster)
    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        assert '"bright"' in str(cluster.file("ann"))
        api.loses, api.error = True, BROKEN
        cluster.act("Abort", "lock")
        while api.refused < PATIENCE - 2:
            await asyncio.sleep(0.01)
            assert progress(cluster)["phase"] in ("Soaking", "RollingBack")
        assert not api.loses
        assert '"bright"' in str(cluster.file("ann"))

        api.error = None
        await until(cluster, "RolledBack")
        assert '"calm"' in str(cluster.file("ann"))
