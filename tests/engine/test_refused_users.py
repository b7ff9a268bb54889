"""Per-user objects that cannot be written: their users' status reports it, and no other user waits."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from support.failing_writes import Denying
from support.in_memory import HOME, Cluster, Operator, settled
from support.wave_rollouts import DARK, LOCK, REST, calm, progress, until, voices, waves
from trimtab.engine.scheduling.retry import CONFLICT_SECONDS
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES, Resource

PER_USER = {"delivery": "PerUser"}
QUOTA = errors.ForbiddenError(403, "Forbidden", "exceeded quota: maps")
BUSY = errors.UnavailableError(429, "TooManyRequests", "try later")


def served(cluster: Cluster, user: str, namespace: str = HOME) -> Body | None:
    """A user's own document."""
    body = cluster.find(CONFIG_MAPS, f"app-u-{user}", namespace)
    return json.loads(body["data"]["prefs.json"]) if body else None


def minutes(cluster: Cluster, user: str) -> int:
    return int((served(cluster, user) or {})["session"]["minutes"])


def voice(cluster: Cluster, user: str, namespace: str = HOME) -> str:
    return str((served(cluster, user, namespace) or {})["agent"]["voice"])


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.template(calm(users=PER_USER))
    for user in ("ann", "bob"):
        cluster.preference(user)
    return cluster


@pytest.mark.parametrize(
    "error",
    [
        QUOTA,
        errors.NotFoundError(404, "NotFound", "namespaces tenant not found"),
        errors.InvalidError(422, "Invalid", "denied by a policy"),
        errors.ConflictError(409, "Conflict", "denied by a webhook"),
        errors.UnavailableError(500, "InternalError", "failed calling webhook"),
        BUSY,
    ],
    ids=lambda error: str(error.status),
)
async def test_a_user_whose_object_stays_refused_is_informed_and_no_other_waits(
    cluster: Cluster, error: errors.ApiError
) -> None:
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-evil", error=error)
    async with Operator(cluster, api) as operator:
        cluster.preference("evil")
        cluster.preference("ann", {"session.minutes": 9})
        await operator.quiet()

        assert cluster.ready(USER_PREFERENCES, "evil") == ("False", "WriteFailed")
        said = cluster.message(USER_PREFERENCES, "evil")
        assert f"ConfigMap {HOME}/app-u-evil" in said
        assert error.reason in said
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")
        assert minutes(cluster, "ann") == 9
        cluster.preference("ann", {"session.minutes": 10})
        cluster.remove(USER_PREFERENCES, "bob")
        await asyncio.sleep(1)
        assert minutes(cluster, "ann") == 10
        assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
        assert served(cluster, "bob") is None

        api.error = None
        await asyncio.sleep(CONFLICT_SECONDS + 1)
        assert cluster.ready(USER_PREFERENCES, "evil") == ("True", "Accepted")
        assert served(cluster, "evil") is not None


