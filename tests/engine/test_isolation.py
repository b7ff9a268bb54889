"""What one team writes takes no names from another, and reveals nothing about others."""

from __future__ import annotations

import pytest

from support.in_memory import HOME, Cluster, Operator, settled, spec
from trimtab.core import naming
from trimtab.core.refs import GroupKey
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    NAMESPACES,
    RENDERED_GROUPS,
    USER_PREFERENCES,
)

OLD = {"creationTimestamp": "2025-01-01T00:00:00Z"}
INTO_HOME = spec(groups=[{"name": "free", "targetNamespace": HOME}])


def let_in(cluster: Cluster, *homes: str) -> None:
    meta = {"name": HOME, "annotations": {naming.ANNOTATION_ALLOW_FROM: ",".join(homes)}}
    cluster.memory.put(NAMESPACES, {"metadata": meta})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(HOME, "mallory", "oscar")


async def test_a_group_that_its_target_does_not_admit_holds_no_name_there(cluster: Cluster) -> None:
    cluster.template(INTO_HOME, namespace="mallory", **OLD)
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.template()
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
        assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory") == ("False", "TargetNotAllowed")
        cluster.template(spec(deletionPolicy="Retain"))  # an edit is judged again
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
        before = cluster.documents()

        let_in(cluster, "mallory")
        await operator.quiet()
        assert cluster.documents() == before

    await settled(cluster)
    assert cluster.documents() == before
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory")[0] == "False"


async def test_a_barred_template_learns_nothing_about_the_names_in_its_target(cluster: Cluster) -> None:
    cluster.template(INTO_HOME, namespace="mallory")
    without = await _message(cluster)
    cluster.template(**OLD)
    assert await _message(cluster) == without


async def _message(cluster: Cluster) -> str:
    await settled(cluster)
    return cluster.message(CONFIG_TEMPLATES, "app", "mallory")


async def test_no_status_reveals_whether_a_target_namespace_exists(cluster: Cluster) -> None:
    for name, target in (("one", "oscar"), ("two", "nowhere")):
        groups = [{"name": "free", "targetNamespace": target}]
        cluster.template(spec(groups=groups), name=name, namespace="mallory")

    await settled(cluster)

    said = [cluster.message(CONFIG_TEMPLATES, name, "mallory") for name in ("one", "two")]
    assert said[0] == said[1].replace("nowhere", "oscar")


async def test_a_collision_does_not_name_a_template_of_another_namespace(cluster: Cluster) -> None:
    let_in(cluster, "mallory", "oscar")
    cluster.template(INTO_HOME, namespace="oscar", **OLD)
    cluster.template(INTO_HOME, namespace="mallory")

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app", "oscar") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory") == ("False", "NameCollision")
    assert "oscar" not in cluster.message(CONFIG_TEMPLATES, "app", "mallory")


async def test_a_template_that_was_admitted_and_rendered_keeps_the_name(cluster: Cluster) -> None:
    let_in(cluster, "mallory")
    cluster.template(INTO_HOME, namespace="mallory")
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.template(**OLD)
        await operator.quiet()

    assert await settled(cluster) == []
    assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "NameCollision")


async def test_forged_labels_decide_about_no_name(cluster: Cluster) -> None:
    let_in(cluster, "mallory")
    labels = naming.group_labels(GroupKey("mallory", "app", "free"))
    cluster.memory.put(CONFIG_MAPS, {"metadata": {"name": "app-free", "namespace": HOME, "labels": labels}})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.template(INTO_HOME, namespace="mallory", **OLD)
        cluster.template()
        await operator.quiet()

    assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory") == ("False", "NameCollision")
    assert cluster.ready(CONFIG_TEMPLATES, "app")[1] != "NameCollision"


async def test_a_taken_user_does_not_name_a_preference_of_another_namespace(cluster: Cluster) -> None:
    tenants = {"matchLabels": {"tenant": "yes"}}
    for name in ("mallory", "oscar"):
        cluster.namespace(name, {"tenant": "yes"})
    cluster.template(spec(groups=[{"name": "free", "preferenceNamespaceSelector": tenants}]))
    cluster.preference("secret-name", namespace="oscar", user="ann", meta=OLD)
    cluster.preference("ann", namespace="mallory")
    cluster.preference("ann2", namespace="oscar", user="ann")

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann", "mallory") == ("False", "UserTaken")
    told = cluster.message(USER_PREFERENCES, "ann", "mallory")
    assert "oscar" not in told
    assert "secret-name" not in told
    assert "oscar/secret-name" in cluster.message(USER_PREFERENCES, "ann2", "oscar")
    assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


async def test_who_else_lists_a_workload_is_named_in_ones_own_namespace_only(cluster: Cluster) -> None:
    let_in(cluster, "mallory", "oscar")
    workloads = [{"kind": "Deployment", "name": "web"}]
    body = spec(groups=[{"name": "free", "targetNamespace": HOME, "workloads": workloads}])
    for namespace, name in (("mallory", "one"), ("mallory", "two"), ("oscar", "three"), ("oscar", "four")):
        cluster.template(body, name=name, namespace=namespace)

    await settled(cluster)

    said = [cluster.find(CONFIG_TEMPLATES, name, "mallory") for name in ("one", "two")]
    said += [cluster.find(RENDERED_GROUPS, f"{name}-free", "mallory") for name in ("one", "two")]
    told = [str(body and body["status"]) for body in said]
    assert "mallory/one too, which was created first" in told[1]
    assert "mallory/two, a ConfigTemplate of another namespace too" in told[0]
    assert "oscar" not in str(told)


async def test_an_older_template_takes_no_name_from_the_one_that_has_it(cluster: Cluster) -> None:
    let_in(cluster, "mallory", "oscar")
    own = {"name": "own"}
    cluster.template(spec(groups=[own]), namespace="mallory", **OLD)
    cluster.template(INTO_HOME, namespace="oscar")
    await settled(cluster)
    cluster.template(
        spec(groups=[own, {"name": "free", "targetNamespace": HOME}]), namespace="mallory", **OLD
    )
    await settled(cluster)

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app", "oscar") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory") == ("False", "NameCollision")


@pytest.mark.parametrize("name", ["app-free", "copied"])
async def test_a_forged_rendered_group_takes_no_name_from_the_template_that_has_it(
    cluster: Cluster, name: str
) -> None:
    let_in(cluster, "mallory", "oscar")
    cluster.template(INTO_HOME, namespace="oscar")
    await settled(cluster)
    cluster.template(INTO_HOME, namespace="mallory", **OLD)
    await settled(cluster)
    spec = {"templateRef": {"name": "app"}, "group": "free"}
    cluster.memory.put(RENDERED_GROUPS, {"metadata": {"name": name, "namespace": "mallory"}, "spec": spec})

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app", "oscar") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "app", "mallory") == ("False", "NameCollision")
