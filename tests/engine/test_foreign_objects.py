"""Trimtab touches, serves and deletes what it made, and nothing else: attacks, lost keys, backups, copies, upgrades."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from support.failing_writes import Refusing
from support.in_memory import HOME, SYSTEM, Cluster, Operator, settled, spec
from trimtab.core import naming
from trimtab.core.refs import GroupKey
from trimtab.engine.leadership.encryption_keys import KEYS_SECRET
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)

FREE = GroupKey(HOME, "app", "free")
SECRET_TOO = {"name": "s", "kind": "Secret", "scope": "User", "format": "JSON", "fileName": "s.json"}
PER_USER = spec(users={"delivery": "PerUser"}, outputs=[*spec()["outputs"], SECRET_TOO])
APPLIED = [{"manager": "trimtab", "operation": "Apply"}]


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(HOME, "aaa")


def plant(
    cluster: Cluster, name: str, namespace: str = "aaa", resource: Resource = CONFIG_MAPS, **fields: Any
) -> Body:
    """Somebody's own object with the group's labels; it names Trimtab as its field manager."""
    meta = {
        "name": name,
        "namespace": namespace,
        "labels": naming.group_labels(FREE),
        "managedFields": APPLIED,
    }
    body = {"metadata": {**meta, **fields.pop("metadata", {})}, "data": {"mine": "eA=="}, **fields}
    return cluster.memory.put(resource, body)


def mark_of(body: Body) -> str | None:
    return (body["metadata"].get("annotations") or {}).get(naming.ANNOTATION_MARK)


def unmark(cluster: Cluster, *, status: bool = True) -> None:
    """Make it what a version without marks has left."""
    for resource in (CONFIG_MAPS, SECRETS):
        for body in cluster.memory.objects(resource):
            if mark_of(body):
                del body["metadata"]["annotations"][naming.ANNOTATION_MARK]
                body["metadata"]["managedFields"] = APPLIED
                cluster.memory.put(resource, body)
    for body in cluster.memory.objects(RENDERED_GROUPS) if status else ():
        for entry in body["status"]["outputs"]:
            del entry["uid"]
        cluster.memory.put(RENDERED_GROUPS, body)


def lose_keys(cluster: Cluster) -> None:
    cluster.remove(SECRETS, KEYS_SECRET, SYSTEM)


def status(cluster: Cluster, group: str = "app-free") -> Body:
    found = cluster.find(RENDERED_GROUPS, group)
    assert found is not None
    return found["status"]  # type: ignore[no-any-return]


def suspend(cluster: Cluster, name: str = "ann") -> None:
    cluster.preference(name, {"agent.voice": "hers"}, suspend=True)


# Attacks


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("resource", [CONFIG_MAPS, SECRETS], ids=["ConfigMap", "Secret"])
async def test_an_object_that_claims_to_be_a_user_s_own_gets_no_content(
    cluster: Cluster, resource: Resource, restart: bool
) -> None:
    cluster.template(PER_USER)
    cluster.preference("ann", {"agent.voice": "private"})
    await settled(cluster)
    notes = {naming.ANNOTATION_USER: "ann"}
    planted = [
        plant(cluster, "planted", resource=resource, metadata={"annotations": notes}),
        plant(cluster, "app-u-ann", resource=resource, metadata={"annotations": notes}),
    ]
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"agent.voice": "private again"})
        await operator.quiet()
    if restart:
        await settled(cluster)

    assert [b for b in cluster.memory.objects(resource) if b["metadata"]["namespace"] == "aaa"] == sorted(
        planted, key=lambda b: b["metadata"]["name"]
    )


async def test_a_suspended_user_s_files_are_never_those_of_another_namespace(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    suspend(cluster)
    await settled(cluster)
    before = cluster.file("ann")
    forged = {"ann.prefs.json": "forged"}
    plant(cluster, "app-free-users-7", data=forged)
    real = cluster.find(CONFIG_MAPS, "app-free-users-0") or {}
    plant(cluster, "app-free-users-0", data=forged, metadata={"annotations": real["metadata"]["annotations"]})

    await settled(cluster)

    real = cluster.find(CONFIG_MAPS, "app-free-users-0") or {}
    assert real["data"]["ann.prefs.json"] == before


@pytest.mark.parametrize("restart", [False, True])
async def test_a_users_files_do_not_pass_to_the_next_user_of_the_preference(
    cluster: Cluster, restart: bool
) -> None:
    cluster.template(PER_USER)
    cluster.preference("own", {"agent.voice": "hers"}, user="ann")
    await settled(cluster)

    async with Operator(cluster) as operator:
        await operator.quiet()
        if restart:
            await operator.kill()
        cluster.remove(USER_PREFERENCES, "own")
        cluster.preference("own", {"agent.voice": "his"}, user="bob", suspend=True)
        await asyncio.sleep(1)
    await settled(cluster)

    assert "hers" not in str(cluster.documents())


async def test_a_users_files_go_with_the_preference_that_another_one_follows(cluster: Cluster) -> None:
    cluster.template({**PER_USER, "groups": [{"name": "free", "preferenceNamespaceSelector": {}}]})
    old = {"creationTimestamp": "2025-01-01T00:00:00Z"}
    cluster.preference("first", {"agent.voice": "hers"}, user="ann", namespace="aaa", meta=old)
    cluster.preference("second", {"agent.voice": "later"}, user="ann", suspend=True)
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.find(CONFIG_MAPS, "app-u-first", "aaa")
        cluster.remove(USER_PREFERENCES, "first", "aaa")
        await operator.quiet()
        assert "hers" not in str(cluster.documents())
        before = cluster.documents()

    await settled(cluster)
    assert cluster.documents() == before


async def test_the_user_label_of_an_object_is_restored(cluster: Cluster) -> None:
    cluster.template(PER_USER)
    cluster.preference("ann", {"agent.voice": "hers"})
    async with Operator(cluster) as operator:
        await operator.quiet()
        body = cluster.find(CONFIG_MAPS, "app-u-ann") or {}
        body["metadata"]["annotations"][naming.ANNOTATION_USER] = "bob"
        cluster.memory.put(CONFIG_MAPS, body)
        await operator.quiet()

    body = cluster.find(CONFIG_MAPS, "app-u-ann") or {}
    assert body["metadata"]["annotations"][naming.ANNOTATION_USER] == "ann"


@pytest.mark.parametrize("group", [GroupKey("nowhere", "nothing", "none"), FREE], ids=str)
async def test_forged_labels_get_nothing_deleted_and_are_reported(
    cluster: Cluster, group: GroupKey, caplog: pytest.LogCaptureFixture
) -> None:
    cluster.template()
    async with Operator(cluster) as operator:
        await operator.quiet()
        body = plant(cluster, "precious", resource=SECRETS, metadata={"labels": naming.group_labels(group)})
        with caplog.at_level(logging.WARNING, "trimtab.engine"):
            await operator.quiet()
            await operator.quiet()
        assert caplog.text.count("Trimtab did not make it") == 1
    assert await settled(cluster) == []

    assert cluster.find(SECRETS, "precious", "aaa") == body
    said = [{"kind": "Secret", "namespace": "aaa", "name": "precious"}]
    assert status(cluster).get("foreign") == (said if group == FREE else None)


async def test_a_group_that_goes_does_not_wait_for_forged_objects(cluster: Cluster) -> None:
    cluster.template(spec(strategy={}))
    await settled(cluster)
    body = plant(cluster, "precious")
    cluster.template(spec(strategy={}, groups=[{"name": "paid"}]))
    await settled(cluster)

    assert cluster.find(RENDERED_GROUPS, "app-free") is None
    assert cluster.find(CONFIG_MAPS, "app-free") is None
    assert cluster.find(CONFIG_MAPS, "precious", "aaa") == body
    assert cluster.ready(CONFIG_TEMPLATES, "app")[0] == "True"


async def test_a_forged_revision_number_counts_for_nothing(cluster: Cluster) -> None:
    cluster.template()
    plant(cluster, "app-free", metadata={"annotations": {naming.ANNOTATION_REVISION: "9" * 30}})
    await settled(cluster)

    assert status(cluster)["currentRevision"] == 1


@pytest.mark.parametrize("name", ["app-free", "app-free-users-0", "app-u-bob"])
async def test_a_uid_that_status_records_proves_nothing_where_the_template_has_no_outputs(
    cluster: Cluster, name: str
) -> None:
    cluster.template()
    await settled(cluster)
    precious = cluster.memory.put(
        SECRETS, {"metadata": {"name": name, "namespace": "aaa"}, "data": {"mine": "eA=="}}
    )
    forged = {"kind": "Secret", "namespace": "aaa", "name": name, "uid": precious["metadata"]["uid"]}
    group = cluster.find(RENDERED_GROUPS, "app-free") or {}
    group["status"]["outputs"].append(forged)
    cluster.memory.put(RENDERED_GROUPS, group)

    await settled(cluster)
    cluster.remove(CONFIG_TEMPLATES, "app")
    await settled(cluster)

    assert cluster.find(SECRETS, name, "aaa") == precious


# Copies and backups


@pytest.mark.parametrize(
    ("name", "namespace"), [("copy", HOME), ("app-free", "aaa"), ("app-free-users-5", HOME)]
)
async def test_a_copy_with_labels_and_mark_is_not_trimtabs(
    cluster: Cluster, name: str, namespace: str
) -> None:
    cluster.template()
    cluster.preference("ann")
    await settled(cluster)
    real = cluster.find(CONFIG_MAPS, "app-free") or {}
    place = {"name": name, "namespace": namespace}
    copy = cluster.memory.put(CONFIG_MAPS, {**real, "metadata": {**real["metadata"], **place}})
    await settled(cluster)
    cluster.remove(CONFIG_TEMPLATES, "app")
    await settled(cluster)

    assert cluster.find(CONFIG_MAPS, name, namespace) == copy
    assert cluster.find(CONFIG_MAPS, "app-free") is None


async def test_an_object_restored_from_a_backup_is_trimtabs_under_a_new_uid(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    suspend(cluster)
    await settled(cluster)
    before = cluster.documents()
    for body in list(cluster.outputs()):
        cluster.remove(CONFIG_MAPS, body["metadata"]["name"])
        cluster.memory.put(CONFIG_MAPS, {**body, "metadata": {**body["metadata"], "uid": "restored"}})
    cluster.template(spec(keys=[*spec()["keys"][:2], {**spec()["keys"][2], "default": "loud"}]))

    await settled(cluster)

    assert {b["metadata"]["uid"] for b in cluster.outputs()} == {"restored"}
    assert cluster.file("ann") == before["ConfigMap", HOME, "app-free-users", "ann.prefs.json"]
    assert {entry["uid"] for entry in status(cluster)["outputs"]} == {"restored"}


async def test_labels_removed_while_no_operator_ran_are_restored_with_the_same_bytes(
    cluster: Cluster,
) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    suspend(cluster)
    await settled(cluster)
    cluster.template(spec(keys=[*spec()["keys"][:2], {**spec()["keys"][2], "default": "loud"}]))
    body = cluster.find(CONFIG_MAPS, "app-free-users-0") or {}
    cluster.memory.put(CONFIG_MAPS, {**body, "metadata": {**body["metadata"], "labels": {}}})

    await settled(cluster)

    after = cluster.find(CONFIG_MAPS, "app-free-users-0") or {}
    assert after["metadata"]["labels"] == body["metadata"]["labels"]
    assert after["data"] == body["data"]


async def test_an_output_that_lost_its_labels_and_its_mark_is_restored_by_its_uid(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "hers"})
    names = ["app-free", "app-free-users-0"]

    async with Operator(cluster) as operator:
        await operator.quiet()
        before = [cluster.find(CONFIG_MAPS, name) or {} for name in names]
        for body in before:
            bare = {k: v for k, v in body["metadata"].items() if k not in ("labels", "annotations")}
            cluster.memory.put(CONFIG_MAPS, {**body, "metadata": bare})
        await operator.quiet()

    after = [cluster.find(CONFIG_MAPS, name) or {} for name in names]
    assert [body["metadata"]["uid"] for body in after] == [body["metadata"]["uid"] for body in before]
    assert [body["metadata"].get("labels") for body in after] == [b["metadata"]["labels"] for b in before]
    assert [mark_of(body) for body in after] == [mark_of(body) for body in before]


async def test_a_replaced_output_that_the_operator_may_not_write_reports_what_to_do(
    cluster: Cluster,
) -> None:
    cluster.template()

    def not_ours(name: str, before: Body | None, data: dict[str, str]) -> errors.ApiError | None:
        bare = before is not None and "trimtab.dev/" not in str(before["metadata"])
        return errors.ForbiddenError(403, "Forbidden", "only objects that carry its labels") if bare else None

    async with Operator(cluster, Refusing(cluster, not_ours)) as operator:
        await operator.quiet()
        before = cluster.find(CONFIG_MAPS, "app-free") or {}
        bare = {
            k: v for k, v in before["metadata"].items() if k not in ("labels", "annotations", "managedFields")
        }
        cluster.memory.put(CONFIG_MAPS, {**before, "metadata": bare, "data": {"other": "content"}})
        await operator.quiet()
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("False", "Conflict")
        assert "annotate it trimtab.dev/adopt=true" in cluster.message(RENDERED_GROUPS, "app-free")

        bare["annotations"] = {naming.ANNOTATION_ADOPT: "true"}
        cluster.memory.put(CONFIG_MAPS, {**before, "metadata": bare, "data": {"other": "content"}})
        await operator.quiet()

    after = cluster.find(CONFIG_MAPS, "app-free") or {}
    assert (after["metadata"]["uid"], after["data"]) == (before["metadata"]["uid"], before["data"])
    assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


async def test_a_retained_output_is_no_longer_trimtabs(cluster: Cluster) -> None:
    cluster.template(spec(deletionPolicy="Retain"))
    await settled(cluster)
    cluster.remove(CONFIG_TEMPLATES, "app")
    await settled(cluster)
    kept = cluster.find(CONFIG_MAPS, "app-free") or {}
    assert mark_of(kept) is None
    cluster.template()
    await settled(cluster)

    assert cluster.find(CONFIG_MAPS, "app-free") == kept
    assert cluster.ready(RENDERED_GROUPS, "app-free") == ("False", "Conflict")


async def test_outputs_in_a_target_that_is_no_longer_one_are_removed(cluster: Cluster) -> None:
    opened = {naming.ANNOTATION_ALLOW_FROM: HOME}
    cluster.namespace("aaa", annotations=opened)
    cluster.template(spec(groups=[{"name": "free", "targetNamespace": "aaa"}, {"name": "paid"}]))
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    suspend(cluster)
    await settled(cluster)
    before = cluster.find(CONFIG_MAPS, "app-free-users-0", "aaa") or {}
    cluster.template(spec(groups=[{"name": "free", "values": {"agent.voice": "loud"}}, {"name": "paid"}]))

    await settled(cluster)

    assert [b for b in cluster.memory.objects(CONFIG_MAPS) if b["metadata"]["namespace"] == "aaa"] == []
    assert (cluster.find(CONFIG_MAPS, "app-free-users-0") or {})["data"] == before["data"]


# Keys


async def test_after_a_loss_of_keys_recorded_objects_are_marked_again_with_the_same_content(
    cluster: Cluster,
) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    before, marks = cluster.documents(), {mark_of(b) for b in cluster.outputs()}
    lose_keys(cluster)

    await settled(cluster)

    assert cluster.documents() == before
    assert marks.isdisjoint({mark_of(b) for b in cluster.outputs()})
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")
    assert await settled(cluster) == []


async def test_after_a_loss_of_keys_what_is_not_recorded_waits_for_adoption(cluster: Cluster) -> None:
    cluster.template(PER_USER)
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    lose_keys(cluster)
    await settled(cluster)
    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "Conflict")

    for resource in (CONFIG_MAPS, SECRETS):
        body = cluster.find(resource, "app-u-ann") or {}
        body["metadata"]["annotations"][naming.ANNOTATION_ADOPT] = "true"
        cluster.memory.put(resource, body)
    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    own = [entry for entry in status(cluster)["outputs"] if entry["name"] == "app-u-ann"]
    assert [entry.get("adopted") for entry in own] == [True, True]


# Adoption


async def test_status_shows_an_adoption_while_the_annotation_exists(cluster: Cluster) -> None:
    adopt = {naming.ANNOTATION_ADOPT: "true"}
    cluster.memory.put(
        CONFIG_MAPS,
        {"metadata": {"name": "app-free", "namespace": HOME, "annotations": adopt}, "data": {"x": "y"}},
    )
    cluster.template()
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert [entry.get("adopted") for entry in status(cluster)["outputs"]] == [True]

        body = cluster.find(CONFIG_MAPS, "app-free") or {}
        assert "x" not in body["data"]
        del body["metadata"]["annotations"][naming.ANNOTATION_ADOPT]
        cluster.memory.put(CONFIG_MAPS, body)
        await operator.quiet()

    assert [entry.get("adopted") for entry in status(cluster)["outputs"]] == [None]
    assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


@pytest.mark.parametrize("labelled", [True, False])
async def test_two_templates_do_not_take_one_object_from_each_other_for_ever(
    cluster: Cluster, labelled: bool
) -> None:
    cluster.template(PER_USER)
    cluster.preference("x", {"agent.voice": "hers"})
    await settled(cluster)
    cluster.template(spec(groups=[{"name": "x"}]), name="app-u")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert "is an output of group music/app/free" in cluster.message(CONFIG_TEMPLATES, "app-u")
        body = cluster.find(CONFIG_MAPS, "app-u-x") or {}
        body["metadata"]["annotations"][naming.ANNOTATION_ADOPT] = "true"
        body["metadata"]["labels"] = body["metadata"]["labels"] if labelled else {}
        cluster.memory.put(CONFIG_MAPS, body)
        before = len(cluster.memory.writes)

        await operator.quiet()

        written = [write for write in cluster.memory.writes[before:] if write.name == "app-u-x"]
        assert len(written) == (0 if labelled else 1)
    assert sorted([cluster.ready(CONFIG_TEMPLATES, "app-u")[1], cluster.ready(USER_PREFERENCES, "x")[1]]) in (
        ["Accepted", "Conflict"],
        ["Conflict", "Rendered"],
    )


async def test_what_a_template_left_in_a_namespace_that_closed_may_be_adopted(cluster: Cluster) -> None:
    cluster.namespace("aaa", annotations={naming.ANNOTATION_ALLOW_FROM: HOME})
    cluster.template(spec(groups=[{"name": "free", "targetNamespace": "aaa"}]))
    await settled(cluster)
    cluster.namespace("aaa")
    cluster.template(namespace="aaa")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert "annotate it trimtab.dev/adopt=true" in cluster.message(CONFIG_TEMPLATES, "app", "aaa")
        body = cluster.find(CONFIG_MAPS, "app-free", "aaa") or {}
        body["metadata"]["annotations"][naming.ANNOTATION_ADOPT] = "true"
        cluster.memory.put(CONFIG_MAPS, body)
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "app", "aaa") == ("True", "Rendered")
        before = cluster.documents()

        cluster.namespace("aaa", annotations={naming.ANNOTATION_ALLOW_FROM: HOME})
        await operator.quiet()

    assert cluster.documents() == before
    assert cluster.ready(CONFIG_TEMPLATES, "app", "aaa") == ("True", "Rendered")


# The first start of a version with marks


@pytest.mark.parametrize("body", [spec(), PER_USER], ids=["Sharded", "PerUser"])
async def test_an_upgrade_marks_what_the_version_before_wrote_and_keeps_every_byte(
    cluster: Cluster, body: Body
) -> None:
    cluster.template(body)
    cluster.preference("ann", {"agent.voice": "hers"})
    await settled(cluster)
    suspend(cluster)
    await settled(cluster)
    before = cluster.documents()
    unmark(cluster)
    elsewhere = plant(cluster, "app-free-users-0", data={"ann.prefs.json": "forged"})

    await settled(cluster)

    assert cluster.find(CONFIG_MAPS, "app-free-users-0", "aaa") == elsewhere
    cluster.remove(CONFIG_MAPS, "app-free-users-0", "aaa")
    await settled(cluster)
    assert cluster.documents() == before
    assert all(mark_of(b) for b in cluster.outputs())
    assert all(entry["uid"] for entry in status(cluster)["outputs"])
    assert await settled(cluster) == []


async def test_who_may_not_join_keeps_no_user_s_files_from_an_upgrade(cluster: Cluster) -> None:
    cluster.template(PER_USER)
    old = {"creationTimestamp": "2025-01-01T00:00:00Z"}
    cluster.preference("hers", {"agent.voice": "hers"}, user="ann")
    cluster.preference("squatter", user="ann", namespace="aaa", meta=old)
    await settled(cluster)
    before = cluster.documents()
    assert "hers" in str(before)
    unmark(cluster)

    await settled(cluster)

    assert cluster.documents() == before
    assert cluster.ready(USER_PREFERENCES, "hers") == ("True", "Accepted")


async def test_after_the_upgrade_only_marks_count(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann")
    await settled(cluster)
    unmark(cluster, status=False)  # their uids are recorded
    body = plant(cluster, "app-free-users-9", namespace=HOME, data={"ann.prefs.json": "forged"})

    await settled(cluster)

    assert cluster.find(CONFIG_MAPS, "app-free-users-9") == body
    assert mark_of(cluster.find(CONFIG_MAPS, "app-free-users-0") or {})


async def test_an_upgrade_that_is_cut_short_is_continued(cluster: Cluster) -> None:
    cluster.template(PER_USER)
    for name in ("ann", "bob"):
        cluster.preference(name)
    await settled(cluster)
    unmark(cluster)
    async with Operator(cluster) as operator:
        for _ in range(60):
            await asyncio.sleep(0)
        await operator.kill()

    await settled(cluster)

    assert all(mark_of(b) for b in cluster.outputs())
    for name in ("ann", "bob"):
        assert cluster.ready(USER_PREFERENCES, name) == ("True", "Accepted")


async def test_an_entry_without_a_user_that_was_added_while_no_operator_ran_is_removed(
    cluster: Cluster,
) -> None:
    cluster.template()
    cluster.preference("ann")
    await settled(cluster)
    shard = cluster.find(CONFIG_MAPS, "app-free-users-0")
    assert shard is not None
    added = {"README": "hello", ".x": "", "bob.prefs.json": "{}"}
    cluster.memory.put(CONFIG_MAPS, {**shard, "data": {**shard["data"], **added}})
    await settled(cluster)
    assert (cluster.find(CONFIG_MAPS, "app-free-users-0") or {})["data"] == shard["data"]
