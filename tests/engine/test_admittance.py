"""Which users and namespaces a group admits: contested users, limits, selectors, target namespaces."""

from __future__ import annotations

from support.in_memory import HOME, Cluster, Operator, settled, spec
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    USER_PREFERENCES,
)


async def test_the_oldest_preference_holds_a_contested_user(cluster: Cluster) -> None:
    cluster.template()
    old, new = {"creationTimestamp": "2026-01-01T00:00:00Z"}, {"creationTimestamp": "2026-01-02T00:00:00Z"}
    cluster.preference("late", {"agent.voice": "late"}, user="ann", meta=new)
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert "late" in str(cluster.file("ann"))
        cluster.preference("early", {"agent.voice": "early"}, user="ann", meta=old)
        await operator.quiet()
        assert "early" in str(cluster.file("ann"))
        assert cluster.ready(USER_PREFERENCES, "late") == ("False", "UserTaken")

        cluster.remove(USER_PREFERENCES, "early")
        await operator.quiet()

    assert "late" in str(cluster.file("ann"))
    assert cluster.ready(USER_PREFERENCES, "late") == ("True", "Accepted")


async def test_a_group_takes_its_oldest_users_up_to_the_limit(cluster: Cluster) -> None:
    cluster.template(spec(groups=[{"name": "free", "maxUsers": 2}, {"name": "paid"}]))
    for day, name in enumerate(("ann", "bob", "cid"), start=1):
        cluster.preference(name, meta={"creationTimestamp": f"2026-01-0{day}T00:00:00Z"})
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "cid") == ("False", "GroupFull")
        assert cluster.file("cid") is None

        cluster.remove(USER_PREFERENCES, "ann")
        await operator.quiet()

    assert cluster.ready(USER_PREFERENCES, "cid") == ("True", "Accepted")


async def test_strangers_do_not_fill_a_group(cluster: Cluster) -> None:
    cluster.namespace("elsewhere")
    cluster.template(spec(groups=[{"name": "free", "maxUsers": 1}, {"name": "paid"}]))
    cluster.preference("mallory", namespace="elsewhere", meta={"creationTimestamp": "2020-01-01T00:00:00Z"})
    cluster.preference("ann")

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "mallory", "elsewhere") == ("False", "NamespaceNotAllowed")
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_a_namespace_s_labels_decide_whose_preferences_count(cluster: Cluster) -> None:
    cluster.namespace("tenant", labels={"tenant": "yes"})
    group = {"name": "free", "preferenceNamespaceSelector": {"matchLabels": {"tenant": "yes"}}}
    cluster.template(spec(groups=[group]))
    cluster.preference("ann", {"agent.voice": "x"}, namespace="tenant")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert "x" in str(cluster.file("ann"))

        cluster.namespace("tenant")
        await operator.quiet()
        assert cluster.file("ann") is None
        assert cluster.ready(USER_PREFERENCES, "ann", "tenant") == ("False", "NamespaceNotAllowed")

        cluster.namespace("tenant", labels={"tenant": "yes"})
        await operator.quiet()

    assert "x" in str(cluster.file("ann"))


async def test_a_target_namespace_has_to_admit_a_template(cluster: Cluster) -> None:
    cluster.namespace("target")
    cluster.template(spec(groups=[{"name": "free", "targetNamespace": "target"}]))
    cluster.preference("ann")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.documents() == {}
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "TargetNotAllowed")
        assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "TargetNotAllowed")

        cluster.namespace("target", annotations={"trimtab.dev/allow-from": f"other, {HOME}"})
        await operator.quiet()

    assert {o["metadata"]["namespace"] for o in cluster.outputs()} == {"target"}
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_a_group_that_changes_its_target_leaves_nothing_in_the_old_one(cluster: Cluster) -> None:
    cluster.namespace("target", annotations={"trimtab.dev/allow-from": HOME})
    cluster.template()
    cluster.preference("ann")
    await settled(cluster)
    cluster.template(spec(groups=[{"name": "free", "targetNamespace": "target"}]))

    await settled(cluster)

    assert {o["metadata"]["namespace"] for o in cluster.outputs()} == {"target"}