async def test_an_abort_reaches_a_group_with_a_user_whose_object_is_refused(cluster: Cluster) -> None:
    await settled(cluster)
    async with Operator(cluster, Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-evil", error=QUOTA)):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        cluster.preference("evil")
        await asyncio.sleep(REST)
        assert voice(cluster, "ann") == "bright"
        cluster.act("Abort", "lock")
        await until(cluster, "RolledBack")

        assert voices(cluster) == ["calm", "calm"]
        assert voice(cluster, "ann") == "calm"


async def test_a_wave_continues_without_a_user_whose_update_is_refused(cluster: Cluster) -> None:
    await settled(cluster)
    async with Operator(cluster, Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-ann", error=QUOTA)):
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Succeeded")

        assert (voice(cluster, "ann"), voice(cluster, "bob")) == ("calm", "bright")
        assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "WriteFailed")


async def test_a_temporary_refusal_is_retried_soon_and_the_group_waits_for_it(cluster: Cluster) -> None:
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-ann", error=BUSY)
    async with Operator(cluster, api) as operator:
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await asyncio.sleep(1)
        assert progress(cluster)["phase"] == "Progressing"
        api.error = None
        await asyncio.sleep(2)

        assert progress(cluster)["phase"] == "Soaking"
        assert voice(cluster, "ann") == "bright"
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_one_user_s_fault_that_does_not_pass_is_never_the_group_s(cluster: Cluster) -> None:
    await settled(cluster)
    said = set()
    async with Operator(cluster, Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-ann", error=BUSY)):
        cluster.preference("ann", {"session.minutes": 9})
        for _ in range(600):
            await asyncio.sleep(0.1)
            said.add(cluster.ready(RENDERED_GROUPS, "app-free"))

    assert said == {("True", "Rendered")}


async def test_an_object_that_may_not_be_deleted_delays_no_other(cluster: Cluster) -> None:
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-ann", error=QUOTA)
    async with Operator(cluster, api) as operator:
        cluster.remove(USER_PREFERENCES, "ann")
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Succeeded")
        assert voice(cluster, "bob") == "bright"

        api.error = None
        await operator.quiet()
        assert served(cluster, "ann") is None


async def test_refused_objects_are_retried_together_and_rarely(cluster: Cluster) -> None:
    """However often their users, and others, edit meanwhile."""
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-ann", error=QUOTA)
    async with Operator(cluster, api):
        for number in range(1, 40):
            cluster.preference("ann", {"session.minutes": number})
            cluster.preference("bob", {"session.minutes": number})
            await asyncio.sleep(1)
        before = api.refused
        await asyncio.sleep(20 * CONFLICT_SECONDS)

        assert 15 <= api.refused - before <= 21
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


@pytest.mark.parametrize(
    "error", [QUOTA, errors.UnavailableError(500, "InternalError", "failed calling webhook")]
)
async def test_a_rollout_that_reaches_no_user_does_not_succeed(
    cluster: Cluster, error: errors.ApiError
) -> None:
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "*-u-*", error=None)
    async with Operator(cluster, api) as operator:
        await operator.quiet()
        api.error = error
        cluster.policy("lock", LOCK, strategy=waves(soak="1s"))
        await asyncio.sleep(300)
        assert progress(cluster)["phase"] == "Progressing"
        assert error.reason in progress(cluster)["message"]

        api.error = None
        await until(cluster, "Succeeded")
        assert voice(cluster, "ann") == "bright"


@pytest.mark.parametrize("others", [1, 3])
async def test_one_tenant_with_most_users_fails_no_rollout(others: int) -> None:
    """Whoever refuses their objects in their namespace, or whatever they write."""
    cluster = Cluster(HOME, "mallory", "oscar")
    template = calm(users=PER_USER)
    template["groups"][0]["preferenceNamespaceSelector"] = {}
    cluster.template(template)
    for number in range(8):
        cluster.preference(f"mallory-{number}", namespace="mallory")
    for number in range(others):
        cluster.preference(f"other-{number}", namespace="oscar" if number == 1 else HOME)
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-mallory-*", error=QUOTA)
    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1s"))
        await until(cluster, "Succeeded")
        assert voice(cluster, "other-0") == "bright"
        assert voice(cluster, "mallory-0", "mallory") == "calm"
        assert cluster.ready(USER_PREFERENCES, "mallory-0", "mallory") == ("False", "WriteFailed")

        api.names = "app-u-*"
        cluster.policy("lock", DARK, strategy=waves(soak="1s"))
        await asyncio.sleep(300)
        assert progress(cluster)["phase"] == "Progressing"


async def test_an_only_user_whose_own_object_is_refused_fails_no_rollout() -> None:
    """It is in the user's namespace, whoever refuses it there."""
    cluster = Cluster()
    cluster.template(calm(users=PER_USER))
    cluster.preference("ann")
    await settled(cluster)
    async with Operator(cluster, Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-ann", error=QUOTA)):
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Succeeded")
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")
        assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "WriteFailed")


async def test_a_users_old_file_stays_until_they_have_one_of_their_own(cluster: Cluster) -> None:
    cluster.template(calm())
    cluster.preference("evil")
    await settled(cluster)
    api = Denying(cluster, CONFIG_MAPS, "apply delete", "app-u-evil", error=QUOTA)
    async with Operator(cluster, api) as operator:
        cluster.template(calm(users=PER_USER))
        await asyncio.sleep(60)
        assert cluster.file("evil") is not None
        assert served(cluster, "ann") is not None
        assert cluster.file("ann") is None
        assert cluster.ready(USER_PREFERENCES, "evil") == ("False", "WriteFailed")
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")

        api.error = None
        await asyncio.sleep(120)
        await operator.quiet()
        assert served(cluster, "evil") is not None
        assert cluster.find(CONFIG_MAPS, "app-free-users-0") is None
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


async def test_writes_that_take_long_to_be_refused_delay_no_other_template(cluster: Cluster) -> None:
    class Slow(Denying):
        async def apply(self, resource: Resource, body: Body, **options: Any) -> Body:
            if self.error is not None and body["metadata"]["name"].startswith("app-u-"):
                await asyncio.sleep(10)
            return await super().apply(resource, body, **options)

    cluster.template(calm(), name="other")
    cluster.preference("cat", template="other")
    cluster.users(60)
    await settled(cluster)
    api = Slow(cluster, CONFIG_MAPS, "apply", "app-u-*", error=None)
    async with Operator(cluster, api) as operator:
        await operator.quiet()
        api.error = BUSY
        cluster.users(60, {"session.minutes": 6})
        await asyncio.sleep(1)
        for number in range(7, 20):
            cluster.preference("cat", {"session.minutes": number}, template="other")
            await asyncio.sleep(1)
            shard = cluster.find(CONFIG_MAPS, "other-free-users-0") or {}
            assert json.loads(shard["data"]["cat.prefs.json"])["session"]["minutes"] == number
