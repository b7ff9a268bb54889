"""A template that cannot be rendered changes nothing: outputs stay, and users continue to be rendered."""

from __future__ import annotations

from typing import Any

import pytest

from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS
from support.namespace import Namespace
from support.operator_process import Operator

SHORT_KEYS = [key for key in KEYS if key["name"] != "session.greeting"]
BROKEN: dict[str, tuple[Body, tuple[str, ...]]] = {
    "default of the wrong type": (
        {"keys": [{"name": "a", "type": "Integer", "default": "many"}]},
        ("a:", "Integer", '"many"'),
    ),
    "limit that does not apply": (
        {"keys": [{"name": "a", "type": "Boolean", "minimum": 1}]},
        ("a:", "minimum", "Boolean"),
    ),
    "pattern that does not compile": (
        {"keys": [{"name": "a", "type": "String", "pattern": "("}]},
        ("a:", "pattern"),
    ),
    "key that is a section too": (
        {"keys": [{"name": "a", "type": "String"}, {"name": "a.b", "type": "String"}]},
        ("a.b:", "section"),
    ),
    "group value of an unknown key": (
        {"groups": [{"name": "free", "values": {"session.minuts": 1}}]},
        ("session.minuts", "did you mean session.minutes"),
    ),
    "group value out of range": (
        {"groups": [{"name": "free", "values": {"session.minutes": 0}}]},
        ("session.minutes", "at least 1", "got 0"),
    ),
    "unknown profile": (
        {"groups": [{"name": "free", "profile": "prd"}], "profiles": [{"name": "prod"}]},
        ("prd", "did you mean prod"),
    ),
    "include of an unknown key": (
        {"outputs": [{**APP, "include": ["session.minuts"]}]},
        ("outputs[app]", "session.minuts", "did you mean session.minutes"),
    ),
    "no file name": (
        {"outputs": [{"name": "app", "format": "YAML"}]},
        ("outputs[app]", "fileName"),
    ),
    "two outputs of one file": (
        {"outputs": [APP, {**APP, "name": "other"}]},
        ("outputs[other]", "app.json"),
    ),
    "two keys that meet in one name": (
        {
            "keys": [{"name": "a.b", "type": "String"}, {"name": "a_b", "type": "String"}],
            "groups": [{"name": "free"}],
            "outputs": [{"name": "env", "format": "Env"}],
        },
        ("a.b", "a_b", "A_B"),
    ),
    "sensitive key named in a ConfigMap": (
        {
            "keys": [*KEYS, {"name": "api.token", "type": "String", "sensitive": True}],
            "outputs": [{**APP, "include": ["api.token"]}],
        },
        ("api.token", "Secret"),
    ),
    "required key without a value": (
        {"keys": [*KEYS, {"name": "must", "type": "String", "required": True, "setBy": "Group"}]},
        ("must", "required"),
    ),
    "ambiguous group name": ({"groups": [{"name": "free"}, {"name": "free-users-1"}]}, ("free-users-1", "ambiguous")),
    "values too big for an object": (
        {"groups": [{"name": "free", "values": {"session.greeting": "x" * 1_000_000}}]},
        ("bytes", "shorten"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_template_reports_its_violations_and_changes_nothing(
    operator: Operator, ns: Namespace, what: str
) -> None:
    fields, words = BROKEN[what]
    ns.with_alice()

    operator.quiet()
    before = ns.outputs()
    ns.template(**fields)
    ready = ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    said = ready["message"] + str(ready["of"]["violations"])
    for word in words:
        assert word.removesuffix(":") in said, (word, said)

    operator.quiet()
    assert ns.outputs() == before

    ns.accepted("alice")


def test_a_rejected_template_keeps_serving_also_after_a_restart_and_to_new_users(
    operator: Operator, ns: Namespace
) -> None:
    ns.template(groups=[{"name": "free", "values": {"session.greeting": "good"}}])
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "good"})
    ns.rendered()

    ns.template(groups=[{"name": "free", "values": {"session.minutes": "many"}}])
    ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    ns.preference("bob", {"session.minutes": 6})
    ns.wait_user("bob", {"session.minutes": 6, "session.greeting": "good"})
    operator.restart()
    ns.preference("carl", {"session.minutes": 7})
    ns.wait_user("carl", {"session.minutes": 7, "session.greeting": "good"})
    ns.preference("alice", {"session.minutes": 8})
    ns.wait_user("alice", {"session.minutes": 8, "session.greeting": "good"})
    for user in ("alice", "bob", "carl"):
        ns.accepted(user)
    ns.drop("ConfigMap", "app-free")
    wait_for(lambda: ns.get("ConfigMap", "app-free"), "what is deleted by hand comes back, too")
    assert ns.verdict("ConfigTemplate", "app") == ("False", "Rejected")

    mended = [{"name": "free", "values": {"session.greeting": "mended"}}]
    ns.template(groups=mended)
    ns.wait_user("carl", {"session.minutes": 7, "session.greeting": "mended"})
    ns.rendered()


def test_an_edit_back_to_the_good_content_is_the_same_revision(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.rendered()
    before = ns.one("RenderedGroup", "app-free")["status"]["revisions"]
    ns.template(keys=[{"name": "a", "type": "Integer", "default": "x"}])
    ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    ns.template()
    ns.rendered()
    assert ns.one("RenderedGroup", "app-free")["status"]["revisions"] == before


def test_a_template_that_was_never_valid_renders_no_user(operator: Operator, ns: Namespace) -> None:
    ns.template(keys=[{"name": "a", "type": "Integer", "default": "many"}])
    ns.preference("alice", {"a": 5})
    ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    ns.invalid("alice", "TemplateNotValid")
    assert ns.outputs() == {}
    ns.template(keys=[{"name": "a", "type": "Integer", "default": 1}], groups=[{"name": "free"}])
    ns.wait_user("alice", {"a": 5})
    ns.accepted("alice")


@pytest.mark.parametrize("restarted", [False, True], ids=["live", "after-a-restart"])
def test_a_template_that_shrinks_keeps_the_rest_of_what_its_users_set(
    operator: Operator, ns: Namespace, restarted: bool
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5, "session.greeting": "hi"})
    ns.preference("bob", {"session.minutes": 6})
    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "hi"})
    ns.accepted("alice")

    ns.template(keys=SHORT_KEYS)
    ready = ns.invalid("alice")
    assert ready["of"]["violations"][0]["key"] == "session.greeting"
    assert ready["of"]["accepted"]["values"] == {"session.minutes": 5, "session.greeting": "hi"}

    if restarted:
        operator.restart()
        operator.quiet()
    served = ns.wait_user("alice", {"session.minutes": 5})
    assert "greeting" not in served["session"]

    ns.wait_user("bob", {"session.minutes": 6})
    ns.accepted("bob")
    ns.rendered()
    ns.template()
    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "hi"})
    ns.accepted("alice")


