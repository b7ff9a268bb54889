"""`trimtab history`: a group's revisions, and what a user preferred before."""

from __future__ import annotations

from typing import Any

import pytest

from support.cli_manifests import Call
from support.fake_cluster import FakeCluster, template
from support.stored_history import REVISIONS, preference, rendered
from trimtab.kube.resources import CONFIG_TEMPLATES, RENDERED_GROUPS, USER_PREFERENCES

Body = dict[str, Any]


def test_a_group_lists_its_revisions_newest_first(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(RENDERED_GROUPS, rendered(share={"revision": 4, "percent": 10}))
    answer = trimtab("history", "app", "free")

    assert answer.code == 0
    assert answer.out == (
        "ConfigTemplate music/app\n\n"
        "group free\n"
        "REVISION  CREATED               WHY       BY                    SNAPSHOT  POLICIES  IS\n"
        "4         2026-11-21T12:00:00Z  calmer 2  PolicyRollout calmer  app-bb    calmer    10% of users\n"
        "3         2026-11-20T12:00:00Z  app 7     -                     app-bb    -         current, stable\n"
        "1         2026-11-01T12:00:00Z  app 1     -                     app-aa    -\n"
    )


def test_a_template_lists_all_of_its_groups(cluster: FakeCluster, trimtab: Call) -> None:
    for group in ("pro", "free"):
        cluster.put(RENDERED_GROUPS, rendered(group))
    other = rendered("x")
    other["spec"] = {"templateRef": {"name": "web"}, "group": "x"}
    cluster.put(RENDERED_GROUPS, other)
    copied = rendered("free", currentRevision=1)
    cluster.put(RENDERED_GROUPS, {**copied, "metadata": {**copied["metadata"], "name": "copied"}})
    told = trimtab("history", "app", "-o", "json").json

    assert told["template"] == {"namespace": "music", "name": "app"}
    assert [(group["group"], group["current"], group["stable"]) for group in told["groups"]] == [
        ("free", 3, 3),
        ("pro", 3, 3),
    ]
    assert told["groups"][0]["revisions"][1] == {**REVISIONS[1], "marks": ["current", "stable"]}


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "name a TEMPLATE, or --user NAME"),
        (["app", "free", "--user", "alice"], 2, "a GROUP cannot be combined with --user"),
        (["ap"], 1, "there is no ConfigTemplate ap in namespace music; there is app"),
        (["app", "fre"], 1, "music/app has no group fre; did you mean free?"),
        (["web"], 1, "music/web has no revision yet; `trimtab status web -n music` shows why"),
        (["app", "-n", "other"], 1, "in namespace other; use -n for another namespace"),
        (["a/b"], 2, "a/b is not a valid name"),
        (
            ["--user", "alic"],
            1,
            "there is no preference in namespace music for user alic; did you mean alice?",
        ),
        (["--user", "alice", "-n", "other"], 1, "use -n for the preference's namespace"),
        (["--user", "a,b"], 2, "a,b is not a valid name of a user"),
    ],
)
def test_a_missing_object_is_reported(
    cluster: FakeCluster, trimtab: Call, args: list[str], code: int, said: str
) -> None:
    for name in ("app", "web"):
        cluster.put(CONFIG_TEMPLATES, template(name))
    cluster.put(RENDERED_GROUPS, rendered())
    cluster.put(USER_PREFERENCES, preference())
    answer = trimtab("history", *args)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_a_user_lists_what_was_accepted(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(USER_PREFERENCES, preference(generation=6))
    answer = trimtab("history", "--user", "alice")
    assert answer.code == 0
    assert answer.out == (
        "user alice: UserPreference music/alice, template music/app, group free\n"
        "GENERATION  SCHEMA  IS        VALUES\n"
        "5           2       in force  session.minutes: 9\n"
        "4           2                 session.minutes: 7, debug: true\n"
        "2           -                 (none)\n"
        "generation 6 is not in force (yet): `trimtab explain` shows why\n"
    )

    told = trimtab("history", "--user", "alice", "-o", "json").json
    assert told["accepted"] == {"generation": 5, "schemaVersion": 2, "values": {"session.minutes": 9}}
    assert told["history"][1] == {"generation": 2, "values": {}}


def test_a_user_is_found_by_spec_user(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(USER_PREFERENCES, preference("p-1", spec={"user": "Alice_1"}))
    cluster.put(USER_PREFERENCES, preference("alice", spec={"user": "somebody"}))
    assert trimtab("history", "--user", "Alice_1", "-o", "json").json["preference"]["name"] == "p-1"
    assert trimtab("history", "--user", "alice").code == 1


def test_of_several_preferences_of_a_user_one_is_chosen_by_template(
    cluster: FakeCluster, trimtab: Call
) -> None:
    cluster.put(USER_PREFERENCES, preference())
    cluster.put(USER_PREFERENCES, preference("alice-web", of="web", spec={"user": "alice"}))
    answer = trimtab("history", "--user", "alice")

    assert answer.code == 2
    assert (
        "user alice has 2 preferences in namespace music: app (alice), web (alice-web); choose one"
        in answer.err
    )
    assert (
        trimtab("history", "web", "--user", "alice", "-o", "json").json["preference"]["name"] == "alice-web"
    )


def test_what_was_never_accepted_has_no_history(cluster: FakeCluster, trimtab: Call) -> None:
    cluster.put(USER_PREFERENCES, {**preference(), "status": {}})
    assert "no generation has been accepted yet" in trimtab("history", "--user", "alice").out
