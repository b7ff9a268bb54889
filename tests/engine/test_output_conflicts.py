"""Output names that are in use: by objects of other clients, or by another template."""

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


async def test_an_object_that_trimtab_did_not_create_is_left_unchanged(cluster: Cluster) -> None:
    foreign = {"metadata": {"name": "app-free", "namespace": HOME}, "data": {"theirs": "1"}}
    cluster.memory.put(CONFIG_MAPS, foreign)
    cluster.template()
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.find(CONFIG_MAPS, "app-free")["data"] == {"theirs": "1"}  # type: ignore[index]
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "Conflict")
        assert cluster.ready(RENDERED_GROUPS, "app-paid") == ("True", "Rendered")

        adopt = {"annotations": {naming.ANNOTATION_ADOPT: "true"}}
        cluster.memory.put(CONFIG_MAPS, {**foreign, "metadata": {**foreign["metadata"], **adopt}})
        await operator.quiet()

    found = cluster.find(CONFIG_MAPS, "app-free")
    assert found is not None
    assert found["data"].keys() == {"config.yaml", "_default.prefs.json"}
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_conflict_of_one_user_affects_no_other(cluster: Cluster) -> None:
    cluster.memory.put(
        CONFIG_MAPS, {"metadata": {"name": "app-u-ann", "namespace": HOME}, "data": {"x": "1"}}
    )
    cluster.template(PER_USER)
    for name in ("ann", "bob", "cid"):
        cluster.preference(name)
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "Conflict")
        assert cluster.ready(USER_PREFERENCES, "bob") == ("True", "Accepted")
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")

        cluster.remove(USER_PREFERENCES, "bob")
        await operator.quiet()

    assert cluster.find(CONFIG_MAPS, "app-u-bob") is None
    assert cluster.find(CONFIG_MAPS, "app-u-ann")["data"] == {"x": "1"}  # type: ignore[index]


async def test_nothing_of_another_template_is_ever_deleted(cluster: Cluster) -> None:
    """`a-b-users-0` is a group's object of one template and would be a shard of the other."""
    cluster.template(spec(groups=[{"name": "0"}]), name="a-b-users")
    await settled(cluster)
    before = cluster.find(CONFIG_MAPS, "a-b-users-0")
    cluster.template(spec(groups=[{"name": "b"}]), name="a")
    cluster.preference("ann", group="b", template="a")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "Conflict")

        cluster.remove(USER_PREFERENCES, "ann")
        await operator.quiet()

    assert cluster.find(CONFIG_MAPS, "a-b-users-0") == before


@pytest.mark.parametrize("first", ["a", "a-b"])
async def test_of_two_templates_with_the_same_output_name_the_rendered_one_stays(
    cluster: Cluster, first: str
) -> None:
    """Also if the other one counts as older, and after restarts."""
    ages = {"a": "2026-01-01T00:00:00Z", "a-b": "2026-01-02T00:00:00Z"}
    bodies = {"a": spec(groups=[{"name": "b-c"}]), "a-b": spec(groups=[{"name": "c"}])}
    (second,) = set(ages) - {first}
    cluster.template(bodies[first], name=first, creationTimestamp=ages[first])
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.template(bodies[second], name=second, creationTimestamp=ages[second])
        await operator.quiet()

    assert await settled(cluster) == []
    assert cluster.ready(CONFIG_TEMPLATES, first) == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, second) == ("False", "NameCollision")


async def test_of_two_new_templates_with_the_same_output_name_the_older_is_rendered(
    cluster: Cluster,
) -> None:
    cluster.template(spec(groups=[{"name": "c"}]), name="a-b", creationTimestamp="2026-01-02T00:00:00Z")
    cluster.template(spec(groups=[{"name": "b-c"}]), name="a", creationTimestamp="2026-01-01T00:00:00Z")

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "a") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "a-b") == ("False", "NameCollision")


async def test_an_output_name_that_became_free_is_used(cluster: Cluster) -> None:
    cluster.template(spec(groups=[{"name": "b-c"}]), name="a", creationTimestamp="2026-01-01T00:00:00Z")
    cluster.template(spec(groups=[{"name": "c"}]), name="a-b", creationTimestamp="2026-01-02T00:00:00Z")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "a-b") == ("False", "NameCollision")
        cluster.remove(CONFIG_TEMPLATES, "a")
        await operator.quiet()

    assert cluster.ready(CONFIG_TEMPLATES, "a-b") == ("True", "Rendered")
