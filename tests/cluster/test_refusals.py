"""A user's mistake results in a condition that names key, problem and remedy; no other user is affected."""

from __future__ import annotations

from typing import Any

import pytest

from support.live_objects import Body, RefusedError
from support.manifests import APP, KEYS, PREFS, preference
from support.namespace import Namespace
from support.operator_process import Operator

SEALED_KEYS = [*KEYS, {"name": "api.token", "type": "String", "sensitive": True}]

INVALID: dict[str, tuple[Body, str, str, str]] = {
    "unknown key": ({"session.minuts": 5}, "session.minuts", "unknown", "session.minutes"),
    "out of range": ({"agent.temperature": 3}, "agent.temperature", "maximum", "2"),
    "wrong type": ({"session.minutes": "many"}, "session.minutes", "type", ""),
    "null in a list": ({"session.greeting": ["a"]}, "session.greeting", "type", ""),
    "set by the group": ({"agent.provider": "local"}, "agent.provider", "setBy", ""),
    "sensitive in clear": ({"api.token": "canary-in-clear"}, "api.token", "sensitive", ""),
}


@pytest.mark.parametrize("what", INVALID)
def test_an_invalid_value_is_named_with_its_rule_and_the_nearest_that_fits(
    operator: Operator, ns: Namespace, what: str
) -> None:
    values, key, rule, nearest = INVALID[what]
    ns.template(keys=SEALED_KEYS)
    ns.preference("bob", {"session.minutes": 6})
    ns.preference("alice", {"session.minutes": 5, **values})
    ready = ns.invalid("alice")
    found = ready["of"]["violations"][0]
    assert (found["key"], found["rule"], found["layer"]) == (key, rule, "user")
    assert found.get("nearest", "") == nearest
    assert key in ready["message"]
    assert "the group's values are in force" in ready["message"]

    ns.wait_user("alice", {"session.minutes": 30})
    ns.wait_user("bob", {"session.minutes": 6})
    ns.accepted("bob")


def test_an_invalid_edit_keeps_what_was_accepted_last_also_after_a_restart(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.accepted("alice")

    ns.preference("alice", {"session.minutes": 0, "session.greeting": "no"})
    ready = ns.invalid("alice")
    assert "what was accepted last stays in force" in ready["message"]

    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "hello"})
    operator.restart()
    operator.quiet()
    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "hello"})
    ns.template(groups=[{"name": "free", "values": {"session.greeting": "new"}}])
    ns.wait_user("alice", {"session.minutes": 5, "session.greeting": "new"})
    ns.preference("alice", {"session.minutes": 7})
    ns.wait_user("alice", {"session.minutes": 7})
    assert "violations" not in ns.accepted("alice")["of"]


def test_a_required_key_without_a_value_is_the_users_to_set(operator: Operator, ns: Namespace) -> None:
    ns.template(keys=[*KEYS, {"name": "must", "type": "String", "required": True}])
    ns.preference("alice", {"session.minutes": 5})
    ready = ns.invalid("alice")
    assert ready["of"]["violations"] == [
        {
            "key": "must",
            "layer": "user",
            "rule": "required",
            "message": "is required and has no value; set it",
        }
    ]

    ns.preference("alice", {"session.minutes": 5, "must": ""})
    ns.wait_user("alice", {"must": ""})
    ns.accepted("alice")


def test_lossless_coercion_takes_what_is_meant_and_warns(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"agent.temperature": "0.9", "session.minutes": 5.0, "session.greeting": 42})
    ready = ns.accepted("alice")
    assert {(w["key"], w["reason"]) for w in ready["of"]["warnings"]} == {
        ("agent.temperature", "Coerced"),
        ("session.greeting", "Coerced"),
    }
    ns.wait_user("alice", {"agent.temperature": 0.9, "session.minutes": 5, "session.greeting": "42"})
    assert ready["of"]["accepted"]["values"]["agent.temperature"] == "0.9"  # what was written


def test_strict_coercion_refuses(operator: Operator, ns: Namespace) -> None:
    ns.template(coercion="Strict")
    ns.preference("alice", {"agent.temperature": "0.9"})
    assert ns.invalid("alice")["of"]["violations"][0]["rule"] == "type"


def test_a_deprecated_key_still_works_and_warns(operator: Operator, ns: Namespace) -> None:
    deprecated = {
        "name": "old",
        "type": "Integer",
        "deprecated": {"message": "use new", "replacedBy": "session.minutes"},
    }
    ns.template(keys=[*KEYS, deprecated])
    ns.preference("alice", {"old": 1})
    ready = ns.accepted("alice")

    assert ready["of"]["warnings"][0]["reason"] == "Deprecated"
    assert "use new" in ready["of"]["warnings"][0]["message"]


def test_a_user_whose_files_are_too_big_keeps_the_old_ones(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 6})
    ns.accepted("alice")

    ns.preference("alice", {"session.greeting": "x" * 950_000})
    ready = ns.invalid("alice")
    assert ready["of"]["violations"][0]["rule"] == "tooLarge"

    ns.wait_user("alice", {"session.minutes": 5})
    ns.wait_user("bob", {"session.minutes": 6})
    ns.rendered()


