"""Deleting a kind does not delete the outputs of its objects: CRDs are deleted and recreated under the real engine."""

from __future__ import annotations

import asyncio

import pytest

from support.in_memory import HOME, Cluster, Operator, settled, spec
from trimtab.engine.leadership.write_guard import WriteGuard
from trimtab.engine.metrics import DELETIONS_HELD
from trimtab.engine.store.kind_deletions import ANNOTATION_SWEEP
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CUSTOM_RESOURCE_DEFINITIONS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    Resource,
)

AGAIN = "2026-02-01T00:00:00Z"
"""When a kind is created again: later than every object of its predecessor."""
LATER = "2026-03-01T00:00:00Z"
SOME = 100.0
"""Seconds, by clockwork, in which an operator that did not hold back would have acted."""
KINDS = [CONFIG_TEMPLATES, USER_PREFERENCES, POLICY_ROLLOUTS, RENDERED_GROUPS]
LOCK = {"enforced": [{"key": "agent.voice", "value": "stern"}]}


class Counting(WriteGuard):
    """An API port that counts looks at CRDs, and refuses them while ``refusal`` is set."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.looks = 0
        self.refusal: errors.ApiError | None = None

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Body:
        if resource is CUSTOM_RESOURCE_DEFINITIONS:
            self.looks += 1
            if self.refusal is not None:
                raise self.refusal
        return await super().get(resource, namespace, name)


@pytest.fixture
async def cluster() -> Cluster:
    """Two users, one of whom has objects of their own, and a lock over all."""
    made = Cluster()
    made.template()
    made.template(spec(users={"delivery": "PerUser"}), name="own")
    made.preference("ann", {"session.minutes": 5})
    made.preference("bob", {"session.minutes": 6}, template="own")
    made.policy("lock", LOCK)
    await settled(made)
    assert "stern" in (made.file("ann") or "")
    assert ("ConfigMap", HOME, "own-u-bob", "prefs.json") in made.documents()
    return made


def delete(cluster: Cluster, kind: Resource) -> None:
    cluster.memory.uninstall(kind)
    cluster.memory.uninstalled(kind)


def held(kind: Resource) -> float:
    return float(DELETIONS_HELD.labels(kind.kind)._value.get())


def later(cluster: Cluster) -> None:
    """Everything is written again, after the kinds were."""
    when = {"creationTimestamp": LATER}
    cluster.template(**when)
    cluster.template(spec(users={"delivery": "PerUser"}), name="own", **when)
    cluster.preference("ann", {"session.minutes": 5}, meta=when)
    cluster.preference("bob", {"session.minutes": 6}, template="own", meta=when)
    cluster.memory.put(
        POLICY_ROLLOUTS,
        {
            "metadata": {"name": "lock", "namespace": HOME, **when},
            "spec": {"templateRef": {"name": "app"}, "policy": LOCK},
        },
    )


@pytest.mark.parametrize("kinds", [[kind] for kind in KINDS] + [KINDS], ids=lambda k: k[0].plural)
async def test_deleting_a_kind_changes_no_document(cluster: Cluster, kinds: list[Resource]) -> None:
    before = cluster.documents()
    async with Operator(cluster) as operator:
        await operator.quiet()
        for kind in kinds:
            cluster.memory.uninstall(kind)
        await asyncio.sleep(SOME)
        terminating = cluster.documents()
        for kind in kinds:
            cluster.memory.uninstalled(kind)
        await asyncio.sleep(SOME)
        gone = cluster.documents()
        assert all(held(kind) for kind in kinds)

        for kind in kinds:
            cluster.memory.install(kind, AGAIN)
        await operator.quiet()
        empty = cluster.documents()
        later(cluster)
        await operator.quiet()

    assert before == terminating == gone == empty == cluster.documents()
    assert not any(held(kind) for kind in kinds)
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


@pytest.mark.parametrize("kinds", [[kind] for kind in KINDS] + [KINDS[:3]], ids=lambda k: k[0].plural)
async def test_an_operator_that_starts_after_a_kind_was_deleted_and_created_removes_nothing(
    cluster: Cluster, kinds: list[Resource]
) -> None:
    before = cluster.documents()
    for kind in kinds:
        delete(cluster, kind)
        cluster.memory.install(kind, AGAIN)

    await settled(cluster)

    assert cluster.documents() == before
    later(cluster)
    await settled(cluster)
    assert cluster.documents() == before


async def test_an_operator_does_not_act_before_every_kind_is_there(cluster: Cluster) -> None:
    before = cluster.documents()
    delete(cluster, USER_PREFERENCES)
    operator = Operator(cluster)
    operator.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(operator.engine.lead(), 100)
    assert cluster.documents() == before
    await operator.kill()


async def test_what_is_deleted_after_the_kind_came_back_goes(cluster: Cluster) -> None:
    async with Operator(cluster) as operator:
        await operator.quiet()
        for kind in KINDS:
            delete(cluster, kind)
        await asyncio.sleep(SOME)
        for kind in KINDS:
            cluster.memory.install(kind, AGAIN)
        later(cluster)
        await operator.quiet()

        cluster.remove(USER_PREFERENCES, "ann")
        cluster.remove(POLICY_ROLLOUTS, "lock")
        await operator.quiet()
        assert cluster.file("ann") is None
        assert "stern" not in cluster.documents()["ConfigMap", HOME, "app-free", "_default.prefs.json"]
        cluster.remove(CONFIG_TEMPLATES, "app")
        await operator.quiet()

    assert {place[2] for place in cluster.documents()} == {"own-free", "own-paid", "own-u-bob"}


@pytest.mark.parametrize("restart", [False, True])
async def test_a_cluster_admin_confirms_that_missing_objects_are_to_be_deleted(
    cluster: Cluster, restart: bool
) -> None:
    before = cluster.documents()

    def sweep(value: str | None = None) -> None:
        for kind in KINDS:
            crd = cluster.find(CUSTOM_RESOURCE_DEFINITIONS, f"{kind.plural}.{kind.group}", "")
            assert crd is not None
            crd["metadata"]["annotations"] = {ANNOTATION_SWEEP: value or crd["metadata"]["uid"]}
            cluster.memory.put(CUSTOM_RESOURCE_DEFINITIONS, crd)

    def replace() -> None:
        for kind in KINDS[:3]:
            delete(cluster, kind)
            cluster.memory.install(kind, AGAIN)

    if restart:
        replace()
    async with Operator(cluster) as operator:
        await operator.quiet()
        if not restart:
            replace()
        sweep("true")
        await operator.quiet()
        assert cluster.documents() == before, "a copy of the annotation says nothing"

        sweep()
        await operator.quiet()

    assert cluster.documents() == {}


@pytest.mark.parametrize(
    "refusal",
    [
        errors.ForbiddenError(403, "Forbidden", "no"),
        errors.UnavailableError(503, "ServiceUnavailable", "no"),
        errors.UnavailableError(0, "Timeout", "no"),
    ],
    ids=lambda e: str(e.status),
)
async def test_a_kind_that_cannot_be_read_keeps_everything_in_force_until_it_can(
    cluster: Cluster, refusal: errors.ApiError
) -> None:
    before, api = cluster.documents(), Counting(cluster)
    async with Operator(cluster, api) as operator:
        await operator.quiet()
        api.refusal = refusal
        for resource, name in (
            (USER_PREFERENCES, "ann"),
            (POLICY_ROLLOUTS, "lock"),
            (CONFIG_TEMPLATES, "own"),
        ):
            cluster.remove(resource, name)
        await operator.quiet()
        assert cluster.documents() == before

        api.refusal = None
        await operator.quiet()

    assert cluster.file("ann") is None
    assert {place[2] for place in cluster.documents()} == {"app-free", "app-paid"}


async def test_a_kind_whose_crd_cannot_be_read_delays_only_its_own_deletions(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Counting(cluster)
    answer = api.get

    async def get(resource: Resource, namespace: str | None, name: str) -> Body:
        if resource is CUSTOM_RESOURCE_DEFINITIONS and name.startswith(CONFIG_TEMPLATES.plural):
            await asyncio.sleep(100_000)
        return await answer(resource, namespace, name)

    monkeypatch.setattr(api, "get", get)
    async with Operator(cluster, api):
        cluster.remove(CONFIG_TEMPLATES, "own")
        cluster.remove(USER_PREFERENCES, "ann")
        await asyncio.sleep(SOME)
        assert cluster.file("ann") is None
        assert ("ConfigMap", HOME, "own-u-bob", "prefs.json") in cluster.documents()


async def test_a_start_that_cannot_read_the_kinds_removes_nothing_until_it_can(cluster: Cluster) -> None:
    before, api = cluster.documents(), Counting(cluster)
    for resource, name in ((USER_PREFERENCES, "ann"), (POLICY_ROLLOUTS, "lock"), (CONFIG_TEMPLATES, "own")):
        cluster.remove(resource, name)
    api.refusal = errors.ForbiddenError(403, "Forbidden", "no")
    async with Operator(cluster, api) as operator:
        await operator.quiet()
        assert cluster.documents() == before
        api.refusal = None
        await operator.quiet()

    assert {place[2] for place in cluster.documents()} == {"app-free", "app-paid"}


async def test_a_burst_of_deletions_costs_few_looks(cluster: Cluster) -> None:
    cluster.users(300)
    api = Counting(cluster)
    async with Operator(cluster, api) as operator:
        await operator.quiet()
        before = api.looks
        for number in range(300):
            cluster.remove(USER_PREFERENCES, f"user-{number}")
        await operator.quiet()

    assert cluster.file("user-1") is None
    assert 0 < api.looks - before < 10


async def test_what_lives_on_while_a_kind_is_away_is_still_worked_on(cluster: Cluster) -> None:
    async with Operator(cluster) as operator:
        await operator.quiet()
        delete(cluster, POLICY_ROLLOUTS)
        delete(cluster, RENDERED_GROUPS)
        cluster.preference("ann", {"session.minutes": 7})
        await asyncio.sleep(SOME)
        assert '"minutes":7' in (cluster.file("ann") or "")
