"""What is not valid: its status reports why, and the last accepted content stays in effect."""

from __future__ import annotations

import pytest

from support.in_memory import HOME, Cluster, Operator, groups_of, settled, spec
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    POLICY_ROLLOUTS,
    SECRETS,
    USER_PREFERENCES,
)

BROKEN = spec(keys=[{"name": "a", "type": "Number", "default": "x"}])


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


async def test_users_are_rendered_while_their_template_is_rejected(cluster: Cluster) -> None:
    cluster.template()
    await settled(cluster)
    cluster.template(BROKEN)
    cluster.preference("ann", {"session.minutes": 5})

    await settled(cluster)

    assert '"minutes":5' in str(cluster.file("ann"))
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")


async def test_a_sensitive_default_is_rendered_from_its_encrypted_snapshot(cluster: Cluster) -> None:
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
async def test_a_template_that_cannot_be_rendered_reports_why(
    cluster: Cluster, change: Body, reason: str
) -> None:
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
async def test_a_preference_that_has_no_effect_reports_why(
    cluster: Cluster, fields: Body, reason: str
) -> None:
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
        ({"group": "fre"}, "has no group fre; correct spec.group (did you mean free?)"),
        ({"group": "zzz"}, "has no group zzz; correct spec.group to one of free, paid"),
    ],
)
async def test_a_reference_to_a_missing_object_reports_what_to_correct(
    cluster: Cluster, fields: Body, said: str
) -> None:
    cluster.template()
    cluster.preference("ann", **fields)

    await settled(cluster)

    assert said in cluster.message(USER_PREFERENCES, "ann")


async def test_a_preference_that_is_not_admitted_reports_what_to_do_and_no_names(cluster: Cluster) -> None:
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
    assert said["dan"].endswith("has no group opem; correct spec.group (did you mean open?)")


async def test_a_preference_for_an_older_schema_keeps_what_was_accepted(cluster: Cluster) -> None:
    cluster.template()
    cluster.preference("ann", {"session.minutes": 5}, schemaVersion=1)
    await settled(cluster)
    cluster.template(spec(schemaVersion=2))

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "BehindSchema")
    assert '"minutes":5' in str(cluster.file("ann"))


async def test_a_template_that_was_never_valid_renders_no_user(cluster: Cluster) -> None:
    cluster.template(BROKEN)
    cluster.preference("ann")

    await settled(cluster)

    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "TemplateNotValid")


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


async def test_a_rollout_reports_its_fields_that_are_not_supported(cluster: Cluster) -> None:
    cluster.template()
    cluster.policy("p", {"flags": [{"name": "new", "rollout": {"on": 5}}]})

    await settled(cluster)

    assert cluster.ready(POLICY_ROLLOUTS, "p") == ("False", "NotSupported")
    assert "flags" in cluster.message(POLICY_ROLLOUTS, "p")
    assert await settled(cluster) == []