def test_a_reference_to_a_missing_object_names_it(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("dangling", of="apq")
    ns.preference("astray", group="fre")
    assert f"{ns.name}/apq" in ns.invalid("dangling", "TemplateNotFound")["message"]
    assert "did you mean free" in ns.invalid("astray", "GroupNotFound")["message"]
    ns.template("apq")
    ns.accepted("dangling")


TEMPLATE_FIELDS: dict[str, Body] = {
    "spec.rules": {"rules": [{"name": "r", "expression": "values.session.minutes > 0"}]},
    "spec.flags": {
        "flags": [{"name": "f", "state": "Enabled", "variants": {"on": True, "off": False}, "defaultVariant": "off"}]
    },
    "spec.migrations": {"schemaVersion": 2, "migrations": [{"from": 1, "steps": [{"drop": "old"}]}]},
    "spec.outputs[1].format (Text)": {
        "outputs": [APP, {"name": "motd", "format": "Text", "fileName": "motd", "template": "hi"}]
    },
    "spec.outputs[1].format (Flagd)": {
        "outputs": [APP, {"name": "flags", "format": "Flagd", "fileName": "flags.json"}]
    },
}  # fmt: skip


@pytest.mark.parametrize("field", TEMPLATE_FIELDS)
def test_a_template_field_that_is_not_built_is_refused_by_name_and_changes_nothing(
    operator: Operator, ns: Namespace, field: str
) -> None:
    ns.template()
    ns.rendered()

    before = ns.outputs()
    ns.template(**TEMPLATE_FIELDS[field])
    ready = ns.wait_verdict("ConfigTemplate", "app", "False", "NotSupported")
    assert field in ready["message"]

    operator.quiet()
    assert ns.outputs() == before

    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})


PREFERENCE_FIELDS: dict[str, Body] = {
    "spec.sealedValues": {"sealedValues": {"api.token": "sealed"}},
    "spec.secretRefs": {"secretRefs": [{"key": "api.token", "name": "s", "secretKey": "token"}]},
    "spec.flags": {"flags": {"f": "on"}},
}


@pytest.mark.parametrize("field", PREFERENCE_FIELDS)
def test_a_preference_field_that_is_not_built_is_refused_by_name_and_keeps_what_was_accepted(
    operator: Operator, ns: Namespace, field: str
) -> None:
    ns.template(keys=SEALED_KEYS)
    ns.preference("alice", {"session.minutes": 5})
    ns.accepted("alice")
    ns.preference("alice", {"session.minutes": 6}, **PREFERENCE_FIELDS[field])
    ready = ns.invalid("alice", "NotSupported")
    assert field in ready["message"]
    ns.wait_user("alice", {"session.minutes": 5})


def test_a_policys_flags_are_not_built_and_the_policy_changes_nothing(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    ns.rendered()
    before = ns.outputs()
    ns.policy(content={"values": {"session.minutes": 1}, "flags": [{"name": "f", "rollout": {"on": 5}}]})
    ready = ns.wait_verdict("PolicyRollout", "calmer", "False", "NotSupported")
    assert "spec.policy.flags" in ready["message"]
    operator.quiet()
    assert ns.outputs() == before


MALFORMED: dict[str, Any] = {
    "no template": {"group": "free"},
    "values that are a list": {"templateRef": {"name": "app"}, "group": "free", "values": ["a"]},
    "a user with a dot": {"templateRef": {"name": "app"}, "group": "free", "user": "a.b"},
    "a schemaVersion of 0": {"templateRef": {"name": "app"}, "group": "free", "schemaVersion": 0},
}


@pytest.mark.parametrize("what", MALFORMED)
def test_the_api_server_refuses_what_is_malformed(operator: Operator, ns: Namespace, what: str) -> None:
    body = {**preference(ns.name, "alice"), "spec": MALFORMED[what]}
    with pytest.raises(RefusedError) as refused:
        ns.api.create(body)
    assert refused.value.status == 422


def test_a_user_cannot_be_renamed(operator: Operator, ns: Namespace) -> None:
    ns.preference("alice", user="alice-a")
    with pytest.raises(RefusedError) as refused:
        ns.preference("alice", user="alice-b")
    assert "is immutable" in str(refused.value)


def test_an_output_of_another_kind_is_refused_where_a_sensitive_key_requires_a_secret(
    operator: Operator, ns: Namespace
) -> None:
    """A wildcard passes over sensitive keys in a ConfigMap; a Secret carries them."""
    values = {"api.token": "t0p"}
    outputs = [{**APP, "include": ["*"]}, {**APP, "name": "creds", "kind": "Secret"}, PREFS]
    ns.template(keys=SEALED_KEYS, groups=[{"name": "free", "values": values}], outputs=outputs)
    ns.rendered()
    assert "t0p" not in str(ns.data("app-free"))
    assert ns.data("app-free", "Secret").keys() == {"app.json"}
