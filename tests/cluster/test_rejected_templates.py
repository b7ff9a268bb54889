"""A template that cannot be served changes nothing: what was rendered stays, and users go on being served."""

from __future__ import annotations

from typing import Any

import pytest

from support.cluster_fixtures import Place
from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS
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
def test_a_broken_template_says_what_is_wrong_and_changes_nothing(
    operator: Operator, place: Place, what: str
) -> None:
    fields, words = BROKEN[what]
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    operator.quiet()
    before = place.outputs()
    place.template(**fields)
    ready = place.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    said = ready["message"] + str(ready["of"]["violations"])
    for word in words:
        assert word.removesuffix(":") in said, (word, said)
    operator.quiet()
    assert place.outputs() == before
    place.accepted("alice")


def test_a_rejected_template_keeps_serving_also_after_a_restart_and_to_new_users(
    operator: Operator, place: Place
) -> None:
    place.template(groups=[{"name": "free", "values": {"session.greeting": "good"}}])
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5, "session.greeting": "good"})
    place.rendered()
    place.template(groups=[{"name": "free", "values": {"session.minutes": "many"}}])
    place.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    place.preference("bob", {"session.minutes": 6})
    place.wait_user("bob", {"session.minutes": 6, "session.greeting": "good"})
    operator.restart()
    place.preference("carl", {"session.minutes": 7})
    place.wait_user("carl", {"session.minutes": 7, "session.greeting": "good"})
    place.preference("alice", {"session.minutes": 8})
    place.wait_user("alice", {"session.minutes": 8, "session.greeting": "good"})
    for user in ("alice", "bob", "carl"):
        place.accepted(user)
    place.drop("ConfigMap", "app-free")
    wait_for(lambda: place.get("ConfigMap", "app-free"), "what is deleted by hand comes back, too")
    assert place.verdict("ConfigTemplate", "app") == ("False", "Rejected")
    mended = [{"name": "free", "values": {"session.greeting": "mended"}}]
    place.template(groups=mended)
    place.wait_user("carl", {"session.minutes": 7, "session.greeting": "mended"})
    place.rendered()


def test_an_edit_back_to_the_good_content_is_the_same_revision(operator: Operator, place: Place) -> None:
    place.template()
    place.rendered()
    before = place.one("RenderedGroup", "app-free")["status"]["revisions"]
    place.template(keys=[{"name": "a", "type": "Integer", "default": "x"}])
    place.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    place.template()
    place.rendered()
    assert place.one("RenderedGroup", "app-free")["status"]["revisions"] == before


def test_a_template_that_was_never_valid_serves_nobody(operator: Operator, place: Place) -> None:
    place.template(keys=[{"name": "a", "type": "Integer", "default": "many"}])
    place.preference("alice", {"a": 5})
    place.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    place.invalid("alice", "TemplateNotServed")
    assert place.outputs() == {}
    place.template(keys=[{"name": "a", "type": "Integer", "default": 1}], groups=[{"name": "free"}])
    place.wait_user("alice", {"a": 5})
    place.accepted("alice")


@pytest.mark.parametrize("restarted", [False, True], ids=["live", "after-a-restart"])
def test_a_template_that_shrinks_keeps_the_rest_of_what_its_users_set(
    operator: Operator, place: Place, restarted: bool
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5, "session.greeting": "hi"})
    place.preference("bob", {"session.minutes": 6})
    place.wait_user("alice", {"session.minutes": 5, "session.greeting": "hi"})
    place.accepted("alice")
    place.template(keys=SHORT_KEYS)
    ready = place.invalid("alice")
    assert ready["of"]["violations"][0]["key"] == "session.greeting"
    assert ready["of"]["accepted"]["values"] == {"session.minutes": 5, "session.greeting": "hi"}
    if restarted:
        operator.restart()
        operator.quiet()
    served = place.wait_user("alice", {"session.minutes": 5})
    assert "greeting" not in served["session"]
    place.wait_user("bob", {"session.minutes": 6})
    place.accepted("bob")
    place.rendered()
    place.template()
    place.wait_user("alice", {"session.minutes": 5, "session.greeting": "hi"})
    place.accepted("alice")


def test_a_group_that_vanishes_says_so_to_its_users_and_takes_them_back_when_it_returns(
    operator: Operator, place: Place
) -> None:
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.preference("bob", {"session.minutes": 6}, group="pro")
    place.wait_user("alice", {"session.minutes": 5})
    place.wait_user("bob", {"session.minutes": 6}, group="pro")
    place.template(groups=[{"name": "pro"}])
    ready = place.invalid("alice", "GroupNotFound")
    assert "free" in ready["message"]
    place.gone("ConfigMap", "app-free-users-0")
    place.gone("ConfigMap", "app-free")
    place.wait_user("bob", {"session.minutes": 6}, group="pro")
    place.accepted("bob")
    place.template()
    place.wait_user("alice", {"session.minutes": 5})
    place.accepted("alice")


def test_two_templates_that_render_one_name_do_not_fight_and_the_younger_says_so(
    operator: Operator, place: Place
) -> None:
    place.template("app", groups=[{"name": "a-b"}])
    place.rendered("app")
    before = place.one("ConfigMap", "app-a-b")
    place.template("app-a", groups=[{"name": "b"}])
    ready = place.wait_verdict("ConfigTemplate", "app-a", "False", "NameCollision")
    assert f"{place.name}/app " in ready["message"]
    assert "app-a-b" in ready["message"]
    operator.quiet()
    assert place.one("ConfigMap", "app-a-b") == before
    place.drop("ConfigTemplate", "app")
    place.rendered("app-a")
    assert place.one("ConfigMap", "app-a-b")["metadata"]["labels"]["trimtab.dev/template"] == "app-a"


def test_a_broken_template_bothers_no_other_template(operator: Operator, place: Place) -> None:
    place.template("good")
    place.template("bad", keys=[{"name": "a", "type": "Integer", "default": "many"}])
    place.preference("alice", {"session.minutes": 5}, of="good")
    place.wait_verdict("ConfigTemplate", "bad", "False", "Rejected")
    place.wait_user("alice", {"session.minutes": 5}, of="good")
    place.rendered("good")


def test_a_value_that_one_format_cannot_hold_is_named_with_its_output(
    operator: Operator, place: Place
) -> None:
    nul: dict[str, Any] = {"session.greeting": "a\0b"}
    place.template(
        groups=[{"name": "free", "values": nul}],
        outputs=[PREFS, {"name": "env", "format": "Env", "fileName": "app.env"}],
    )
    ready = place.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    for word in ("session.greeting", "env"):
        assert word in ready["message"]
