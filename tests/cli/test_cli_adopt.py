"""`trimtab adopt`: it shows the objects that conflict with a template's outputs, and annotates them only with --yes."""

from __future__ import annotations

from typing import Any

import pytest

from support.cli_manifests import Call
from support.fake_cluster import FakeCluster, template
from support.manifests import group_spec, preference_spec
from trimtab.core import naming
from trimtab.core.refs import GroupKey
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES

Body = dict[str, Any]
CONFLICT = {"conditions": [{"type": "Ready", "status": "False", "reason": "Conflict"}]}


def put(cluster: FakeCluster, name: str, namespace: str = "music", group: str = "free", **meta: Any) -> Body:
    labels = naming.group_labels(GroupKey("music", "app", group))
    return cluster.put(
        CONFIG_MAPS,
        {"metadata": {"name": name, "namespace": namespace, "labels": labels, **meta}, "data": {"a": "b"}},
    )


@pytest.fixture
def lost(cluster: FakeCluster) -> FakeCluster:
    """After a loss of keys: shard 0 is not recorded, and neither is ann's own object."""
    cluster.put(CONFIG_TEMPLATES, template(spec={"groups": [{"name": "free"}]}))
    recorded = put(cluster, "app-free")
    put(cluster, "app-free-users-0")
    put(cluster, "app-u-ann", "other")
    put(cluster, "app-u-bob", "other")
    put(cluster, "copy")
    put(cluster, "app-free-users-0", "other")
    put(cluster, "app-paid", group="paid")
    put(cluster, "app-free-users-1", labels={})
    entry = {
        "kind": "ConfigMap",
        "namespace": "music",
        "name": "app-free",
        "uid": recorded["metadata"]["uid"],
    }
    spec = group_spec()
    place = {"name": "app-free", "namespace": "music"}
    cluster.put(
        RENDERED_GROUPS, {"metadata": place, "spec": spec, "status": {**CONFLICT, "outputs": [entry]}}
    )
    of = preference_spec(home="music")
    cluster.put(
        USER_PREFERENCES, {"metadata": {"name": "ann", "namespace": "other"}, "spec": of, "status": CONFLICT}
    )
    cluster.put(USER_PREFERENCES, {"metadata": {"name": "bob", "namespace": "other"}, "spec": of})
    return cluster


def adopted(cluster: FakeCluster) -> set[tuple[str, str]]:
    return {
        (body["metadata"]["namespace"], body["metadata"]["name"])
        for body in cluster.objects(CONFIG_MAPS)
        if (body["metadata"].get("annotations") or {}).get(naming.ANNOTATION_ADOPT) == "true"
    }


def test_conflicting_objects_are_shown_and_stay_unchanged(trimtab: Call, lost: FakeCluster) -> None:
    before = lost.objects(CONFIG_MAPS)

    answer = trimtab("adopt", "app")

    assert answer.code == 0
    assert "app-free-users-0" in answer.out
    assert "app-u-ann" in answer.out
    assert "--yes" in answer.out
    assert lost.objects(CONFIG_MAPS) == before


def test_only_objects_with_an_outputs_name_and_labels_are_annotated(trimtab: Call, lost: FakeCluster) -> None:
    assert trimtab("adopt", "app", "--yes").code == 0

    assert adopted(lost) == {("music", "app-free-users-0"), ("other", "app-u-ann")}


def test_without_a_conflict_there_is_nothing_to_adopt(trimtab: Call, lost: FakeCluster) -> None:
    for kind in (RENDERED_GROUPS, USER_PREFERENCES):
        for body in lost.objects(kind):
            lost.put(kind, {**body, "status": {}})

    assert "nothing" in trimtab("adopt", "app", "--yes").out
    assert adopted(lost) == set()


def test_a_conflicting_object_without_the_labels_is_left_unchanged(
    trimtab: Call, cluster: FakeCluster
) -> None:
    cluster.put(CONFIG_TEMPLATES, template(spec={"groups": [{"name": "free"}]}))
    put(cluster, "app-free", labels={})
    said = "ConfigMap music/app-free exists and was not made by Trimtab; it was left alone"
    conflict = {"conditions": [{**CONFLICT["conditions"][0], "message": said}]}
    spec = group_spec()
    place = {"name": "app-free", "namespace": "music"}
    cluster.put(RENDERED_GROUPS, {"metadata": place, "spec": spec, "status": conflict})

    answer = trimtab("adopt", "app", "--yes")
    assert f"group free: {said}" in answer.out
    assert "nothing is in the way" not in answer.out
    assert adopted(cluster) == set()
    assert trimtab("adopt", "app", "-o", "json").json["otherConflicts"] == [f"group free: {said}"]

    put(cluster, "app-free")
    answer = trimtab("adopt", "app", "--yes")
    assert said not in answer.out
    assert adopted(cluster) == {("music", "app-free")}
    assert said not in trimtab("adopt", "app").out, "the operator takes it over before long"


def test_a_missing_template_is_reported(trimtab: Call, lost: FakeCluster) -> None:
    answer = trimtab("adopt", "nope")

    assert answer.code == 1
    assert "music/nope" in answer.err
