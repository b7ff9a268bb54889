"""Groups that are no more, where the API server refuses to let some of their objects go."""

from __future__ import annotations

import asyncio

import pytest

from support.failing_writes import Denying
from support.in_memory import Cluster, Operator, settled
from support.wave_rollouts import calm
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES

HELD = "app-u-ann"


def outputs(cluster: Cluster) -> set[str]:
    return {body["metadata"]["name"] for body in cluster.outputs()}


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
@pytest.mark.parametrize("whole", [False, True], ids=["group", "template"])
async def test_one_object_that_may_not_go_keeps_no_other(policy: str, whole: bool) -> None:
    cluster = Cluster()
    template = calm(users={"delivery": "PerUser"}, deletionPolicy=policy)
    cluster.template(template)
    for user in ("ann", "bob", "cid"):
        cluster.preference(user)
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "patch delete", HELD)
    async with Operator(cluster, api) as operator:
        if whole:
            cluster.remove(CONFIG_TEMPLATES, "app")
        else:
            cluster.template({**template, "groups": template["groups"][1:]})
        await asyncio.sleep(5)
        assert outputs(cluster) == {HELD} | (set() if whole else {"app-paid"})
        reason = "TemplateNotFound" if whole else "GroupNotFound"
        for user in ("ann", "bob"):
            assert cluster.ready(USER_PREFERENCES, user) == ("False", reason)
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("False", "WriteFailed")
        assert HELD in cluster.message(RENDERED_GROUPS, "app-free")

        api.error = None
        await operator.quiet()
        assert outputs(cluster) == (set() if whole else {"app-paid"})
        assert cluster.find(RENDERED_GROUPS, "app-free") is None
