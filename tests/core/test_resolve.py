"""Layers to one user's values: what wins, what is refused, and who said so."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.resolve import GroupView, Resolution, group_view, trace
from trimtab.core.schema import compile_template

KEYS: list[dict[str, Any]] = [
    {"name": "on", "type": "Boolean", "default": True},
    {"name": "count", "type": "Integer", "default": 5, "minimum": 0},
    {"name": "label", "type": "String", "default": "x"},
    {"name": "ratio", "type": "Number", "maximum": 2},
    {"name": "tags", "type": "StringList", "merge": "Append", "default": ["a"], "maxItems": 3},
    {"name": "taste", "type": "NumberMap", "merge": "Merge", "maxItems": 2},
    {"name": "only", "type": "StringList", "default": ["a"]},
    {"name": "vendor", "type": "String", "setBy": "Group", "default": "openai"},
    {"name": "token", "type": "String", "sensitive": True, "maxLength": 10},
    {
        "name": "old",
        "type": "Number",
        "deprecated": {"message": "use ratio", "replacedBy": "ratio"},
    },
]


def view(group: dict[str, Any] | None = None, **spec: Any) -> GroupView:
    profile = {"name": "p", "values": {"label": "profile", "taste": {"jazz": 1.0}}}
    spec = {"keys": KEYS, "profiles": [profile], **spec}
    groups = [{"name": "g", "profile": "p", **(group or {})}]
    return group_view(
        compile_template("app", ConfigTemplateSpec.model_validate({**spec, "groups": groups})), "g"
    )


def resolve(values: Any, made: GroupView | None = None) -> Resolution:
    made = made or view()
    by_text, by_mapping = made.resolve(msgspec.json.encode(values)), made.resolve(values)
    assert by_text == by_mapping
    return by_text


def test_the_group_s_document_is_the_layers_without_a_user() -> None:
    assert view().values == {
        "on": True,
        "count": 5,
        "label": "profile",
        "tags": ["a"],
        "taste": {"jazz": 1.0},
        "only": ["a"],
        "vendor": "openai",
    }
    assert view({"values": {"label": "group"}}).values["label"] == "group"


@pytest.mark.parametrize(
    ("own", "name", "value"),
    [
        ({"on": False}, "on", False),
        ({"count": 0}, "count", 0),
        ({"label": ""}, "label", ""),
        ({"only": []}, "only", []),
        ({"only": ["b"]}, "only", ["b"]),
        ({"tags": []}, "tags", ["a"]),
        ({"tags": ["b", "a"]}, "tags", ["a", "b", "a"]),
        ({"taste": {}}, "taste", {"jazz": 1.0}),
        ({"taste": {"jazz": 0}}, "taste", {"jazz": 0.0}),
        ({"taste": {"pop": 1}}, "taste", {"jazz": 1.0, "pop": 1.0}),
        ({"ratio": 1}, "ratio", 1.0),
    ],
)
def test_what_a_user_sets_wins_or_combines_as_the_key_says(own: Any, name: str, value: Any) -> None:
    made = resolve(own)

    assert made.violations == ()
    assert made.values[name] == value
    assert type(made.values[name]) is type(value)


@pytest.mark.parametrize(
    ("own", "name", "rule", "nearest"),
    [
        ({"cuont": 1}, "cuont", "unknown", "count"),
        ({"": 1}, "", "unknown", ""),
        ({"count": -1}, "count", "minimum", "0"),
        ({"count": None}, "count", "type", ""),
        ({"ratio": "much"}, "ratio", "type", ""),
        ({"tags": ["b", "c", "d"]}, "tags", "maxItems", ""),
        ({"taste": {"pop": 1, "folk": 1}}, "taste", "maxItems", ""),
        ({"vendor": "local"}, "vendor", "setBy", ""),
        ({"token": "canary"}, "token", "sensitive", ""),
        ({"token": "canary-that-is-too-long"}, "token", "maxLength", ""),
    ],
)
def test_a_refusal_names_the_key_the_layer_and_the_rule(own: Any, name: str, rule: str, nearest: str) -> None:
    made = resolve(own)

    (found,) = made.violations
    assert (found.key, found.layer, found.rule, found.nearest) == (name, "user", rule, nearest)
    assert "canary" not in repr(made.violations)


def test_whoever_is_refused_has_the_group_s_document() -> None:
    made = resolve({"count": -1, "label": "mine"})

    assert made.values == view().values
    assert made.own == {}


def test_everything_that_is_wrong_is_said_at_once() -> None:
    made = resolve({"count": -1, "nope": 1, "vendor": "x", "ratio": [], "token": "t"})

    assert {v.key for v in made.violations} == {"count", "nope", "vendor", "ratio", "token"}


def test_a_merged_value_is_judged_whole_but_each_part_alone_is_fine() -> None:
    assert resolve({"taste": {"jazz": 1, "pop": 1}}).violations == ()
    assert resolve({"taste": {"folk": 1, "pop": 1}}).violations != ()


def test_what_was_coerced_is_said_and_taken() -> None:
    made = resolve({"count": "7", "on": "false"})

    assert (made.values["count"], made.values["on"]) == (7, False)
    assert [(n.key, n.reason) for n in made.notices] == [("count", "Coerced"), ("on", "Coerced")]
    assert resolve({"count": "7"}, view(coercion="Strict")).violations != ()


def test_a_coerced_value_has_limits_too() -> None:
    (found,) = resolve({"count": "-7"}).violations

    assert found.rule in ("minimum", "type")


def test_a_deprecated_key_works_and_warns() -> None:
    made = resolve({"old": 1})

    assert made.values["old"] == 1.0
    assert [(n.key, n.reason) for n in made.notices] == [("old", "Deprecated")]
    assert "use ratio" in made.notices[0].message


REQUIRED = [{"name": "must", "type": "Integer", "required": True}, {"name": "may", "type": "Integer"}]


@pytest.mark.parametrize("own", [{}, {"may": 1}])
def test_a_required_key_must_have_a_value_from_somewhere(own: Any) -> None:
    (found,) = resolve(own, view({"profile": None}, keys=REQUIRED, profiles=[])).violations
    assert (found.key, found.rule) == ("must", "required")

    assert (
        resolve(own, view({"profile": None, "values": {"must": 1}}, keys=REQUIRED, profiles=[])).violations
        == ()
    )
    assert resolve({**own, "must": 0}, view({"profile": None}, keys=REQUIRED, profiles=[])).violations == ()


def test_a_required_key_with_a_wrong_value_is_one_mistake_not_two() -> None:
    found = resolve({"must": "x"}, view({"profile": None}, keys=REQUIRED, profiles=[])).violations

    assert [v.rule for v in found] == ["type"]


# Provenance


def test_every_key_has_a_provenance_in_the_template_s_order() -> None:
    made = trace(view(), {})

    assert list(made) == [key["name"] for key in KEYS]
    assert made["ratio"].layer == "unset"
    assert made["ratio"].value is None
    assert made["count"].layer == "default"
    assert made["label"].layer == "profile/p"


def test_a_trace_tells_what_was_shadowed_highest_first() -> None:
    made = trace(view({"values": {"label": "group"}}), {"label": "mine"})["label"]

    assert (made.layer, made.value) == ("user", "mine")
    assert made.shadowed == (("group/g", "group"), ("profile/p", "profile"), ("default", "x"))
    assert not made.combined


def test_a_trace_tells_what_was_combined() -> None:
    made = trace(view(), {"taste": {"pop": 1.0}})["taste"]

    assert made.value == {"jazz": 1.0, "pop": 1.0}
    assert made.combined
    assert not trace(view(), {"tags": ["z"], "only": ["z"]})["only"].combined


def test_a_trace_tells_which_values_must_not_be_shown() -> None:
    assert trace(view(), {})["token"].sensitive
    assert not trace(view(), {})["label"].sensitive
