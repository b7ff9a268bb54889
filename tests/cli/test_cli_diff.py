"""`trimtab diff`: two revisions of a group, or two preferences of a user; with diff(1)'s exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from support.cli_manifests import Call
from support.fake_cluster import FakeCluster
from support.stored_history import KEYS, keep, preference, rendered, spec
from trimtab.kube.resources import CONTROLLER_REVISIONS, RENDERED_GROUPS, USER_PREFERENCES

Body = dict[str, Any]


@pytest.fixture
def revisions(cluster: FakeCluster) -> FakeCluster:
    """Group free: revision 1 (app-aa), 3 (app-bb, current and stable), 4 (3 with the policy calmer)."""
    cluster.put(RENDERED_GROUPS, rendered())
    keep(cluster, "app-aa", spec())
    keep(cluster, "app-bb", spec(25, "hunter3", schemaVersion=2))
    policy = {
        "templateRef": {"name": "app"},
        "policy": {"enforced": [{"key": "agent.temperature", "value": 0.2}]},
    }
    keep(cluster, "calmer-policy-1", policy, "policy")
    return cluster


def test_the_previous_revision_is_compared_with_the_one_in_effect(
    revisions: FakeCluster, trimtab: Call
) -> None:
    answer = trimtab("diff", "app", "free")

    assert answer.code == 1
    assert answer.out == (
        "group free of music/app: revision 1 -> 3 (current, stable)\n"
        "  session.minutes  20 (group/free) -> 25 (group/free)\n"
        "  api.token        (sensitive) (group/free) -> (sensitive), another value (group/free)\n"
        "\n"
        "Structure\n"
        "  schemaVersion  1 -> 2\n"
    )
    assert "hunter" not in answer.out + answer.err


def test_two_revisions_can_be_named(revisions: FakeCluster, trimtab: Call) -> None:
    answer = trimtab("diff", "app", "free", "3", "4", "-o", "json")

    assert answer.code == 1
    assert answer.json == {
        "template": {"namespace": "music", "name": "app"},
        "group": "free",
        "from": {"revision": 3, "marks": ["current", "stable"]},
        "to": {"revision": 4, "marks": []},
        "different": True,
        "keys": [
            {
                "key": "agent.temperature",
                "change": "Changed",
                "old": {"value": 0.7, "layer": "default"},
                "new": {"value": 0.2, "layer": "enforced/calmer"},
            }
        ],
        "structure": [answer.json["structure"][0]],
        "notes": [],
    }
    assert (answer.json["structure"][0]["path"], answer.json["structure"][0]["change"]) == (
        "policies[calmer]",
        "Added",
    )


@pytest.mark.parametrize(
    ("status", "compared"),
    [
        ({}, (1, 3)),
        ({"stableRevision": 1}, (1, 3)),
        ({"currentRevision": 4}, (3, 4)),
        ({"share": {"revision": 4, "percent": 10}}, (3, 4)),
    ],
)
def test_by_default_what_moves_is_compared(
    revisions: FakeCluster, trimtab: Call, status: Body, compared: tuple[int, int]
) -> None:
    revisions.put(RENDERED_GROUPS, rendered(**status))
    told = trimtab("diff", "app", "free", "-o", "json").json
    assert (told["from"]["revision"], told["to"]["revision"]) == compared


def test_equal_revisions_are_0(revisions: FakeCluster, trimtab: Call) -> None:
    answer = trimtab("diff", "app", "free", "3", "3")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "no difference")


def test_of_a_snapshot_without_digests_sensitive_values_are_left_out(
    revisions: FakeCluster, trimtab: Call
) -> None:
    keep(revisions, "app-aa", spec(), digests=False)
    answer = trimtab("diff", "app", "free")
    assert "api.token" not in answer.out
    assert "note: sensitive values are omitted" in answer.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name TEMPLATE and GROUP, or --user NAME"),
        (["app"], "name TEMPLATE and GROUP, or --user NAME"),
        (["app", "free", "x"], "x is not a valid revision"),
        (["app", "free", "2"], "group free of music/app has no revision 2; it has 4, 3, 1"),
        (["app", "fre"], "did you mean free?"),
        (["app", "pro"], "group pro of music/app has no revision before 3; there is nothing to compare"),
        (["app", "back"], "has no revision before 1; it has 4, 3: name FROM and TO"),
        (["app", "free", "1", "4"], "ControllerRevision calmer-policy-1 does not exist"),
        (["--user", "alice", "5", "6"], "--user can be combined with one generation"),
        (["--user", "alice", "3"], "no generation 3 in its history (kept: 4, 2)"),
        (["--user", "bob"], "there is no preference in namespace music for user bob"),
    ],
)
def test_all_trouble_is_2(revisions: FakeCluster, trimtab: Call, args: list[str], said: str) -> None:
    revisions.put(RENDERED_GROUPS, rendered("pro", [{"number": 3, "snapshot": "app-bb"}]))
    revisions.put(RENDERED_GROUPS, rendered("back", currentRevision=1, stableRevision=1))
    revisions.put(USER_PREFERENCES, preference())
    revisions.remove(CONTROLLER_REVISIONS, "music", "calmer-policy-1")
    answer = trimtab("diff", *args)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


def test_a_user_who_may_not_read_revisions_learns_the_missing_permission(
    revisions: FakeCluster, trimtab: Call
) -> None:
    revisions.forbidden = {"controllerrevisions"}
    answer = trimtab("diff", "app", "free")
    assert (answer.code, "request the verb get on them" in answer.err) == (2, True)


def test_a_revision_that_cannot_be_read_is_reported(revisions: FakeCluster, trimtab: Call) -> None:
    revisions.put(
        CONTROLLER_REVISIONS, {"metadata": {"name": "app-aa", "namespace": "music"}, "data": {"spec": 3}}
    )
    answer = trimtab("diff", "app", "free")
    assert (answer.code, answer.err) == (
        2,
        "error: revision 1 cannot be read: it holds no spec (ValidationError)\n",
    )


# Users.


def test_a_user_is_compared_on_what_their_group_is_served(revisions: FakeCluster, trimtab: Call) -> None:
    revisions.put(USER_PREFERENCES, preference())
    answer = trimtab("diff", "--user", "alice", "2")

    assert answer.code == 1
    assert answer.out == (
        "user alice: generation 2 -> 5 (in force)\n"
        "  session.minutes  25 (group/free) -> 9 (user)\n"
        "\n"
        "Structure\n"
        "  schemaVersion  (unset) -> 2\n"
    )


@pytest.mark.parametrize("set_by", ["User", "Group"])
@pytest.mark.parametrize("where", ["default", "profile", "group"])
def test_a_sensitive_key_that_is_required_is_no_obstacle(
    cluster: FakeCluster, trimtab: Call, set_by: str, where: str
) -> None:
    token: Body = {
        "name": "api.token",
        "type": "String",
        "sensitive": True,
        "required": True,
        "setBy": set_by,
    }
    made = spec(token="hunter2")
    group: Body = {"name": "free", "values": {"session.minutes": 20}}
    given: Body = {"groups": [group]}
    if where == "default":
        token["default"] = "hunter2"
    elif where == "profile":
        group["profile"] = "calm"
        given["profiles"] = [{"name": "calm", "values": {"api.token": "hunter2"}}]
    else:
        group["values"]["api.token"] = "hunter2"
    cluster.put(RENDERED_GROUPS, rendered())
    keep(cluster, "app-bb", {**made, **given, "keys": [*KEYS[:2], token]})
    keep(cluster, "app-aa", {**made, **given, "keys": [*KEYS[:2], token]}, digests=False)
    cluster.put(USER_PREFERENCES, preference())

    of_user, of_group = trimtab("diff", "--user", "alice"), trimtab("diff", "app", "free", "1", "3")

    assert (of_user.code, of_group.code) == (1, 0)
    assert "session.minutes  7 (user) -> 9 (user)" in of_user.out
    assert "hunter2" not in of_user.out + of_group.out


def test_values_of_removed_keys_are_shown_as_written(revisions: FakeCluster, trimtab: Call) -> None:
    revisions.put(USER_PREFERENCES, preference())
    told = trimtab("diff", "--user", "alice", "-o", "json").json
    assert [(k["key"], k["change"], k.get("old"), k.get("new")) for k in told["keys"]] == [
        ("session.minutes", "Changed", {"value": 7, "layer": "user"}, {"value": 9, "layer": "user"}),
        ("debug", "Removed", {"value": True, "layer": "user, no longer valid"}, None),
    ]


def test_who_may_not_see_the_group_compares_their_own_values(revisions: FakeCluster, trimtab: Call) -> None:
    revisions.put(USER_PREFERENCES, preference())
    revisions.forbidden = {"renderedgroups"}
    answer = trimtab("diff", "--user", "alice")
    assert answer.code == 1
    assert "- debug            true (user)" in answer.out
    assert "note: the group's revision cannot be read" in answer.err


def test_a_user_who_returned_to_earlier_values_does_not_differ(revisions: FakeCluster, trimtab: Call) -> None:
    revisions.put(USER_PREFERENCES, preference())
    assert trimtab("diff", "--user", "alice", "5").code == 0
