"""Drift is reverted; outputs of deleted templates and groups are deleted or retained."""

from __future__ import annotations

import pytest

from support.in_memory import HOME, Cluster, Operator, groups_of, settled, spec
from trimtab.core import naming
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    RENDERED_GROUPS,
    USER_PREFERENCES,
)


@pytest.mark.parametrize("edit", ["change", "add", "empty", "delete", "unlabel", "relabel", "lock", "binary"])
async def test_a_manual_change_is_reverted_and_counted(cluster: Cluster, edit: str) -> None:
    cluster.template()
    cluster.preference("ann")
    async with Operator(cluster) as operator:
        await operator.quiet()
        before = cluster.documents()
        found = cluster.find(CONFIG_MAPS, "app-free")
        assert found is not None
        if edit == "delete":
            cluster.remove(CONFIG_MAPS, "app-free")
        else:
            changed: dict[str, Body] = {
                "change": {"data": {**found["data"], "config.yaml": "x"}},
                "add": {"data": {**found["data"], "more": "x"}},
                "empty": {"data": {}},
                "unlabel": {"metadata": {**found["metadata"], "labels": {}}},
                "relabel": {
                    "metadata": {
                        **found["metadata"],
                        "labels": {**found["metadata"]["labels"], naming.LABEL_MANAGED_BY: "Helm"},
                    }
                },
                "lock": {"immutable": True},
                "binary": {"binaryData": {"more": "eA=="}},
            }
            cluster.memory.put(CONFIG_MAPS, {**found, **changed[edit]})
        await operator.quiet()

    assert cluster.documents() == before
    assert "binaryData" not in cluster.find(CONFIG_MAPS, "app-free")  # type: ignore[operator]
    assert cluster.memory.objects(CONFIG_TEMPLATES)[0]["status"]["drift"] == 1


async def test_drift_during_downtime_is_reverted_at_the_start(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann")
    await settled(cluster)
    before = cluster.documents()
    cluster.remove(CONFIG_MAPS, "app-free-users-0")
    found = cluster.find(CONFIG_MAPS, "app-free")
    cluster.memory.put(CONFIG_MAPS, {**found, "data": {"x": "y"}})  # type: ignore[dict-item]

    await settled(cluster)

    assert cluster.documents() == before


async def test_a_deleted_rendered_group_is_recreated_and_its_revision_numbers_continue(
    cluster: Cluster,
) -> None:
    cluster.template()
    await settled(cluster)
    cluster.template(spec(keys=spec()["keys"][:2]))
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.remove(RENDERED_GROUPS, "app-free")
        await operator.quiet()

    status = cluster.find(RENDERED_GROUPS, "app-free")["status"]  # type: ignore[index]
    assert status["currentRevision"] == 3


async def test_deleting_a_template_removes_what_was_rendered_everywhere_and_nothing_else(
    cluster: Cluster,
) -> None:
    cluster.namespace("target", annotations={"trimtab.dev/allow-from": HOME})
    cluster.template(spec(groups=[{"name": "free", "targetNamespace": "target"}, {"name": "paid"}]))
    cluster.template(name="other")
    cluster.preference("ann")
    cluster.memory.put(CONFIG_MAPS, {"metadata": {"name": "app-free", "namespace": HOME}, "data": {"x": "1"}})
    await settled(cluster)
    cluster.remove(CONFIG_TEMPLATES, "app")

    await settled(cluster)

    left = {o["metadata"]["labels"][naming.LABEL_TEMPLATE] for o in cluster.outputs()}
    assert left == {"other"}
    assert cluster.find(CONFIG_MAPS, "app-free") is not None
    assert groups_of(cluster) == ["other-free", "other-paid"]
    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "TemplateNotFound")


@pytest.mark.parametrize("alive", [True, False], ids=["seen by its operator", "during downtime"])
async def test_retained_outputs_stay_and_have_no_owner(cluster: Cluster, alive: bool) -> None:
    cluster.template(spec(deletionPolicy="Retain"))
    cluster.preference("ann")
    if alive:
        async with Operator(cluster) as operator:
            await operator.quiet()
            cluster.remove(CONFIG_TEMPLATES, "app")
            await operator.quiet()
    else:
        await settled(cluster)
        cluster.remove(CONFIG_TEMPLATES, "app")
        await settled(cluster)

    assert list(cluster.outputs()) == []
    names = {b["metadata"]["name"] for b in cluster.memory.objects(CONFIG_MAPS)}
    assert names == {"app-free", "app-paid", "app-free-users-0"}
    assert not any("trimtab" in str(b["metadata"].get("labels")) for b in cluster.memory.objects(CONFIG_MAPS))


async def test_a_group_that_leaves_the_template_is_deleted_even_with_retain(cluster: Cluster) -> None:
    cluster.template(spec(deletionPolicy="Retain"))
    await settled(cluster)
    cluster.template(spec(deletionPolicy="Retain", groups=[{"name": "free"}]))

    await settled(cluster)

    assert {o["metadata"]["name"] for o in cluster.outputs()} == {"app-free"}
    assert groups_of(cluster) == ["app-free"]


async def test_a_store_that_is_behind_deletes_nothing(cluster: Cluster) -> None:
    """A standby that takes over before its watch has told it of the template, or of its newest group."""
    cluster.template(spec(groups=[{"name": "free"}]))
    operator = Operator(cluster)
    operator.start(templates=False)
    await operator.engine.reflectors.wait_synced()
    cluster.template()
    async with Operator(cluster) as other:
        await other.quiet()
    before = len(cluster.memory.writes)

    await operator.engine.lead()
    await operator.quiet()
    await operator.kill()

    assert [w for w in cluster.memory.writes[before:] if w.verb == "delete"] == []
    assert ("ConfigMap", HOME, "app-paid", "config.yaml") in cluster.documents()
