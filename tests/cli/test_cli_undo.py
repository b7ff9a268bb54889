"""`trimtab undo`: a rollout by an action, a template by being told how, a user by their older preference."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from support.cli_manifests import Call
from support.fake_cluster import STABLE, FakeCluster, policy_rollout, template
from support.stored_history import REVISIONS, keep, preference, rendered, spec
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
)

Body = dict[str, Any]


def _asked(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    return [
        (a["spec"]["action"], a["spec"]["rolloutRef"]["kind"], a["spec"]["rolloutRef"]["name"])
        for a in cluster.actions
    ]


@pytest.fixture
def group(cluster: FakeCluster) -> FakeCluster:
    """Group free, on revision 4 by PolicyRollout calmer; before, changes of the template."""
    cluster.put(CONFIG_TEMPLATES, template())
    cluster.put(POLICY_ROLLOUTS, policy_rollout("Succeeded", stable=STABLE, target=STABLE))
    cluster.put(RENDERED_GROUPS, rendered(currentRevision=4, stableRevision=4))
    keep(
        cluster,
        "app-aa",
        {
            **spec(),
            "keys": spec()["keys"][:2],
            "groups": [{"name": "free", "values": {"session.minutes": 20}}],
        },
    )
    keep(
        cluster,
        "app-bb",
        {
            **spec(),
            "keys": spec()["keys"][:2],
            "groups": [{"name": "free", "values": {"session.minutes": 25}}],
        },
    )
    return cluster


# Rollouts and groups.


def test_undoing_a_group_undoes_the_rollout_that_made_its_revision(group: FakeCluster, trimtab: Call) -> None:
    answer = trimtab("undo", "app", "free", "--reason", "support asked")
    assert answer.code == 0
    assert _asked(group) == [("Undo", "PolicyRollout", "calmer")]
    assert group.actions[0]["spec"]["reason"] == "support asked"
    assert group.actions[0]["spec"]["contentHash"] == STABLE["hash"]
    assert answer.out.startswith(
        "PolicyRollout music/calmer rolled out the present revision of group free; "
        "undo rolls back every group that it reached\n"
    )


@pytest.mark.parametrize("strategy", [None, {}])
def test_a_revision_that_names_no_rollout_undoes_none_whatever_moved_the_group_before(
    group: FakeCluster, trimtab: Call, strategy: Body | None
) -> None:
    group.put(CONFIG_TEMPLATES, {**template(), "spec": {"strategy": strategy}})
    moved = {"kind": "PolicyRollout", "name": "calmer", "uid": "u", "epoch": 3, "back": False}
    group.put(RENDERED_GROUPS, rendered(operation=moved))
    answer = trimtab("undo", "app", "free")
    assert (answer.code, _asked(group)) == (0, [])
    assert "a change of ConfigTemplate app without a strategy" in answer.out


def test_a_group_that_was_rolled_back_is_not_undone_by_the_same_rollout(
    group: FakeCluster, trimtab: Call
) -> None:
    moved = {"kind": "PolicyRollout", "name": "calmer", "uid": "u", "epoch": 3, "back": True}
    group.put(RENDERED_GROUPS, rendered(operation=moved))
    assert trimtab("undo", "app", "free").code == 0
    assert _asked(group) == []


@pytest.mark.parametrize("name", ["calmer", "policyrollout/calmer"])
def test_a_rollout_is_undone_by_its_name(group: FakeCluster, trimtab: Call, name: str) -> None:
    told = trimtab("undo", name, "-o", "json").json
    assert (told["accepted"], told["contentHash"]) == (True, STABLE["hash"])
    assert _asked(group) == [("Undo", "PolicyRollout", "calmer")]


def test_a_template_with_a_strategy_is_undone_as_a_rollout(group: FakeCluster, trimtab: Call) -> None:
    group.put(CONFIG_TEMPLATES, {**template(), "spec": {"strategy": {}}})
    entry = {**REVISIONS[1], "by": "ConfigTemplate app"}
    group.put(RENDERED_GROUPS, rendered(revisions=[entry, REVISIONS[2]]))
    assert trimtab("undo", "app", "free").code == 0
    assert _asked(group) == [("Undo", "ConfigTemplate", "app")]


def test_a_template_without_one_is_shown_and_never_written(group: FakeCluster, trimtab: Call) -> None:
    group.put(RENDERED_GROUPS, rendered())
    before = group.version
    answer = trimtab("undo", "app", "free")
    assert (answer.code, group.version) == (0, before)
    assert answer.out == (
        "group free of music/app: changes of a return from revision 3 to 1\n"
        "  session.minutes  25 (group/free) -> 20 (group/free)\n"
        "\n"
        "The revision is a change of ConfigTemplate app without a strategy, which took effect immediately. "
        "Trimtab never writes a spec, so nothing was undone.\n"
        "To undo it, restore the older spec in its source, for example in Git.\n"
        "Or replace it: trimtab undo app free -n music -o yaml | kubectl replace -f -\n"
    )

    printed = yaml.safe_load(trimtab("undo", "app", "free", "-o", "yaml").out)
    assert (printed["kind"], printed["metadata"]) == ("ConfigTemplate", {"name": "app", "namespace": "music"})
    assert printed["spec"]["groups"][0]["values"] == {"session.minutes": 20}


def test_a_sealed_template_is_not_printed_without_what_is_sealed(group: FakeCluster, trimtab: Call) -> None:
    group.put(RENDERED_GROUPS, rendered())
    keep(group, "app-aa", spec())
    answer = trimtab("undo", "app", "free", "-o", "yaml")
    assert (answer.code, answer.out) == (1, "")
    assert "revision 1 cannot be printed whole: groups/free/values/api.token are encrypted" in answer.err
    assert "Or replace it" not in trimtab("undo", "app", "free").out


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "name TEMPLATE and GROUP, a rollout, or --user NAME"),
        (["app", "free", "--user", "alice"], 2, "a group or rollout cannot be combined with --user"),
        (["app", "free", "--apply"], 2, "--apply, --force, --to and --template require --user"),
        (["--user", "alice", "--force"], 2, "--force requires --apply"),
        (["policyrollout/calmer", "free"], 2, "a PolicyRollout is undone in all of its groups"),
        (["app"], 1, "no strategy, so changes take effect immediately"),
        (["app", "fre"], 1, "did you mean free?"),
        (["app", "pro"], 1, "PolicyRollout gone rolled out its revision and does not exist: nothing to undo"),
        (["app", "old"], 1, "there is no older content of its template"),
        (["nothing"], 1, "there is no PolicyRollout or ConfigTemplate nothing"),
    ],
)
def test_what_cannot_be_undone_is_reported(
    group: FakeCluster, trimtab: Call, args: list[str], code: int, said: str
) -> None:
    gone = {**REVISIONS[0], "by": "PolicyRollout gone"}
    group.put(RENDERED_GROUPS, rendered("pro", [gone], currentRevision=4))
    group.put(RENDERED_GROUPS, rendered("old", [REVISIONS[1]]))
    answer = trimtab("undo", *args)
    assert (answer.code, _asked(group)) == (code, [])
    assert said in answer.err


META: Body = {
    "labels": {"team": "music"},
    "annotations": {"a": "b"},
    "finalizers": ["example.com/x"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u"}],
}


def test_what_is_printed_keeps_whatever_metadata_a_replacement_would_take_away(
    group: FakeCluster, trimtab: Call
) -> None:
    group.put(RENDERED_GROUPS, rendered())
    body = template()
    group.put(CONFIG_TEMPLATES, {**body, "metadata": body["metadata"] | META})
    user = preference()
    group.put(USER_PREFERENCES, {**user, "metadata": user["metadata"] | META})
    for name, args in (("app", ["app", "free", "-o", "yaml"]), ("alice", ["--user", "alice"])):
        printed = yaml.safe_load(trimtab("undo", *args).out)
        assert printed["metadata"] == {"name": name, "namespace": "music"} | META


def test_deleted_content_is_reported(group: FakeCluster, trimtab: Call) -> None:
    group.put(RENDERED_GROUPS, rendered())
    group.remove(CONTROLLER_REVISIONS, "music", "app-aa")
    assert "ControllerRevision app-aa does not exist" in trimtab("undo", "app", "free").err


# Users.


def test_the_older_preference_is_printed_for_kubectl(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(USER_PREFERENCES, preference(spec={"suspend": False, "schemaVersion": 3}))
    answer = trimtab("undo", "--user", "alice")
    assert answer.code == 0
    assert yaml.safe_load(answer.out) == {
        "apiVersion": "trimtab.dev/v1alpha1",
        "kind": "UserPreference",
        "metadata": {"name": "alice", "namespace": "music"},
        "spec": {
            "templateRef": {"name": "app"},
            "group": "free",
            "suspend": False,
            "schemaVersion": 2,
            "values": {"session.minutes": 7, "debug": True},
        },
    }
    assert (
        "note: preference of generation 4; nothing was changed, use --apply or `kubectl replace -f -`"
        in answer.err
    )

    older = yaml.safe_load(trimtab("undo", "--user", "alice", "--to", "2").out)["spec"]
    assert (older["values"], "schemaVersion" in older) == ({}, False)


def test_the_older_preference_is_applied_whole(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(
        USER_PREFERENCES,
        preference(values={"session.minutes": 9, "plugins": ["a"]}, spec={"schemaVersion": 3}),
    )
    answer = trimtab("undo", "--user", "alice", "--apply")
    assert answer.code == 0

    (now,) = cluster.objects(USER_PREFERENCES)
    assert now["spec"]["values"] == {"session.minutes": 7, "debug": True}
    assert now["spec"]["schemaVersion"] == 2
    assert [(force, body["spec"]) for force, body in cluster.applied] == [
        ("true", {"values": {"session.minutes": 7, "debug": True}, "schemaVersion": 2})
    ]
    assert "has the values of generation 4" in answer.out


def test_a_schema_version_that_was_not_set_is_removed(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(USER_PREFERENCES, preference(spec={"schemaVersion": 3}))
    assert trimtab("undo", "--user", "alice", "--to", "2", "--apply").code == 0
    (now,) = cluster.objects(USER_PREFERENCES)
    assert (now["spec"]["values"], "schemaVersion" in now["spec"]) == ({}, False)


def test_unchanged_values_are_not_written(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(
        USER_PREFERENCES, preference(values={"session.minutes": 7, "debug": True}, spec={"schemaVersion": 2})
    )
    before = cluster.version
    answer = trimtab("undo", "--user", "alice", "--apply")

    assert (answer.code, cluster.version, answer.err) == (
        0,
        before,
        "note: it already has these values: nothing was changed\n",
    )


def _managed(manager: str, fields: Body | None = None) -> Body:
    return {
        "manager": manager,
        "fieldsV1": {"f:spec": {"f:values": {"f:debug": {}}} if fields is None else fields},
    }


@pytest.mark.parametrize(
    ("meta", "who"),
    [
        ({"managedFields": [_managed("argocd-controller")]}, "field manager argocd-controller"),
        ({"managedFields": [_managed("portal")]}, "field manager portal"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux"),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "x"}, "managedFields": [_managed("kubectl")]},
            "Argo CD",
        ),
    ],
)
def test_fields_that_a_tool_manages_are_only_changed_with_force(
    cluster: FakeCluster, trimtab: Call, meta: Body, who: str
) -> None:
    body = preference()
    cluster.put(USER_PREFERENCES, {**body, "metadata": body["metadata"] | meta})
    refused = trimtab("undo", "--user", "alice", "--apply")
    assert (refused.code, cluster.applied) == (1, [])
    assert f"its values are managed by {who}, which would revert the change; change them there" in refused.err
    forced = trimtab("undo", "--user", "alice", "--apply", "--force")
    assert forced.code == 0
    assert f"note: adopted from {who}; the field manager is trimtab-cli" in forced.err


@pytest.mark.parametrize(
    "entry",
    [
        _managed("kubectl-client-side-apply"),
        _managed("trimtab-cli"),
        _managed("argocd-controller", {"f:group": {}}),
        _managed("trimtab", {}),
    ],
)
def test_what_people_have_written_people_may_undo(cluster: FakeCluster, trimtab: Call, entry: Body) -> None:
    body = preference()
    cluster.put(USER_PREFERENCES, {**body, "metadata": body["metadata"] | {"managedFields": [entry]}})
    assert trimtab("undo", "--user", "alice", "--apply").code == 0


def test_without_a_history_nothing_can_be_undone(cluster: FakeCluster, trimtab: Call) -> None:
    body = preference()
    del body["status"]["history"]
    cluster.put(USER_PREFERENCES, body)
    answer = trimtab("undo", "--user", "alice")
    assert (answer.code, "has no previous generation in its history (kept: none)" in answer.err) == (1, True)
