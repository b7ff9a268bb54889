"""The steps of the demo. Each step acts, waits for the effect, and shows the real objects."""

from __future__ import annotations

from act_platform import Leaving, Platform
from act_policy import Calmer
from act_rollback import Newer
from act_users import Users
from mirror import Cluster
from stage import Stage
from telling import Telling


async def tell_all(stage: Stage, cluster: Cluster, tell: Telling) -> None:
    """The acts, in order.

    :raises DemoError: an expected effect did not occur.
    """
    users = Users(stage, cluster, tell)
    await users.begin()
    users.rendered()
    await users.edit()
    await users.mistake()
    await users.explain()
    await users.drift()

    platform = Platform(stage, cluster, tell)
    await platform.restart()
    await platform.bad_template()

    calmer = Calmer(stage, cluster, tell)
    await calmer.canary()
    await calmer.approval()
    await calmer.everybody()
    await calmer.whose()

    newer = Newer(stage, cluster, tell)
    await newer.fails()
    await newer.again()

    leaving = Leaving(stage, cluster, tell)
    await leaving.leave()
    if not stage.keep:
        await leaving.remove()
