"""Templates and preferences are rendered: the entries, labels and objects that readers find."""

from __future__ import annotations

import pytest

from support.in_memory import HOME, Cluster, Operator, settled, spec
from trimtab.core import naming
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    RENDERED_GROUPS,
    USER_PREFERENCES,
)

PER_USER = spec(users={"delivery": "PerUser"})


async def test_a_template_and_its_users_are_rendered_and_report_it(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})

    await settled(cluster)

    assert cluster.file("ann") == '{"agent":{"temperature":0.7,"voice":"calm"},"session":{"minutes":5}}\n'
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    status = cluster.memory.objects(CONFIG_TEMPLATES)[0]["status"]
    assert (status["groups"], status["users"], status["invalidUsers"]) == (2, 1, 0)


async def test_a_user_without_a_preference_reads_the_default_entry(cluster: Cluster) -> None:
    cluster.template()

    await settled(cluster)

    entry = ("ConfigMap", HOME, "app-free", "_default.prefs.json")
    assert (
        cluster.documents()[entry]
        == '{"agent":{"temperature":0.7,"voice":"calm"},"session":{"minutes":20}}\n'
    )


async def test_what_is_rendered_carries_the_contract_s_labels_and_annotations(cluster: Cluster) -> None:
    cluster.template()
    await settled(cluster)

    meta = cluster.find(CONFIG_MAPS, "app-free")["metadata"]  # type: ignore[index]

    assert (
        meta["labels"].items()
        >= {
            "app.kubernetes.io/managed-by": "trimtab",
            "app.kubernetes.io/part-of": "app",
            "trimtab.dev/template": "app",
            "trimtab.dev/template-namespace": HOME,
            "trimtab.dev/group": "free",
        }.items()
    )
    assert meta["annotations"].keys() >= {"trimtab.dev/revision", "trimtab.dev/digest"}


async def test_one_changed_preference_rewrites_one_shard(cluster: Cluster) -> None:
    cluster.template()
    for name in ("ann", "bob"):
        cluster.preference(name)
    async with Operator(cluster) as operator:
        await operator.quiet()
        before = len(cluster.memory.writes)

        cluster.preference("ann", {"session.minutes": 7})
        await operator.quiet()

    kinds = [(w.verb, w.name) for w in cluster.memory.writes[before:]]
    assert sorted(kinds) == [("apply", "app-free-users-0"), ("status", "ann")]


async def test_a_user_who_moves_between_groups_is_only_in_the_new_one(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 7})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"session.minutes": 7}, group="paid")
        await operator.quiet()

    assert cluster.file("ann") is None
    assert cluster.file("ann", "paid") is not None


@pytest.mark.parametrize("delivery", ["Sharded", "PerUser", "None"])
async def test_a_deleted_preference_leaves_nothing_behind(cluster: Cluster, delivery: str) -> None:
    cluster.template(spec(users={"delivery": delivery}))
    for name in ("ann", "bob"):
        cluster.preference(name, {"agent.voice": name})
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert any("ann" in text for text in cluster.documents().values()) == (delivery != "None")

        cluster.remove(USER_PREFERENCES, "ann")
        await operator.quiet()

    assert not any("ann" in text for text in cluster.documents().values())
    assert any("bob" in text for text in cluster.documents().values()) == (delivery != "None")


async def test_per_user_objects_are_in_the_namespace_of_the_preference(cluster: Cluster) -> None:
    cluster.namespace("tenant", labels={"tenant": "yes"})
    group = {"name": "free", "preferenceNamespaceSelector": {"matchLabels": {"tenant": "yes"}}}
    cluster.template({**PER_USER, "groups": [group]})
    cluster.preference("ann", {"session.minutes": 5}, namespace="tenant")

    await settled(cluster)

    assert ("ConfigMap", "tenant", "app-u-ann", "prefs.json") in cluster.documents()


async def test_a_per_user_object_follows_its_user_to_another_group(cluster: Cluster) -> None:
    cluster.template(PER_USER)
    cluster.preference("ann", {"agent.voice": "one"})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"agent.voice": "two"}, group="paid")
        await operator.quiet()

        found = cluster.find(CONFIG_MAPS, "app-u-ann")

    assert found is not None
    assert "two" in found["data"]["prefs.json"]
    assert found["metadata"]["labels"][naming.LABEL_GROUP] == "paid"
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_a_change_of_delivery_moves_all_users(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "x"})
    async with Operator(cluster) as operator:
        for delivery, place in (("PerUser", "app-u-ann"), ("Sharded", "app-free-users-0"), ("None", "")):
            cluster.template(spec(users={"delivery": delivery}))
            await operator.quiet()
            holders = {o["metadata"]["name"] for o in cluster.outputs() if "x" in str(o["data"])}
            assert holders == ({place} if place else set())
