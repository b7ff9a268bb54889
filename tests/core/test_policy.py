"""A policy compiled against its template, and several policies together: all violations are reported together."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.api.config_template import ConfigTemplateSpec, GroupSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import Policy, compile_policy, contradictions, in_scope, ordered
from trimtab.core.resolve import snapshot
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError, Violation

KEYS: list[dict[str, Any]] = [
    {"name": "count", "type": "Integer", "minimum": 0, "maximum": 100},
    {"name": "level", "type": "Integer", "enum": [1, 5, 10]},
    {"name": "ratio", "type": "Number", "minimum": 0, "maximum": 2},
    {"name": "vendor", "type": "String", "enum": ["openai", "anthropic", "local"], "setBy": "Group"},
    {"name": "label", "type": "String"},
    {"name": "on", "type": "Boolean"},
    {"name": "ttl", "type": "Duration", "minimum": "1s", "maximum": "1h"},
    {"name": "tags", "type": "StringList", "merge": "Append", "minItems": 1, "items": {"maxLength": 5}},
    {"name": "taste", "type": "NumberMap", "merge": "Merge", "items": {"minimum": 0, "maximum": 1}},
    {"name": "notes", "type": "StringMap"},
    {"name": "token", "type": "String", "sensitive": True},
    {"name": "pin", "type": "Integer", "sensitive": True, "minimum": 1000, "maximum": 9999},
]
GROUPS: list[dict[str, Any]] = [{"name": "free", "labels": {"ring": "canary"}}, {"name": "pro"}]


def schema(**more: Any) -> Schema:
    spec = {"keys": KEYS, "groups": GROUPS, "schemaVersion": 2, **more}
    return compile_template("app", ConfigTemplateSpec.model_validate(spec))


def spec(
    *, values: Any = None, enforced: Any = None, constraints: Any = None, **more: Any
) -> PolicyRolloutSpec:
    """``enforced`` and ``constraints`` by key."""
    said = {
        "values": values or {},
        "enforced": [{"key": key, "value": value} for key, value in (enforced or {}).items()],
        "constraints": [{"key": key, **limits} for key, limits in (constraints or {}).items()],
    }
    return PolicyRolloutSpec.model_validate({"templateRef": {"name": "app"}, "policy": said, **more})


def policy(name: str = "p", **said: Any) -> Policy:
    return compile_policy(name, spec(**said), schema())


def refusal(made: PolicyRolloutSpec, **template: Any) -> tuple[Violation, ...]:
    with pytest.raises(RejectedError) as caught:
        compile_policy("p", made, schema(**template))
    assert all(
        violation.layer in ("policy/p", "enforced/p") and violation.message
        for violation in caught.value.violations
    )
    return caught.value.violations


# Scope


@pytest.mark.parametrize(
    ("scope", "groups"),
    [
        ({}, {"free", "pro"}),
        ({"groups": ["pro"]}, {"pro"}),
        ({"groups": []}, set()),
        ({"groupSelector": {}}, {"free", "pro"}),
        ({"groupSelector": {"matchLabels": {"ring": "canary"}}}, {"free"}),
        ({"groupSelector": {"matchExpressions": [{"key": "ring", "operator": "DoesNotExist"}]}}, {"pro"}),
    ],
)
def test_a_policy_is_for_the_groups_that_it_names_or_selects_and_else_for_all(
    scope: Any, groups: set[str]
) -> None:
    made = spec(values={"count": 1}, **scope)

    found = {group["name"] for group in GROUPS if in_scope(made, GroupSpec.model_validate(group))}

    assert found == groups
    compiled = compile_policy("p", made, schema())
    assert compiled.groups == groups
    assert [n.reason for n in compiled.notices] == ([] if groups else ["NoGroups"])


def test_the_higher_priority_wins_then_the_lesser_name() -> None:
    made = [
        policy(name, values={"count": 1}, priority=p)
        for name, p in (("b", 0), ("c", 9), ("a", None), ("d", -1))
    ]

    assert [p.name for p in ordered(made)] == ["c", "a", "b", "d"]


# What is taken


def test_a_policy_s_parts_are_layers_with_names_of_their_own() -> None:
    made = policy(
        "calm", values={"count": 1}, enforced={"vendor": "local"}, constraints={"ratio": {"maximum": 1}}
    )

    assert (made.values.name, made.values.values) == ("policy/calm", {"count": 1})
    assert (made.enforced.name, made.enforced.values) == ("enforced/calm", {"vendor": "local"})
    assert made.constraints.keys() == {"ratio"}
    assert made.notices == ()


def test_coerced_values_are_reported_and_accepted_unless_the_template_is_strict() -> None:
    said = spec(values={"count": "7"}, enforced={"ratio": "0.5"}, constraints={"level": {"enum": ["5"]}})

    made = compile_policy("p", said, schema())

    assert (made.values.values, made.enforced.values) == ({"count": 7}, {"ratio": 0.5})
    assert made.constraints["level"].members == frozenset([5])
    assert [(n.key, n.reason) for n in made.notices] == [
        ("count", "Coerced"),
        ("ratio", "Coerced"),
        ("level", "Coerced"),
    ]
    assert [v.key for v in refusal(said, coercion="Strict")] == ["count", "ratio", "level"]


def test_sensitive_values_in_clear_are_noticed_unseen() -> None:
    made = policy(
        values={"token": "canary"}, enforced={"pin": 1234}, constraints={"token": {"enum": ["canary"]}}
    )

    assert [(n.key, n.reason) for n in made.notices] == [
        ("token", "SensitiveInPolicy"),
        ("pin", "SensitiveInPolicy"),
    ]
    assert "canary" not in repr(made.notices)
    assert all("may read the PolicyRollout" in n.message for n in made.notices)


def test_a_value_that_the_policy_s_own_constraint_forbids_is_noticed() -> None:
    made = policy(values={"count": 9}, constraints={"count": {"maximum": 5}})

    assert [(n.key, n.reason) for n in made.notices] == [("count", "OwnConstraint")]


# What is refused


@pytest.mark.parametrize(
    ("said", "about", "words", "nearest"),
    [
        ({"values": {"cuont": 1}}, "cuont", "is not a key of the template", "count"),
        ({"enforced": {"cuont": 1}}, "cuont", "is not a key of the template", "count"),
        ({"constraints": {"cuont": {"maximum": 1}}}, "cuont", "is not a key of the template", "count"),
        ({"values": {"count": 101}}, "count", "must be at most 100", "100"),
        ({"values": {"count": "many"}}, "count", "must be of type Integer", ""),
        ({"enforced": {"vendor": "antropic"}}, "vendor", "one of the allowed values", "anthropic"),
        ({"enforced": {"vendor": None}}, "vendor", "enforced without a value", ""),
        ({"enforced": {"tags": ["toolong"]}}, "tags", "entry 0", ""),
        ({"values": {"count": 1}, "schemaVersion": 1}, "spec.schemaVersion", "set schemaVersion: 2", ""),
        ({"values": {"count": 1}, "schemaVersion": 3}, "spec.schemaVersion", "wait for the template", ""),
        ({"values": {"count": 1}, "groups": ["fre"]}, "groups[fre]", "has no group fre", "free"),
        ({"values": {"count": 1}, "groups": ["pro"], "groupSelector": {}}, "spec.groups", "are both set", ""),
        ({}, "spec.policy", "is empty", ""),
    ],
)
def test_a_refusal_names_the_key_and_what_to_do(said: Any, about: str, words: str, nearest: str) -> None:
    (found,) = refusal(spec(**said))

    assert (found.key, found.nearest) == (about, nearest)
    assert words in found.message


@pytest.mark.parametrize(
    ("key", "limits", "rule", "words"),
    [
        ("count", {}, "constraint", "it has no limit"),
        ("count", {"pattern": "x"}, "pattern", "does not apply to Integer; use enum, maximum, minimum"),
        ("count", {"maxItems": 1}, "maxItems", "does not apply to Integer"),
        ("label", {"minimum": 1}, "minimum", "does not apply to String; use enum, notPattern, pattern"),
        ("on", {"enum": [True]}, "enum", "enforce a value instead"),
        ("tags", {"minimum": 1}, "minimum", "use enum, maxItems, notPattern, pattern"),
        ("taste", {"notPattern": "x"}, "notPattern", "use enum, maxItems, maximum, minimum"),
        ("ttl", {"pattern": "x"}, "pattern", "does not apply to Duration"),
        ("label", {"pattern": "("}, "pattern", "does not compile"),
        ("label", {"pattern": "(?=a)"}, "pattern", "at character 1: look-around"),
        ("label", {"notPattern": r"(a)\1"}, "notPattern", "does not compile"),
        ("ttl", {"minimum": "soon"}, "minimum", "not a Go duration such as 1h30m"),
        ("ttl", {"maximum": 5}, "maximum", "not a Go duration"),
        ("count", {"minimum": "5"}, "minimum", "not a number"),
        ("ratio", {"minimum": float("inf")}, "minimum", "not a finite number"),
        ("ratio", {"minimum": float("nan")}, "minimum", "not a finite number"),
        ("count", {"minimum": 5, "maximum": 4}, "minimum", "no value is between minimum 5 and maximum 4"),
        ("count", {"minimum": 0.2, "maximum": 0.8}, "minimum", "no value is between"),
        ("ttl", {"minimum": "2m", "maximum": "90s"}, "minimum", "no value is between"),
        ("label", {"enum": []}, "enum", "enum allows no value"),
        ("label", {"enum": [1.5]}, "enum", "can never have"),
        ("vendor", {"enum": ["antropic"]}, "enum", 'got "antropic"'),
        ("count", {"enum": [101]}, "enum", "must be at most 100"),
        ("tags", {"enum": ["toolong"]}, "enum", "at most 5 characters"),
        # no value of the key's own can satisfy it
        ("count", {"minimum": 101}, "minimum", "above the key's own maximum 100; lower it"),
        ("count", {"maximum": -1}, "maximum", "below the key's own minimum 0; raise it"),
        ("ratio", {"minimum": 10**400}, "minimum", "above the key's own maximum 2"),
        ("taste", {"minimum": 2}, "minimum", "above the key's own maximum 1"),
        ("ttl", {"maximum": "1ms"}, "maximum", "below the key's own minimum 1s"),
        ("level", {"minimum": 6, "maximum": 9}, "enum", "no value that the key can have satisfies it"),
        ("vendor", {"pattern": "^x"}, "enum", "no value that the key can have satisfies it"),
        ("label", {"enum": ["a", "b"], "notPattern": "a|b"}, "enum", "no value that the key can have"),
        ("tags", {"maxItems": 0}, "maxItems", "below the key's own minItems 1"),
    ],
)  # fmt: skip
def test_a_constraint_that_makes_no_sense_is_refused(key: str, limits: Any, rule: str, words: str) -> None:
    (found,) = refusal(spec(constraints={key: limits}))

    assert (found.key, found.rule) == (key, rule)
    assert words in found.message


@pytest.mark.parametrize(
    ("key", "limits"),
    [
        ("count", {"minimum": -5, "maximum": 1e9}),
        ("ratio", {"maximum": 10**400}),
        ("ratio", {"minimum": 0, "maximum": 0}),
        ("level", {"enum": [5], "minimum": 2}),
        ("vendor", {"notPattern": "openai"}),
        ("taste", {"maxItems": 0}),
        ("notes", {"enum": [""], "maxItems": 3}),
        ("ttl", {"minimum": 0}),
    ],
)
def test_a_constraint_that_leaves_some_value_is_accepted(key: str, limits: Any) -> None:
    assert policy(constraints={key: limits}).constraints.keys() == {key}


@pytest.mark.parametrize(
    "limits",
    [
        {"minimum": 77777},
        {"maximum": 777},
        {"minimum": 8777, "maximum": 7779},
        {"enum": [77777]},
        {"minimum": "77777"},
    ],
)
def test_a_refusal_about_a_sensitive_key_shows_no_limit(limits: Any) -> None:
    (found,) = refusal(spec(constraints={"pin": limits}))

    assert "77" not in repr(found)
    (found,) = refusal(spec(constraints={"token": {"pattern": "(canary"}}))
    assert "canary" not in repr(found)


def test_a_key_named_twice_is_refused() -> None:
    twice = [{"key": "count", "value": 1}, {"key": "count", "value": 2}]
    limits = [{"key": "ratio", "maximum": 1}, {"key": "ratio", "minimum": 1}]
    said = {"templateRef": {"name": "app"}, "policy": {"enforced": twice, "constraints": limits}}

    found = refusal(PolicyRolloutSpec.model_validate(said))

    assert [(v.key, v.rule) for v in found] == [("count", "enforced"), ("ratio", "constraints")]


def test_an_enforced_value_must_satisfy_the_policy_s_own_constraints() -> None:
    (found,) = refusal(spec(enforced={"count": 9}, constraints={"count": {"maximum": 5}}))

    assert (found.key, found.rule) == ("count", "enforced")


def test_all_violations_are_reported_together() -> None:
    found = refusal(
        spec(
            values={"nope": 1},
            enforced={"ratio": 9},
            constraints={"label": {"minimum": 1, "maxItems": 2}, "on": {"enum": [True]}},
            groups=["x"],
            schemaVersion=1,
        )
    )

    assert [v.key for v in found] == [
        "spec.schemaVersion",
        "groups[x]",
        "nope",
        "ratio",
        "label",
        "label",
        "on",
    ]


# Contradictions


def test_two_of_equal_priority_may_not_enforce_different_values() -> None:
    one, two = policy("a", enforced={"count": 1}), policy("b", enforced={"count": 2})

    (found,) = contradictions(one, [two])

    assert (found.key, found.layer, found.rule) == ("count", "policy/a", "contradiction")
    assert found.message == (
        "PolicyRollout b enforces another value with the same priority 0; "
        "give one a higher priority or make the values equal"
    )


@pytest.mark.parametrize(
    ("judged", "other", "words"),
    [
        (
            {"enforced": {"count": 9}},
            {"constraints": {"count": {"maximum": 5}}},
            "has a constraint that forbids",
        ),
        (
            {"constraints": {"count": {"maximum": 5}}},
            {"enforced": {"count": 9}},
            "enforces a value that this",
        ),
        ({"enforced": {"count": 9}, "priority": 1}, {"constraints": {"count": {"maximum": 5}}}, "forbids"),
        ({"enforced": {"tags": ["b"]}}, {"constraints": {"tags": {"notPattern": "b"}}}, "forbids"),
    ],
)
def test_no_enforced_value_may_break_another_s_constraint(judged: Any, other: Any, words: str) -> None:
    (found,) = contradictions(policy("a", **judged), [policy("b", **other)])

    assert words in found.message
    assert found.message.startswith("PolicyRollout b ")


@pytest.mark.parametrize(
    ("judged", "other"),
    [
        ({"enforced": {"count": 1}}, {"enforced": {"count": 1}}),
        ({"enforced": {"count": 1}, "priority": 1}, {"enforced": {"count": 2}}),
        ({"enforced": {"count": 1}, "groups": ["free"]}, {"enforced": {"count": 2}, "groups": ["pro"]}),
        ({"values": {"count": 9}}, {"constraints": {"count": {"maximum": 5}}}),
        ({"values": {"count": 9}}, {"values": {"count": 5}}),
        ({"constraints": {"count": {"minimum": 9}}}, {"constraints": {"count": {"maximum": 5}}}),
    ],
)
def test_what_priority_scope_or_clamping_settles_is_no_contradiction(judged: Any, other: Any) -> None:
    assert contradictions(policy("a", **judged), [policy("b", **other)]) == []


def test_a_policy_does_not_contradict_its_previous_content() -> None:
    assert contradictions(policy("a", enforced={"count": 1}), [policy("a", enforced={"count": 2})]) == []


def test_a_contradiction_about_a_sensitive_key_shows_no_value() -> None:
    found = contradictions(
        policy("a", enforced={"token": "canary1"}),
        [
            policy("b", enforced={"token": "canary2"}),
            policy("c", constraints={"token": {"notPattern": "canary"}}),
        ],
    )

    assert len(found) == 2
    assert "canary" not in repr(found)


# As it is stored


def test_the_strategy_is_no_content() -> None:
    body = {"templateRef": {"name": "app"}, "priority": 1, "policy": {}, "strategy": {"paused": True}}

    assert snapshot.content(body) == {"templateRef": {"name": "app"}, "priority": 1, "policy": {}}


def test_sensitive_values_of_a_policy_are_stored_separately() -> None:
    body: dict[str, Any] = {
        "templateRef": {"name": "app"},
        "policy": {
            "values": {"count": 1, "token": "s1"},
            "enforced": [{"key": "pin", "value": 1234, "reason": "SEC-1"}, {"key": "count", "value": 2}],
            "constraints": [
                {"key": "token", "enum": ["s1"], "pattern": "s", "notPattern": "t", "onViolation": "Drop"},
                {"key": "pin", "minimum": 1, "maximum": 2},
                {"key": "ratio", "maximum": 1},
            ],
        },
    }

    public, taken = snapshot.split_policy(body, {"token", "pin"})

    assert public["policy"] == {
        "values": {"count": 1},
        "enforced": [{"key": "pin", "reason": "SEC-1"}, {"key": "count", "value": 2}],
        "constraints": [
            {"key": "token", "onViolation": "Drop"},
            {"key": "pin"},
            {"key": "ratio", "maximum": 1},
        ],
    }
    assert [path for path, _ in taken] == [
        ["values", "token"],
        ["enforced", "pin", "value"],
        ["constraints", "token", "enum"],
        ["constraints", "token", "pattern"],
        ["constraints", "token", "notPattern"],
        ["constraints", "pin", "minimum"],
        ["constraints", "pin", "maximum"],
    ]
    assert snapshot.join_policy(public, taken) == body


def test_a_policy_without_sensitive_keys_is_stored_unchanged() -> None:
    body = {"policy": {"values": {"count": 1}}}

    assert snapshot.split_policy(body, {"token"}) == (body, [])
    assert snapshot.join_policy(body, []) == body
    assert snapshot.split_policy({}, {"token"}) == ({}, [])
