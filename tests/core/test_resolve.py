"""Layers to one user's values: what wins, what is refused, and the source of each value."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import Policy, compile_policy
from trimtab.core.resolve.resolve import GroupView, Resolution, document_problems, group_view, trace
from trimtab.core.schema.template import compile_template

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
def test_values_of_a_user_win_or_combine_as_the_key_specifies(own: Any, name: str, value: Any) -> None:
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
        ({"token": "canary-that-is-too-long"}, "token", "sensitive", ""),
    ],
)
def test_a_refusal_names_the_key_the_layer_and_the_rule(own: Any, name: str, rule: str, nearest: str) -> None:
    made = resolve(own)

    (found,) = made.violations
    assert (found.key, found.layer, found.rule, found.nearest) == (name, "user", rule, nearest)
    assert "canary" not in repr(made.violations)


def test_a_user_whose_values_are_refused_has_the_groups_document() -> None:
    made = resolve({"count": -1, "label": "mine"})

    assert made.values == view().values
    assert made.own == {}


def test_all_violations_are_reported_together() -> None:
    made = resolve({"count": -1, "nope": 1, "vendor": "x", "ratio": [], "token": "t"})

    assert {v.key for v in made.violations} == {"count", "nope", "vendor", "ratio", "token"}


def test_a_merged_value_is_validated_as_a_whole_although_each_part_is_valid() -> None:
    assert resolve({"taste": {"jazz": 1, "pop": 1}}).violations == ()
    assert resolve({"taste": {"folk": 1, "pop": 1}}).violations != ()


def test_coerced_values_are_reported_and_accepted() -> None:
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


def test_a_trace_lists_overridden_values_highest_first() -> None:
    made = trace(view({"values": {"label": "group"}}), {"label": "mine"})["label"]

    assert (made.layer, made.value) == ("user", "mine")
    assert made.shadowed == (("group/g", "group"), ("profile/p", "profile"), ("default", "x"))
    assert not made.combined


def test_a_trace_lists_combined_values() -> None:
    made = trace(view(), {"taste": {"pop": 1.0}})["taste"]

    assert made.value == {"jazz": 1.0, "pop": 1.0}
    assert made.combined
    assert not trace(view(), {"tags": ["z"], "only": ["z"]})["only"].combined


def test_a_trace_marks_values_that_must_not_be_shown() -> None:
    assert trace(view(), {})["token"].sensitive
    assert not trace(view(), {})["label"].sensitive


# Policies

RULED: list[dict[str, Any]] = [
    {"name": "count", "type": "Integer", "default": 5, "minimum": 0, "maximum": 100},
    {"name": "level", "type": "Integer", "default": 5, "enum": [1, 5, 10, 20]},
    {"name": "ratio", "type": "Number", "default": 0.7, "maximum": 2},
    {"name": "ttl", "type": "Duration", "default": "5m"},
    {"name": "model", "type": "String", "default": "small"},
    {"name": "vendor", "type": "String", "default": "openai", "setBy": "Group"},
    {"name": "tags", "type": "StringList", "merge": "Append", "default": ["a"], "maxItems": 4},
    {"name": "only", "type": "StringList", "default": ["a"], "minItems": 1},
    {"name": "taste", "type": "NumberMap", "merge": "Merge", "default": {"jazz": 1.0}, "maxItems": 4},
    {"name": "must", "type": "String", "required": True},
    {"name": "free", "type": "String"},
]
MUST = {"must": "x"}


def policy(
    name: str = "p", *, values: Any = None, enforced: Any = None, limits: Any = None, **more: Any
) -> Policy:
    """``enforced`` and ``limits`` by key, their reasons SEC-12 and COST-7."""
    said = {
        "values": values or {},
        "enforced": [{"key": k, "value": v, "reason": "SEC-12"} for k, v in (enforced or {}).items()],
        "constraints": [{"key": k, "reason": "COST-7", **v} for k, v in (limits or {}).items()],
    }
    spec = PolicyRolloutSpec.model_validate({"templateRef": {"name": "app"}, "policy": said, **more})
    return compile_policy(name, spec, view(keys=RULED, profiles=[], group={"profile": None}).schema)


def ruled(*policies: Policy, **group: Any) -> GroupView:
    """Group ``g`` of the template with these keys, under these policies."""
    made = view(keys=RULED, profiles=[], group={"profile": None, **group})
    return group_view(made.schema, "g", policies)


def told(made: Resolution) -> list[tuple[str, str]]:
    return [(notice.key, notice.reason) for notice in made.notices]


def test_a_policy_s_values_lie_over_the_group_s_and_under_the_user_s() -> None:
    made = ruled(policy(values={"count": 7, "tags": ["p"]}), values={"count": 6, "tags": ["g"]})

    assert (made.values["count"], made.values["tags"]) == (7, ["a", "g", "p"])
    mine = resolve({**MUST, "count": 8, "tags": ["u"]}, made)
    assert (mine.values["count"], mine.values["tags"], mine.notices) == (8, ["a", "g", "p", "u"], ())


def test_of_several_policies_the_higher_priority_wins_then_the_first_name() -> None:
    low, first, second = (
        policy("a", values={"count": 1}, priority=-1),
        policy("b", values={"count": 2}),
        policy("c", values={"count": 3}),
    )

    assert ruled(second, low, first).values["count"] == 2
    assert ruled(second, low).values["count"] == 3


def test_an_enforced_value_replaces_any_user_value_and_merge_and_the_user_is_informed() -> None:
    made = ruled(policy("lock", enforced={"tags": ["z"], "model": "big"}))

    mine = resolve({**MUST, "tags": ["u"], "model": "huge"}, made)

    assert (made.values["tags"], made.values["model"]) == (["z"], "big")
    assert (mine.values["tags"], mine.values["model"], mine.violations) == (["z"], "big", ())
    assert [str(notice) for notice in mine.notices] == [
        'model: is locked by PolicyRollout lock: "big" is in force, not "huge" (SEC-12)',
        'tags: is locked by PolicyRollout lock: ["z"] is in force, not ["u"] (SEC-12)',
    ]
    assert told(resolve(MUST, made)) == []


def test_a_user_whose_own_value_is_the_enforced_one_gets_no_notice() -> None:
    made = ruled(policy("lock", enforced={"tags": ["z"], "model": "big"}))

    mine = resolve({**MUST, "tags": ["z"], "model": "big"}, made)

    assert (mine.values["tags"], mine.values["model"], mine.notices) == (["z"], "big", ())


@pytest.mark.parametrize(
    ("key", "limits", "given", "result"),
    [
        ("count", {"maximum": 50}, 51, 50),
        ("count", {"maximum": 50}, 50, 50),
        ("count", {"minimum": 10}, 9, 10),
        ("count", {"minimum": 9.5}, 9, 10),
        ("count", {"maximum": 9.5}, 11, 9),
        ("count", {"enum": [0, 10, 20]}, 14, 10),
        ("count", {"enum": [0, 10, 20]}, 16, 20),
        ("count", {"enum": [0, 10, 20]}, 15, 10),
        ("count", {"enum": [0, 10, 20], "maximum": 15}, 99, 10),
        ("level", {"maximum": 19}, 20, 10),
        ("level", {"minimum": 2}, 1, 5),
        ("ratio", {"maximum": 1}, 1.5, 1.0),
        ("ratio", {"enum": [0.5, 1]}, 0.9, 1.0),
        ("ttl", {"maximum": "60s"}, "2m", "60s"),
        ("ttl", {"maximum": "60s"}, "1m", "1m"),
        ("ttl", {"minimum": "1m30s"}, "0", "1m30s"),
        ("ttl", {"enum": ["10s", "1h"]}, "20m", "10s"),
        ("taste", {"maximum": 0.5}, {"pop": 2}, {"jazz": 0.5, "pop": 0.5}),
        ("taste", {"maxItems": 2}, {"b": 1, "z": 1, "c": 1}, {"b": 1.0, "c": 1.0}),
        ("taste", {"minimum": 0, "maxItems": 1}, {"b": -3}, {"b": 0.0}),
        ("tags", {"notPattern": "^x"}, ["b", "xx"], ["a", "b"]),
        ("tags", {"enum": ["b", "c"]}, ["b", "x"], ["b"]),
        ("tags", {"maxItems": 2}, ["b", "c"], ["a", "b"]),
        ("tags", {"maxItems": 2, "notPattern": "a"}, ["b", "c", "d"], ["b", "c"]),
    ],
)
def test_a_clamp_moves_a_value_to_the_nearest_that_is_allowed(
    key: str, limits: Any, given: Any, result: Any
) -> None:
    made = resolve({**MUST, key: given}, ruled(policy(limits={key: limits})))

    assert made.values[key] == result
    assert type(made.values[key]) is type(result)
    assert made.violations == ()
    assert told(made) == ([(key, "Clamped")] if result != given else [])


@pytest.mark.parametrize(
    ("key", "limits", "given", "result"),
    [
        ("count", {"maximum": 50, "onViolation": "Drop"}, 51, 6),
        ("count", {"maximum": 5, "onViolation": "Drop"}, 51, 5),
        ("count", {"maximum": 4, "onViolation": "Drop"}, 51, None),
        ("model", {"pattern": "^s"}, "big", "small"),
        ("model", {"notPattern": "s"}, "biggest", None),
        ("model", {"enum": ["tiny"]}, "big", None),
        ("tags", {"notPattern": "^x", "onViolation": "Drop"}, ["b", "x"], ["a"]),
        ("tags", {"notPattern": "^a", "onViolation": "Drop"}, ["b"], ["b"]),
        ("tags", {"maxItems": 2, "onViolation": "Drop"}, ["b", "c"], ["a"]),
        ("taste", {"maximum": 0.5, "onViolation": "Drop"}, {"jazz": 0.5}, {"jazz": 0.5}),
        ("only", {"notPattern": "^x"}, ["x"], ["a"]),
    ],
)
def test_what_is_dropped_leaves_the_highest_layer_that_is_allowed(
    key: str, limits: Any, given: Any, result: Any
) -> None:
    made = resolve({**MUST, key: given}, ruled(policy(limits={key: limits}), values={"count": 6}))

    assert made.values.get(key) == result
    assert made.violations == ()
    assert told(made) == ([] if result == given else [(key, "Dropped")])


def test_a_notice_names_the_policy_its_reason_and_both_values() -> None:
    made = ruled(policy("calm", limits={"ratio": {"maximum": 1}, "model": {"pattern": "^s"}}))

    assert [str(notice) for notice in resolve({**MUST, "ratio": 2, "model": "big"}, made).notices] == [
        "ratio: was clamped from 2.0 to 1.0 by PolicyRollout calm (COST-7)",
        'model: was dropped by PolicyRollout calm: "small" is in force, not "big" (COST-7)',
    ]


def test_a_notice_of_long_values_and_reasons_stays_short_enough_for_a_status() -> None:
    long = policy("p" * 200, limits={"model": {"pattern": "^s", "reason": "r" * 1024}})

    (notice,) = resolve({**MUST, "model": "b" * 5000}, ruled(long)).notices

    assert len(notice.message) < 1024


def test_constraints_hold_for_every_layer_and_for_the_group_s_document() -> None:
    made = ruled(policy(values={"count": 60}, limits={"count": {"maximum": 50}, "model": {"enum": ["big"]}}))

    assert made.values["count"] == 50
    assert "model" not in made.values
    mine = resolve(MUST, made)
    assert (mine.values["count"], mine.notices) == (50, ())


def test_several_constraints_on_a_key_all_hold() -> None:
    one = policy("a", limits={"count": {"enum": [1, 10, 30]}}, priority=1)
    two = policy("b", limits={"count": {"maximum": 9}})

    assert resolve({**MUST, "count": 99}, ruled(one, two)).values["count"] == 1
    assert resolve({**MUST, "count": 99}, ruled(two)).values["count"] == 9


def test_the_notice_names_the_policy_whose_limit_it_is() -> None:
    high, low = (
        policy("a", limits={"count": {"maximum": 50}}, priority=1),
        policy("b", limits={"count": {"maximum": 20}}),
    )

    (notice,) = resolve({**MUST, "count": 99}, ruled(high, low)).notices

    assert "from 99 to 20 by PolicyRollout b" in notice.message


def test_the_highest_violated_policy_decides_whether_to_clamp_or_to_drop() -> None:
    clamp = {"count": {"maximum": 50}}
    drop = {"count": {"maximum": 20, "onViolation": "Drop"}}

    assert (
        resolve({**MUST, "count": 99}, ruled(policy("a", limits=clamp), policy("b", limits=drop))).values[
            "count"
        ]
        == 20
    )
    assert (
        resolve({**MUST, "count": 99}, ruled(policy("b", limits=clamp), policy("a", limits=drop))).values[
            "count"
        ]
        == 5
    )


def test_constraints_that_nothing_satisfies_together_leave_no_value() -> None:
    high, low = policy("a", limits={"count": {"minimum": 50}}), policy("b", limits={"count": {"maximum": 20}})

    made = resolve({**MUST, "count": 30}, ruled(high, low))

    assert "count" not in made.values
    assert made.values == resolve(MUST, ruled(high, low)).values


def test_a_user_s_own_mistakes_stay_violations() -> None:
    made = ruled(policy(enforced={"vendor": "local", "count": 1}, limits={"ratio": {"maximum": 1}}))

    found = resolve({"count": -1, "ratio": "much", "vendor": "x"}, made).violations

    assert {(v.key, v.rule) for v in found} == {
        ("count", "minimum"),
        ("ratio", "type"),
        ("vendor", "setBy"),
        ("must", "required"),
    }


def test_a_policy_may_give_what_is_required() -> None:
    assert resolve({}, ruled()).violations != ()
    assert resolve({}, ruled(policy(values={"must": "y"}))).values["must"] == "y"
    assert resolve({}, ruled(policy(enforced={"must": "y"}))).violations == ()


def test_a_required_value_that_is_dropped_is_a_conflict_and_the_user_gets_the_group_s_document() -> None:
    made = ruled(policy("strict", limits={"must": {"enum": ["y"]}}))

    mine = resolve({"must": "x", "count": 9}, made)

    assert (mine.values, mine.own, mine.violations) == (made.values, {}, ())
    assert told(mine) == [("must", "PolicyConflict")]
    assert "PolicyRollout strict leaves no value for it (COST-7)" in mine.notices[0].message
    assert resolve({"must": "y", "count": 9}, made).values["count"] == 9


def test_a_dropped_required_value_of_the_group_is_a_conflict_for_users_without_one() -> None:
    made = ruled(policy(limits={"must": {"enum": ["y"]}}), values={"must": "x"})

    assert told(resolve({"count": 9}, made)) == [("must", "PolicyConflict")]
    assert told(resolve({"must": "y"}, made)) == []


def test_a_value_that_grew_beyond_its_limits_by_a_policy_is_a_conflict() -> None:
    made = ruled(policy("more", values={"tags": ["p", "q"]}))

    assert resolve({**MUST, "tags": ["u"]}, made).values["tags"] == ["a", "p", "q", "u"]
    mine = resolve({**MUST, "tags": ["u", "v"]}, made)
    assert (mine.values, mine.violations) == (made.values, ())
    assert told(mine) == [("tags", "PolicyConflict")]
    assert "PolicyRollout more" in mine.notices[0].message
    assert "may have at most 4 entries" in mine.notices[0].message


def test_a_constraint_can_bring_a_grown_value_back_within_its_limits() -> None:
    made = ruled(policy(values={"tags": ["p", "q"]}, limits={"tags": {"maxItems": 4}}))

    assert resolve({**MUST, "tags": ["u", "v"]}, made).values["tags"] == ["a", "p", "q", "u"]


def test_a_groups_document_that_violates_a_policy_is_reported() -> None:
    keys = [*RULED, {"name": "owner", "type": "String", "required": True, "setBy": "Group", "default": "x"}]
    made = view(keys=keys, profiles=[], group={"profile": None}).schema
    said = {
        "values": {"tags": ["p", "q", "r", "s"]},
        "constraints": [{"key": "owner", "enum": ["y"]}],
    }
    spec = PolicyRolloutSpec.model_validate({"templateRef": {"name": "app"}, "policy": said})
    under = group_view(made, "g", [compile_policy("p", spec, made)])

    assert document_problems(group_view(made, "g")) == []
    assert [(v.key, v.layer, v.rule) for v in document_problems(under)] == [
        ("tags", "group/g", "maxItems"),
        ("owner", "group/g", "required"),
    ]
    assert all("PolicyRollout p" in v.message for v in document_problems(under))


def test_a_trace_under_policies_names_what_locked_clamped_and_dropped() -> None:
    made = ruled(
        policy("vals", values={"count": 60, "model": "big"}, priority=5),
        policy("lock", enforced={"only": ["z"]}),
        policy("weak", enforced={"only": ["y"]}, priority=-1),
        policy("caps", limits={"count": {"maximum": 50}, "model": {"pattern": "^(small|tiny)$"}}),
        values={"model": "tiny"},
    )

    traces = trace(made, {"only": ["u"], "model": "huge", "ratio": 1.0})

    only = traces["only"]
    assert (only.layer, only.value, only.locked_by, only.locked_reason) == (
        "enforced/lock",
        ["z"],
        "lock",
        "SEC-12",
    )
    assert only.shadowed == (("enforced/weak", ["y"]), ("user", ["u"]), ("default", ["a"]))
    count = traces["count"]
    assert (count.layer, count.value, count.before, count.effect) == ("policy/vals", 50, 60, "Clamped")
    assert (count.effect_by, count.effect_reason) == ("caps", "COST-7")
    assert count.shadowed == (("default", 5),)
    model = traces["model"]
    assert (model.layer, model.value, model.effect) == ("group/g", "tiny", "Dropped")
    assert model.dropped == (("user", "huge"), ("policy/vals", "big"))
    assert model.shadowed == (("default", "small"),)
    assert (traces["ratio"].layer, traces["ratio"].effect, traces["ratio"].locked_by) == ("user", "", "")


def test_a_trace_of_what_was_dropped_altogether_is_unset() -> None:
    told = trace(ruled(policy(limits={"model": {"enum": ["tiny"]}})), {"model": "huge"})["model"]

    assert (told.layer, told.value, told.effect) == ("unset", None, "Dropped")
    assert told.dropped == (("user", "huge"), ("default", "small"))
