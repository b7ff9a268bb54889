"""The engine on the API server in memory: what a platform team and its users see, flow by flow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.failing_writes import Denying
from support.in_memory import HOME, SYSTEM, Cluster, Operator, groups_of, settled, spec
from support.workload_controllers import workload
from trimtab.core import naming
from trimtab.core.refs import GroupKey, WorkloadKey
from trimtab.engine.groups import reconcile as groups_module
from trimtab.engine.leadership.write_guard import Fence
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
    WORKLOADS,
    Resource,
)

BROKEN = spec(keys=[{"name": "a", "type": "Number", "default": "x"}])
PER_USER = spec(users={"delivery": "PerUser"})


# Serving


async def test_a_template_and_its_users_are_rendered_and_say_so(cluster: Cluster) -> None:
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


async def test_a_user_who_moves_between_groups_is_in_the_new_one_alone(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 7})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"session.minutes": 7}, group="paid")
        await operator.quiet()

    assert cluster.file("ann") is None
    assert cluster.file("ann", "paid") is not None


@pytest.mark.parametrize("delivery", ["Sharded", "PerUser", "None"])
async def test_a_user_who_goes_leaves_nothing_behind(cluster: Cluster, delivery: str) -> None:
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


async def test_per_user_objects_are_beside_the_preference(cluster: Cluster) -> None:
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


async def test_changing_the_delivery_moves_everybody(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"agent.voice": "x"})
    async with Operator(cluster) as operator:
        for delivery, place in (("PerUser", "app-u-ann"), ("Sharded", "app-free-users-0"), ("None", "")):
            cluster.template(spec(users={"delivery": delivery}))
            await operator.quiet()
            holders = {o["metadata"]["name"] for o in cluster.outputs() if "x" in str(o["data"])}
            assert holders == ({place} if place else set())


# Refusing


async def test_an_invalid_preference_keeps_what_was_accepted_last_also_after_a_restart(
    cluster: Cluster,
) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"session.minutes": 0})
        await operator.quiet()
    before = cluster.file("ann")

    wrote = await settled(cluster)

    assert wrote == []
    assert cluster.file("ann") == before
    assert '"minutes":5' in str(before)
    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "Invalid")
    status = cluster.memory.objects(USER_PREFERENCES)[0]["status"]
    assert status["accepted"] == {"generation": 1, "group": "free", "values": {"session.minutes": 5}}
    assert status["violations"][0]["rule"] == "minimum"


async def test_an_invalid_preference_that_was_never_accepted_gets_the_group_s_values(
    cluster: Cluster,
) -> None:
    cluster.template()
    cluster.preference("ann", {"nonsense": 0})

    await settled(cluster)

    assert '"minutes":20' in str(cluster.file("ann"))


async def test_warnings_and_history_survive_a_restart_without_a_write(cluster: Cluster) -> None:
    cluster.template()
    async with Operator(cluster) as operator:
        for minutes in ("5", "6", "7"):
            cluster.preference("ann", {"session.minutes": minutes})
            await operator.quiet()
    status = cluster.memory.objects(USER_PREFERENCES)[0]["status"]
    assert [entry["generation"] for entry in status["history"]] == [2, 1]
    assert status["warnings"][0]["reason"] == "Coerced"

    assert await settled(cluster) == []
    cluster.preference("ann", {"session.minutes": -1})
    await settled(cluster)

    assert '"minutes":7' in str(cluster.file("ann"))


async def test_the_history_is_bounded(cluster: Cluster) -> None:
    cluster.template(spec(users={"historyLimit": 2}))
    async with Operator(cluster) as operator:
        for minutes in range(1, 7):
            cluster.preference("ann", {"session.minutes": minutes})
            await operator.quiet()

    status = cluster.memory.objects(USER_PREFERENCES)[0]["status"]

    assert [entry["values"] for entry in status["history"]] == [
        {"session.minutes": 5},
        {"session.minutes": 4},
    ]


async def test_a_rejected_template_changes_nothing_also_after_a_restart(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})
    await settled(cluster)
    before = cluster.documents()
    cluster.template(BROKEN)

    await settled(cluster)
    again = await settled(cluster)

    assert again == []
    assert cluster.documents() == before
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "Rejected")
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_users_are_served_while_their_template_is_rejected(cluster: Cluster) -> None:
    cluster.template()
    await settled(cluster)
    cluster.template(BROKEN)
    cluster.preference("ann", {"session.minutes": 5})

    await settled(cluster)

    assert '"minutes":5' in str(cluster.file("ann"))
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_a_sensitive_default_is_served_from_its_sealed_snapshot(cluster: Cluster) -> None:
    secret = {"name": "music.token", "type": "String", "sensitive": True, "default": "canary"}
    output = {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"}
    cluster.template(spec(keys=[secret], groups=[{"name": "free"}], outputs=[output]))
    await settled(cluster)
    cluster.template(BROKEN)
    cluster.remove(SECRETS, "app-free")

    await settled(cluster)

    assert "canary" in cluster.documents()["Secret", HOME, "app-free", "creds.json"]
    assert "canary" not in str(cluster.memory.objects(CONTROLLER_REVISIONS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rules": [{"name": "r", "expression": "true"}]}, "NotSupported"),
        ({"strategy": {"waves": [{"name": "some", "groups": ["nobody"]}]}}, "Rejected"),
        ({"keys": [{"name": "a", "type": "Number"}, {"name": "a.b", "type": "Number"}]}, "Rejected"),
        ({"keys": "nonsense"}, "Rejected"),
    ],
)
async def test_a_template_that_cannot_be_served_says_why(cluster: Cluster, change: Body, reason: str) -> None:
    cluster.template(spec(**change))

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", reason)
    assert groups_of(cluster) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"template": "nope"}, "TemplateNotFound"),
        ({"group": "fre"}, "GroupNotFound"),
        ({"schemaVersion": 2}, "AheadOfRevision"),
        ({"user": "_default"}, "UserReserved"),
        ({"sealedValues": {"a": "b"}}, "NotSupported"),
        ({"secretRefs": [{"key": "a", "name": "b", "secretKey": "c"}]}, "NotSupported"),
        ({"flags": {"a": "on"}}, "NotSupported"),
        ({"values": {"session.minutes": "many"}}, "Invalid"),
    ],
)
async def test_a_preference_that_does_not_count_says_why(cluster: Cluster, fields: Body, reason: str) -> None:
    cluster.template()
    cluster.preference("ann", **fields)

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", reason)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"template": "nope"},
            "there is no ConfigTemplate music/nope; create it or correct spec.templateRef",
        ),
        ({"group": "fre"}, "has no group fre (did you mean free?); correct spec.group"),
        ({"group": "zzz"}, "has no group zzz; correct spec.group to one of free, paid"),
    ],
)
async def test_a_reference_that_leads_nowhere_says_what_to_correct(
    cluster: Cluster, fields: Body, said: str
) -> None:
    cluster.template()
    cluster.preference("ann", **fields)

    await settled(cluster)

    assert said in cluster.message(USER_PREFERENCES, "ann")


async def test_who_is_not_let_in_learns_what_to_do_and_no_names(cluster: Cluster) -> None:
    cluster.namespace("tenant", {"team": "tenant"})
    asked = {"matchLabels": {"team": "other"}}
    let_in = {"matchLabels": {"team": "tenant"}}
    cluster.template(
        spec(
            groups=[
                {"name": "closed"},
                {"name": "asked", "preferenceNamespaceSelector": asked},
                {"name": "open", "preferenceNamespaceSelector": let_in},
            ]
        )
    )
    for user, group in (("ann", "closed"), ("bob", "asked"), ("cec", "close"), ("dan", "opem")):
        cluster.preference(user, group=group, namespace="tenant")

    await settled(cluster)

    said = {user: cluster.message(USER_PREFERENCES, user, "tenant") for user in ("ann", "bob", "cec", "dan")}
    assert f"only from the template's own, {HOME}; create it there" in said["ann"]
    assert "label the namespace as the group's preferenceNamespaceSelector requires" in said["bob"]
    assert said["cec"].endswith("has no group close; correct spec.group to one of open")
    assert said["dan"].endswith("has no group opem (did you mean open?); correct spec.group")


async def test_a_preference_for_an_older_schema_keeps_what_was_accepted(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5}, schemaVersion=1)
    await settled(cluster)
    cluster.template(spec(schemaVersion=2))

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "BehindSchema")
    assert '"minutes":5' in str(cluster.file("ann"))


async def test_a_template_that_was_never_valid_serves_nobody(cluster: Cluster) -> None:
    cluster.template(BROKEN)
    cluster.preference("ann")

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "TemplateNotServed")


async def test_a_suspended_preference_keeps_what_is_rendered(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5})
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", {"session.minutes": 9}, suspend=True)
        await operator.quiet()
    assert '"minutes":5' in str(cluster.file("ann"))
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Suspended")

    assert await settled(cluster) == []
    cluster.preference("ann", {"session.minutes": 9})
    await settled(cluster)

    assert '"minutes":9' in str(cluster.file("ann"))


async def test_a_rollout_says_which_of_its_fields_are_not_built(cluster: Cluster) -> None:
    cluster.template()
    cluster.policy("p", {"flags": [{"name": "new", "rollout": {"on": 5}}]})

    await settled(cluster)

    assert cluster.ready(POLICY_ROLLOUTS, "p") == ("False", "NotSupported")
    assert "flags" in cluster.message(POLICY_ROLLOUTS, "p")
    assert await settled(cluster) == []


# Who may be where


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


async def test_a_target_namespace_must_let_the_template_in(cluster: Cluster) -> None:
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


# Objects of others


async def test_an_object_that_trimtab_did_not_make_is_left_alone(cluster: Cluster) -> None:
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


async def test_one_user_s_conflict_is_nobody_else_s(cluster: Cluster) -> None:
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
async def test_of_two_templates_that_meet_in_a_name_the_one_that_is_rendered_stays(
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


async def test_of_two_templates_that_meet_in_a_name_and_are_both_new_the_older_is_served(
    cluster: Cluster,
) -> None:
    cluster.template(spec(groups=[{"name": "c"}]), name="a-b", creationTimestamp="2026-01-02T00:00:00Z")
    cluster.template(spec(groups=[{"name": "b-c"}]), name="a", creationTimestamp="2026-01-01T00:00:00Z")

    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "a") == ("True", "Rendered")
    assert cluster.ready(CONFIG_TEMPLATES, "a-b") == ("False", "NameCollision")


async def test_a_name_that_became_free_is_taken(cluster: Cluster) -> None:
    cluster.template(spec(groups=[{"name": "b-c"}]), name="a", creationTimestamp="2026-01-01T00:00:00Z")
    cluster.template(spec(groups=[{"name": "c"}]), name="a-b", creationTimestamp="2026-01-02T00:00:00Z")
    async with Operator(cluster) as operator:
        await operator.quiet()
        assert cluster.ready(CONFIG_TEMPLATES, "a-b") == ("False", "NameCollision")
        cluster.remove(CONFIG_TEMPLATES, "a")
        await operator.quiet()

    assert cluster.ready(CONFIG_TEMPLATES, "a-b") == ("True", "Rendered")


# Drift


@pytest.mark.parametrize("edit", ["change", "add", "empty", "delete", "unlabel", "relabel", "lock", "binary"])
async def test_a_hand_edit_is_put_back_and_counted(cluster: Cluster, edit: str) -> None:
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


async def test_drift_during_downtime_is_put_back_at_the_start(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann")
    await settled(cluster)
    before = cluster.documents()
    cluster.remove(CONFIG_MAPS, "app-free-users-0")
    found = cluster.find(CONFIG_MAPS, "app-free")
    cluster.memory.put(CONFIG_MAPS, {**found, "data": {"x": "y"}})  # type: ignore[dict-item]

    await settled(cluster)

    assert cluster.documents() == before


async def test_a_deleted_rendered_group_is_made_again_and_its_numbers_go_on(cluster: Cluster) -> None:
    cluster.template()
    await settled(cluster)
    cluster.template(spec(keys=spec()["keys"][:2]))
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.remove(RENDERED_GROUPS, "app-free")
        await operator.quiet()

    status = cluster.find(RENDERED_GROUPS, "app-free")["status"]  # type: ignore[index]
    assert status["currentRevision"] == 3


# Going away


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
async def test_retained_outputs_stay_and_are_nobody_s(cluster: Cluster, alive: bool) -> None:
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


async def test_a_group_that_leaves_the_template_goes_even_with_retain(cluster: Cluster) -> None:
    cluster.template(spec(deletionPolicy="Retain"))
    await settled(cluster)
    cluster.template(spec(deletionPolicy="Retain", groups=[{"name": "free"}]))

    await settled(cluster)

    assert {o["metadata"]["name"] for o in cluster.outputs()} == {"app-free"}
    assert groups_of(cluster) == ["app-free"]


async def test_a_store_that_is_behind_sweeps_nothing(cluster: Cluster) -> None:
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


# Time and failure


async def test_a_refused_write_is_tried_again_with_patience(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann")
    api = Denying(cluster, CONFIG_MAPS, "apply", "app-free-users-0")
    async with Operator(cluster, api) as operator:
        await asyncio.sleep(0.5)
        assert 1 <= api.refused <= 12, "no busy loop"
        assert cluster.ready(USER_PREFERENCES, "ann")[0] != "True", "not said before it is so"

        api.error = None
        await operator.quiet()

    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_write_that_stays_refused_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "PATIENCE", 1)
    cluster.template()
    api = Denying(cluster, CONFIG_MAPS, "apply", "app-free")
    async with Operator(cluster, api) as operator:
        await asyncio.sleep(0.4)
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "WriteFailed")
        assert cluster.ready(RENDERED_GROUPS, "app-paid") == ("True", "Rendered")
        api.error = None
        await operator.quiet()

    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_user_without_any_entry_is_served_with_the_others(cluster: Cluster) -> None:
    keys = [{"name": "nick", "type": "String"}]
    output = {"name": "env", "format": "Env", "scope": "User"}
    cluster.template(spec(keys=keys, outputs=[output], groups=[{"name": "free"}]))
    cluster.preference("ann")
    async with Operator(cluster) as operator:
        await operator.quiet()
        cluster.preference("ann", suspend=False, schemaVersion=1)
        cluster.preference("bob", {"nick": "b"})
        await operator.quiet()
        cluster.preference("bob")
        await operator.quiet()

    assert cluster.documents() == {}
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert cluster.ready(USER_PREFERENCES, "bob") == ("True", "Accepted")


async def test_a_label_set_at_the_wrong_moment_costs_no_status(cluster: Cluster) -> None:
    class Labelling(Fence):
        async def replace_status(
            self, resource: Resource, namespace: str | None, name: str, *a: Any, **o: Any
        ) -> Body:
            if name not in labelled:
                labelled.add(name)
                patch = {"metadata": {"labels": {"team": "x"}}}
                await cluster.memory.merge_patch(resource, namespace, name, patch)
            return await super().replace_status(resource, namespace, name, *a, **o)

    labelled: set[str] = set()
    cluster.template()
    cluster.preference("ann")
    async with Operator(cluster, Labelling(cluster.memory, lambda: True)) as operator:
        await operator.quiet()

    assert labelled >= {"ann", "app", "app-free"}
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert cluster.ready(CONFIG_TEMPLATES, "app") == ("True", "Rendered")


async def test_a_status_never_speaks_of_a_generation_that_was_not_judged(cluster: Cluster) -> None:
    class Late(Fence):
        """The template is edited just before its status is written."""

        async def replace_status(
            self, resource: Resource, namespace: str | None, name: str, status: Body, **o: Any
        ) -> Body:
            if resource is CONFIG_TEMPLATES:
                ready = next(c for c in status["conditions"] if c["type"] == "Ready")
                said.append((status["observedGeneration"], ready["status"]))
            return await super().replace_status(resource, namespace, name, status, **o)

    said: list[tuple[int, str]] = []
    cluster.template()
    async with Operator(cluster, Late(cluster.memory, lambda: True)) as operator:
        for _ in range(30):
            cluster.template(BROKEN)
            await asyncio.sleep(0.001)
            cluster.template()
            await asyncio.sleep(0.001)
        await operator.quiet()

    assert said
    assert all(status != "False" for generation, status in said if generation % 2 == 1)
    assert all(status != "True" for generation, status in said if generation % 2 == 0)


async def test_what_is_said_is_bounded_as_the_crd_demands(cluster: Cluster) -> None:
    pattern = "^(" + "|".join(f"word{n}" for n in range(120)) + ")$"
    assert len(pattern) <= 1024
    keys = [
        {"name": "a", "type": "String", "pattern": pattern},
        {"name": "b", "type": "String", "enum": ["x" * 4000] * 8},
    ]
    cluster.template(spec(keys=keys, groups=[{"name": "free"}]))
    cluster.preference("ann", {"a": "no", "b": "no"})

    await settled(cluster)

    status = cluster.memory.objects(USER_PREFERENCES)[0]["status"]
    assert len(status["violations"]) == 2
    assert all(len(v["message"]) <= 1024 and len(v.get("nearest", "")) <= 1024 for v in status["violations"])
    assert all(len(c["message"]) <= 32768 for c in status["conditions"])


async def test_an_operator_that_may_not_write_writes_nothing(cluster: Cluster) -> None:
    cluster.template()
    await settled(cluster)
    cluster.template(spec(groups=[{"name": "new"}]))
    operator = Operator(cluster, may_write=lambda: False)
    operator.start()
    before = len(cluster.memory.writes)
    await operator.engine.lead()
    await asyncio.sleep(0.1)
    await operator.kill()

    assert cluster.memory.writes[before:] == []


async def test_two_operators_in_turn_end_where_one_would(cluster: Cluster) -> None:
    """The first one loses the Lease in the middle; its calls under way meet the second one's."""
    cluster.template()
    for name in ("ann", "bob"):
        cluster.preference(name)
    leading = [True, False]
    first = Operator(cluster, may_write=lambda: leading[0])
    second = Operator(cluster, may_write=lambda: leading[1])
    first.start()
    second.start()
    await first.engine.lead()
    for turn in range(6):
        cluster.template(
            spec(groups=[{"name": "free", "values": {"session.minutes": 40 + turn}}, {"name": "paid"}])
        )
        for _ in range(turn):
            await asyncio.sleep(0)
        leading[:] = [not leading[0], not leading[1]]
        engines = (first.engine, second.engine) if leading[0] else (second.engine, first.engine)
        engines[1].follow()
        await engines[0].lead()
    actor = first if leading[0] else second
    await actor.quiet()
    await first.kill()
    await second.kill()

    assert '"minutes":45' in str(cluster.file("ann"))
    assert await settled(cluster) == []