def test_users_of_a_removed_group_are_informed_and_rendered_again_when_it_returns(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 6}, group="pro")
    ns.wait_user("alice", {"session.minutes": 5})
    ns.wait_user("bob", {"session.minutes": 6}, group="pro")
    ns.template(groups=[{"name": "pro"}])
    ready = ns.invalid("alice", "GroupNotFound")
    assert "free" in ready["message"]

    ns.gone("ConfigMap", "app-free-users-0")
    ns.gone("ConfigMap", "app-free")
    ns.wait_user("bob", {"session.minutes": 6}, group="pro")
    ns.accepted("bob")

    ns.template()
    ns.wait_user("alice", {"session.minutes": 5})
    ns.accepted("alice")


def test_of_two_templates_with_the_same_output_name_the_younger_reports_the_conflict(
    operator: Operator, ns: Namespace
) -> None:
    ns.template("app", groups=[{"name": "a-b"}])
    ns.rendered("app")

    before = ns.one("ConfigMap", "app-a-b")
    ns.template("app-a", groups=[{"name": "b"}])
    ready = ns.wait_verdict("ConfigTemplate", "app-a", "False", "NameCollision")
    assert f"{ns.name}/app " in ready["message"]
    assert "app-a-b" in ready["message"]

    operator.quiet()
    assert ns.one("ConfigMap", "app-a-b") == before

    ns.drop("ConfigTemplate", "app")
    ns.rendered("app-a")
    assert ns.one("ConfigMap", "app-a-b")["metadata"]["labels"]["trimtab.dev/template"] == "app-a"


def test_a_broken_template_bothers_no_other_template(operator: Operator, ns: Namespace) -> None:
    ns.template("good")
    ns.template("bad", keys=[{"name": "a", "type": "Integer", "default": "many"}])
    ns.preference("alice", {"session.minutes": 5}, of="good")
    ns.wait_verdict("ConfigTemplate", "bad", "False", "Rejected")
    ns.wait_user("alice", {"session.minutes": 5}, of="good")
    ns.rendered("good")


def test_a_value_that_one_format_cannot_hold_is_named_with_its_output(
    operator: Operator, ns: Namespace
) -> None:
    nul: dict[str, Any] = {"session.greeting": "a\0b"}
    ns.template(
        groups=[{"name": "free", "values": nul}],
        outputs=[PREFS, {"name": "env", "format": "Env", "fileName": "app.env"}],
    )
    ready = ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    for word in ("session.greeting", "env"):
        assert word in ready["message"]
