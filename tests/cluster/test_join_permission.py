"""Who may put a preference into a group: users with the verb join on it, however the preference is written."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

import pytest
import yaml

from support.live_objects import KINDS, Body, RefusedError, wait_for
from support.manifests import preference
from support.namespace import Namespace
from support.service_accounts import EDITS, Hire, Person, may, refused


@pytest.fixture
def member(ns: Namespace, hire: Hire) -> Person:
    """Somebody who edits preferences, and has one in group free that was made by others, as if before the policies."""
    ann = hire()
    ann.grant(EDITS)
    ns.preference("alice", {"session.minutes": 5})
    return ann


def test_creating_a_preference_needs_join(ns: Namespace, member: Person) -> None:
    body = preference(ns.name, "bob", group="pro")
    for verb in ("get", "create", "update", "*"):
        member.grant(may("renderedgroups", verb, named="app-free"))
    said = refused(lambda: member.tries(body))
    assert f'UserPreference {ns.name}/bob: user "{member.username}" cannot join' in said
    assert f'renderedgroups.trimtab.dev "app-pro" in namespace "{ns.name}"' in said
    rule = yaml.safe_load(said[said.index("{") : said.rindex("}") + 1])
    assert rule == may("renderedgroups", "join", named="app-pro")
    assert "cannot join" in refused(lambda: member.api.create(body))
    assert "cannot join" in refused(lambda: member.api.apply(body))
    nameless = copy.deepcopy(body)
    nameless["metadata"] = {"generateName": "bob-", "namespace": ns.name}
    assert "cannot join" in refused(lambda: member.api.create(nameless))

    member.grant(rule)
    member.api.create(body)
    member.api.create(nameless)


def test_a_user_in_a_group_edits_without_join(ns: Namespace, member: Person) -> None:
    member.api.patch("UserPreference", ns.name, "alice", {"spec": {"values": {"session.minutes": 7}}})
    member.api.patch("UserPreference", ns.name, "alice", {"spec": {"suspend": True}})
    member.api.patch("UserPreference", ns.name, "alice", {"metadata": {"labels": {"a": "b"}}})
    # saying the default aloud, and no longer, is no move
    for home in (ns.name, None):
        change = {"spec": {"templateRef": {"namespace": home}}}
        member.api.patch("UserPreference", ns.name, "alice", change)
    whole = ns.one("UserPreference", "alice")
    whole["spec"]["values"] = {"session.minutes": 9}
    member.api.call("PUT", KINDS["UserPreference"].path(ns.name, "alice"), whole)
    member.api.apply(preference(ns.name, "alice", {"session.minutes": 11}))

    assert ns.one("UserPreference", "alice")["spec"]["values"] == {"session.minutes": 11}


MOVES: dict[str, Body] = {
    "group": {"group": "pro"},
    "template": {"templateRef": {"name": "web"}},
    "namespace": {"templateRef": {"name": "app", "namespace": "elsewhere"}},
    "all three": {"templateRef": {"name": "web", "namespace": "elsewhere"}, "group": "pro"},
}


@pytest.mark.parametrize("move", MOVES)
def test_no_way_of_editing_moves_a_preference_without_join(ns: Namespace, member: Person, move: str) -> None:
    before = ns.one("UserPreference", "alice")
    path = KINDS["UserPreference"].path(ns.name, "alice")
    spec = before["spec"] | copy.deepcopy(MOVES[move])

    def whole() -> Body:
        """As it is now, moved."""
        return ns.one("UserPreference", "alice") | {"spec": spec}

    json_patch = [
        {"op": "replace", "path": f"/spec/{name}", "value": value} for name, value in MOVES[move].items()
    ]
    applied = {key: whole()[key] for key in ("apiVersion", "kind", "spec")}
    applied["metadata"] = {"name": "alice", "namespace": ns.name}
    file = member.kubeconfig.with_suffix(".json")
    kubectl = [f"--kubeconfig={member.kubeconfig}", "-n", ns.name]

    ways: list[Callable[[], object]] = [
        lambda: member.api.patch("UserPreference", ns.name, "alice", {"spec": MOVES[move]}),
        lambda: member.api.call("PATCH", path, json_patch, kind="application/json-patch+json"),
        lambda: member.api.call("PUT", path, whole()),
        lambda: member.api.apply(applied),
    ]
    for way in ways:
        wait_for(lambda way=way: "cannot join" in refused(way))

    def kubectl_says(words: list[str]) -> str:
        file.write_text(json.dumps(whole()))
        done = ns.operator_cluster.kubectl(*words, *kubectl, check=False)
        assert done.returncode != 0
        return str(done.stderr)

    for words in (
        ["replace", "-f", str(file)],
        ["replace", "--raw", path, "-f", str(file)],
        ["apply", "-f", str(file)],
    ):
        wait_for(lambda words=words: "cannot join" in kubectl_says(words))
    assert ns.one("UserPreference", "alice")["spec"] == before["spec"]


def test_a_move_needs_join_where_it_goes_and_nothing_where_it_leaves(ns: Namespace, member: Person) -> None:
    member.grant(may("renderedgroups", "join", named="app-pro"))
    member.api.patch("UserPreference", ns.name, "alice", {"spec": {"group": "pro"}})
    back = {"spec": {"group": "free"}}
    said = refused(lambda: member.api.patch("UserPreference", ns.name, "alice", back))
    assert '"app-free"' in said


def test_leaving_and_coming_back_is_joining(ns: Namespace, member: Person) -> None:
    member.api.delete("UserPreference", ns.name, "alice")
    assert "cannot join" in refused(lambda: member.api.create(preference(ns.name, "alice")))


def test_join_counts_in_the_templates_namespace(ns: Namespace, hire: Hire) -> None:
    # given: somebody who may join everything at home, and a template that lives elsewhere
    ann, home = hire(), ns.operator_cluster.new_namespace("home")
    ann.grant(EDITS, may("renderedgroups", "join"))
    body = preference(ns.name, "alice", home=home)

    # then: at home is not where it counts
    said = refused(lambda: ann.tries(body))
    assert f'renderedgroups.trimtab.dev "app-free" in namespace "{home}"' in said
    ann.grant(may("renderedgroups", "join", named="app-free"), namespace=home)
    ann.api.create(body)

    # and the other way round: who may join there may not join here
    bob = hire("bob")
    bob.grant(EDITS)
    bob.grant(may("renderedgroups", "join"), namespace=home)
    assert "cannot join" in refused(lambda: bob.tries(preference(ns.name, "bob")))
    bob.tries(preference(ns.name, "bob", home=home))
    # nor bring a preference home that is at the other template
    change = {"spec": {"templateRef": {"namespace": None}}}
    assert "cannot join" in refused(lambda: bob.api.patch("UserPreference", ns.name, "alice", change))


@pytest.mark.parametrize(
    "rule",
    [
        may("renderedgroups", "join", named="app"),
        may("renderedgroups", "join", named="free"),
        may("renderedgroups", "join", named="app-free-users-0"),
        may("renderedgroups", "get", "list", "create", "update", "patch", "delete"),
        may("renderedgroups", "join", group="apps"),
        may("renderedgroups/status", "join"),
        may("configtemplates", "join"),
        may("userpreferences", "join"),
    ],
    ids=lambda rule: f"{rule['resources'][0]}-{rule['verbs'][0]}-{rule.get('resourceNames', [''])[0]}".strip(
        "-"
    ),
)
def test_what_only_looks_like_join_does_not_help(ns: Namespace, hire: Hire, rule: Body) -> None:
    ann = hire()
    ann.grant(EDITS, rule)
    assert "cannot join" in refused(lambda: ann.tries(preference(ns.name, "alice")))


@pytest.mark.parametrize(
    "rule",
    [may("renderedgroups", "join"), may("renderedgroups", "*"), may("*", "*"), may("*", "*", group="*")],
    ids=["any group", "any verb", "any resource", "anything"],
)
def test_wildcards_join_too(ns: Namespace, hire: Hire, rule: Body) -> None:
    ann = hire()
    ann.grant(EDITS, rule)
    ann.tries(preference(ns.name, "alice"))


def test_a_grant_is_about_a_rendered_groups_name_however_it_is_put_together(
    ns: Namespace, hire: Hire
) -> None:
    """Decision 015: two templates of which both could have it are told apart by NameCollision, not by RBAC."""
    ann = hire()
    ann.grant(EDITS, may("renderedgroups", "join", named="a-b-c"))
    one = preference(ns.name, "one", of="a-b", group="c")
    ann.tries(one)
    ann.tries(preference(ns.name, "two", of="a", group="b-c"))
    assert "cannot join" in refused(lambda: ann.tries(preference(ns.name, "three", of="a", group="b")))

    # who may not join it cannot go from one to the other either, though the name stays the same
    ns.api.create(one)
    bob = hire("bob")
    bob.grant(EDITS)
    other = {"spec": {"templateRef": {"name": "a"}, "group": "b-c"}}
    said = refused(lambda: bob.api.patch("UserPreference", ns.name, "one", other))
    assert '"a-b-c"' in said


def test_a_status_is_written_without_join_and_moves_no_user(ns: Namespace, hire: Hire) -> None:
    # given: somebody who may write the status alone, as the operator does
    ann = hire()
    ann.grant(may("userpreferences/status", "patch", "update"))
    before = ns.preference("alice")
    change = {"spec": {"group": "pro"}, "status": {"observedGeneration": 1}}
    after = ann.api.patch("UserPreference", ns.name, "alice", change, subresource="status")
    assert (after["spec"], after["status"]) == (before["spec"], {"observedGeneration": 1})


def test_no_client_can_change_the_user_of_a_preference(ns: Namespace, member: Person) -> None:
    member.grant(may("renderedgroups", "join"))
    change = {"spec": {"user": "bob"}}
    for api in (member.api, ns.api):
        with pytest.raises(RefusedError, match="is immutable"):
            api.patch("UserPreference", ns.name, "alice", change)