async def test_malformed_keys_stop_the_leader_with_a_remedy(cluster: Cluster) -> None:
    place = {"name": "trimtab-keys", "namespace": SYSTEM}
    cluster.memory.put(SECRETS, {"metadata": place, "data": {"fernet": "eA==", "digest": "eA=="}})
    operator = Operator(cluster)
    operator.start()

    with pytest.raises(ValueError, match="restore it from a backup"):
        await operator.engine.lead()

    await operator.kill()


# Workloads


def _deployment(cluster: Cluster) -> None:
    body = {"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}}
    cluster.memory.put(DEPLOYMENTS, {"metadata": {"name": "agent", "namespace": HOME}, **body})


def _stamp(cluster: Cluster) -> str | None:
    meta = cluster.memory.objects(DEPLOYMENTS)[0]["spec"]["template"]["metadata"]
    return (meta.get("annotations") or {}).get(naming.ANNOTATION_DIGEST)


async def test_a_workload_restarts_for_keys_that_need_it_alone(cluster: Cluster) -> None:
    keys = [
        {"name": "hot", "type": "Integer", "default": 1, "reload": "None"},
        {"name": "cold", "type": "Integer", "default": 1},
    ]
    workloads = [{"kind": "Deployment", "name": "agent"}]
    stamps = []
    _deployment(cluster)
    async with Operator(cluster) as operator:
        for values in ({}, {"hot": 2}, {"cold": 2}, {"cold": 2, "hot": 3}):
            group = {"name": "free", "values": values, "workloads": workloads}
            cluster.template(spec(keys=keys, groups=[group]))
            await operator.quiet()
            stamps.append(_stamp(cluster))

    assert stamps[0] is not None
    assert stamps[0] == stamps[1] != stamps[2] == stamps[3]
    assert await settled(cluster) == []


async def test_a_missing_workload_is_said_and_harms_nobody(cluster: Cluster) -> None:
    group = {"name": "free", "workloads": [{"kind": "Deployment", "name": "agent"}]}
    cluster.template(spec(groups=[group]))
    cluster.preference("ann")
    async with Operator(cluster) as operator:
        await operator.quiet()

    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert "does not exist" in cluster.message(RENDERED_GROUPS, "app-free")


async def test_groups_that_share_a_workload_restart_it_for_their_own_values_alone(cluster: Cluster) -> None:
    place = WorkloadKey("Deployment", HOME, "agent")
    cluster.memory.put(WORKLOADS["Deployment"], workload(place))
    workloads = [{"kind": "Deployment", "name": "agent"}]

    def said(**voices: str) -> Body:
        groups = [
            {"name": n, "workloads": workloads, "values": {"agent.voice": v}} for n, v in voices.items()
        ]
        return spec(groups=groups)

    def parts() -> dict[str, str]:
        body = cluster.find(WORKLOADS["Deployment"], "agent") or {}
        text = body["spec"]["template"]["metadata"]["annotations"]["trimtab.dev/digest"]
        return dict(part.split(":") for part in text.split(";"))

    cluster.template(said(free="calm", paid="loud"))
    await settled(cluster)
    first = parts()
    await settled(cluster)
    assert parts() == first
    cluster.template(said(free="calm", paid="soft"))
    await settled(cluster)

    assert first.keys() == parts().keys() == {"free", "paid"}
    assert (parts()["free"], parts()["paid"] != first["paid"]) == (first["free"], True)
    assert cluster.ready(RENDERED_GROUPS, "app-paid") == ("True", "Rendered")


class RefusingOnce(Fence):
    """The first write to a workload is refused."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.refused = asyncio.Event()

    async def apply(
        self, resource: Resource, body: Body, *, force: bool = True, subresource: str = ""
    ) -> Body:
        if resource is WORKLOADS["Deployment"] and not self.refused.is_set():
            self.refused.set()
            raise errors.UnavailableError(500, "InternalError", "not now")
        return await super().apply(resource, body, force=force, subresource=subresource)


async def test_a_restart_that_was_refused_is_tried_again_whatever_else_happens_meanwhile(
    cluster: Cluster,
) -> None:
    place = WorkloadKey("Deployment", HOME, "agent")
    cluster.memory.put(WORKLOADS["Deployment"], workload(place))
    workloads = [{"kind": "Deployment", "name": "agent"}]
    api = RefusingOnce(cluster)
    async with Operator(cluster, api) as operator:
        cluster.template(spec(groups=[{"name": "free", "workloads": workloads}]))
        await api.refused.wait()
        await asyncio.sleep(0.1)
        operator.engine.cluster.enqueue_group(GroupKey(HOME, "app", "free"))
        await asyncio.sleep(5)

    body = cluster.find(WORKLOADS["Deployment"], "agent") or {}
    assert "trimtab.dev/digest" in body["spec"]["template"]["metadata"].get("annotations", {})
