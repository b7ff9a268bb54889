"""A template compiled: either all of it is valid, or every violation is reported together."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError, Violation

NUMBER = {"name": "a", "type": "Number"}
SECRET = {"name": "top.secret", "type": "String", "sensitive": True}
FILE = {"name": "app", "format": "JSON", "fileName": "app.json"}


def compiled(**spec: Any) -> Schema:
    return compile_template("app", ConfigTemplateSpec.model_validate(spec))


def violations(**spec: Any) -> tuple[Violation, ...]:
    with pytest.raises(RejectedError) as caught:
        compiled(**spec)
    return caught.value.violations


def keys(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "type": "Number"} for name in names]


@pytest.mark.parametrize(
    ("spec", "about", "words", "nearest"),
    [
        ({"keys": keys("a", "b", "a")}, "a", "declared twice", ""),
        ({"keys": keys("a", "a.b")}, "a.b", "cannot also be a section", ""),
        ({"keys": keys("a.b.c", "a.b")}, "a.b.c", "a.b is a key as well", ""),
        ({"keys": keys("flags")}, "flags", "reserved", ""),
        ({"keys": keys("flags.new")}, "flags.new", "reserved", ""),
        (
            {"keys": [{**NUMBER, "deprecated": {"replacedBy": "nwe"}}, *keys("new")]},
            "a",
            "replacedBy names the unknown key nwe",
            "new",
        ),
        ({"keys": [{**NUMBER, "default": 3, "maximum": 2}]}, "a", "must be at most 2", "2"),
        ({"profiles": [{"name": "p"}, {"name": "p"}]}, "profiles[p]", "two profiles", ""),
        ({"groups": [{"name": "g"}, {"name": "g"}]}, "groups[g]", "two groups", ""),
        (
            {"profiles": [{"name": "prod"}], "groups": [{"name": "g", "profile": "prd"}]},
            "groups[g]",
            "unknown profile prd",
            "prod",
        ),
        ({"groups": [{"name": "users-1"}]}, "groups[users-1]", "ambiguous", ""),
        ({"groups": [{"name": "x-users-12"}]}, "groups[x-users-12]", "ambiguous", ""),
        ({"groups": [{"name": "u"}]}, "groups[u]", "ambiguous", ""),
        ({"groups": [{"name": "u-x"}]}, "groups[u-x]", "ambiguous", ""),
        (
            {"keys": keys("speed"), "groups": [{"name": "g", "values": {"sped": 1}}]},
            "sped",
            "is not a key of the template",
            "speed",
        ),
        (
            {"keys": [{**NUMBER, "maximum": 1}], "profiles": [{"name": "p", "values": {"a": 2}}]},
            "a",
            "must be at most 1",
            "1",
        ),
        (
            {"keys": [{**NUMBER, "required": True, "setBy": "Group"}], "groups": [{"name": "g"}]},
            "a",
            "required and group g has no value",
            "",
        ),
        (
            {
                "keys": [{"name": "l", "type": "StringList", "merge": "Append", "maxItems": 2, "default": ["x"]}],
                "groups": [{"name": "g", "values": {"l": ["y", "z"]}}],
            },
            "l",
            "at most 2 entries",
            "",
        ),
        ({"outputs": [FILE, FILE]}, "outputs[app]", "two outputs", ""),
        ({"outputs": [{"name": "x", "format": "JSON"}]}, "outputs[x]", "needs a fileName", ""),
        ({"outputs": [{**FILE, "prefix": "P_"}]}, "outputs[app]", "prefix applies to Env only", ""),
        (
            {"keys": keys("speed"), "outputs": [{**FILE, "include": ["sped"]}]},
            "outputs[app]",
            "unknown key sped",
            "speed",
        ),
        (
            {"keys": keys("agent.speed"), "outputs": [{**FILE, "include": ["agnet.*"]}]},
            "outputs[app]",
            "matches no key",
            "agent.*",
        ),
        (
            {"keys": [SECRET], "outputs": [{**FILE, "include": ["top.secret"]}]},
            "outputs[app]",
            "may not be in a ConfigMap",
            "",
        ),
        (
            {"outputs": [FILE, {**FILE, "name": "two", "format": "YAML"}]},
            "outputs[two]",
            "both write the entry app.json",
            "",
        ),
        (
            {"keys": keys("aB", "a_b"), "outputs": [{"name": "env", "format": "Env"}]},
            "outputs[env]",
            "keys aB and a_b both have the name A_B",
            "",
        ),
        (
            {
                "keys": keys("a"),
                "outputs": [{"name": "one", "format": "Env"}, {"name": "two", "format": "Env"}],
            },
            "outputs[two]",
            "both write the entry A",
            "",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_where_it_is_with_a_remedy(
    spec: dict[str, Any], about: str, words: str, nearest: str
) -> None:
    found = violations(**spec)

    assert [v.key for v in found if words in v.message] == [about], found
    assert {v.nearest for v in found if words in v.message} == {nearest}


@pytest.mark.parametrize("format", ["JSON", "YAML", "TOML", "Properties", "INI", "Env"])
def test_keys_that_clash_are_a_mistake_of_the_template_whatever_its_outputs(format: str) -> None:  # noqa: A002
    found = violations(keys=keys("a", "a.b"), outputs=[{"name": "x", "format": format, "fileName": "x"}])

    assert {v.key for v in found} == {"a.b"}


def test_all_mistakes_are_reported_together() -> None:
    found = violations(
        keys=[{**NUMBER, "default": "x"}, *keys("b", "b")],
        groups=[{"name": "u", "values": {"z": 1}}],
        outputs=[{"name": "x", "format": "JSON"}],
    )

    assert len(found) >= 5


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"keys": keys("a", "ab", "abc.c", "b.a"), "outputs": [FILE]},
        {"keys": [{**NUMBER, "required": True}], "groups": [{"name": "g"}]},
        {"keys": [{**NUMBER, "required": True, "setBy": "Group", "default": 1}], "groups": [{"name": "g"}]},
        {"groups": [{"name": "users"}, {"name": "superusers-1x"}, {"name": "uu"}]},
        {"keys": keys("a"), "outputs": [FILE, {**FILE, "name": "s", "kind": "Secret"}]},
        {"keys": keys("a"), "outputs": [FILE, {**FILE, "name": "u", "scope": "User"}]},
        {
            "keys": keys("a"),
            "outputs": [{"name": "one", "format": "Env"}, {"name": "two", "format": "Env", "prefix": "X_"}],
        },
    ],
)
def test_what_makes_sense_is_compiled(spec: dict[str, Any]) -> None:
    compiled(**spec)


@pytest.mark.parametrize(
    ("output", "included"),
    [
        ({}, ["plain", "top.open"]),
        ({"include": ["*"]}, ["plain", "top.open"]),
        ({"include": ["top.*"]}, ["top.open"]),
        ({"include": ["top.open", "top.*", "plain"]}, ["plain", "top.open"]),
        ({"kind": "Secret"}, ["plain", "top.open", "top.secret"]),
        ({"kind": "Secret", "include": ["top.secret"]}, ["top.secret"]),
        ({"kind": "Secret", "include": ["*"]}, ["plain", "top.open", "top.secret"]),
    ],
)
def test_a_wildcard_in_a_configmap_passes_over_sensitive_keys(
    output: dict[str, Any], included: list[str]
) -> None:
    schema = compiled(keys=[*keys("plain", "top.open"), SECRET], outputs=[{**FILE, **output}])

    assert list(schema.outputs[0].keys) == included


def test_a_wildcard_takes_whole_segments() -> None:
    schema = compiled(keys=keys("top.a", "topper.a"), outputs=[{**FILE, "include": ["top.*"]}])

    assert schema.outputs[0].keys == ("top.a",)


def test_a_template_s_message_never_shows_a_sensitive_value() -> None:
    spec = {
        "keys": [{**SECRET, "default": "canary-1", "enum": ["canary-2", 42], "pattern": "^x$"}],
        "profiles": [{"name": "p", "values": {"top.secret": ["canary-3"]}}],
        "groups": [{"name": "g", "profile": "p", "values": {"top.secret": {"canary-4": 1}}}],
    }
    found = violations(**spec)
    found += violations(**{**spec, "keys": [{**SECRET, "maxLength": 3}]})

    assert "canary" not in repr(found)


def test_a_template_that_renders_nothing_is_noticed() -> None:
    assert [notice.reason for notice in compiled(keys=[NUMBER]).notices] == ["NoGroups", "NoOutputs"]


def test_a_sensitive_default_is_noticed_and_coercion_too() -> None:
    schema = compiled(
        keys=[{**SECRET, "default": "x"}, NUMBER], groups=[{"name": "g", "values": {"a": "0.7"}}]
    )

    assert sorted(n.reason for n in schema.notices) == ["Coerced", "NoOutputs", "SensitiveInTemplate"]
    assert schema.groups["g"].layers[-1].values == {"a": 0.7}


def test_strict_coercion_takes_nothing_for_anything_else() -> None:
    (found,) = violations(coercion="Strict", keys=[NUMBER], groups=[{"name": "g", "values": {"a": "0.7"}}])

    assert found.rule == "type"


def test_layers_are_ordered_from_lowest_to_highest() -> None:
    schema = compiled(
        keys=[{**NUMBER, "default": 1}],
        profiles=[{"name": "p", "values": {"a": 2}}],
        groups=[{"name": "g", "profile": "p", "values": {"a": 3}}],
    )

    assert [(layer.name, layer.values["a"]) for layer in schema.groups["g"].layers] == [
        ("default", 1.0),
        ("profile/p", 2.0),
        ("group/g", 3.0),
    ]


def listing(name: str, *workloads: str, kind: str = "Deployment", **more: Any) -> dict[str, Any]:
    return {"name": name, "workloads": [{"kind": kind, "name": w} for w in workloads], **more}


def shared(*groups: dict[str, Any]) -> frozenset[tuple[str, str, str]]:
    return compile_template(
        "app", ConfigTemplateSpec.model_validate({"groups": list(groups)}), "music"
    ).shared


@pytest.mark.parametrize(
    "other",
    [
        listing("paid", "web"),
        listing("paid", "other", "web"),
        listing("paid", "web", targetNamespace="music"),
    ],
    ids=["alone", "among others", "target spelt out"],
)
def test_a_workload_of_several_groups_is_known_to_be_shared(other: dict[str, Any]) -> None:
    assert shared(listing("free", "web"), other) == {("Deployment", "music", "web")}


@pytest.mark.parametrize(
    "other",
    [
        listing("paid", "web2"),
        listing("paid", "web", kind="StatefulSet"),
        listing("paid", "web", targetNamespace="elsewhere"),
    ],
    ids=["another name", "another kind", "another namespace"],
)
def test_workloads_of_one_group_are_its_own(other: dict[str, Any]) -> None:
    assert shared(listing("free", "web", "web"), other) == frozenset()
