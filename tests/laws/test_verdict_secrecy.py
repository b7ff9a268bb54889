"""A verdict about a sensitive value of another layer is the same for any two equally valid values."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import compile_policy, contradictions
from trimtab.core.render.render import render_group
from trimtab.core.resolve.resolve import group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.violations import RejectedError
from trimtab.kube.port import Body

LIMITS: list[Body] = [
    {"type": "String", "minLength": 2, "maxLength": 4, "pattern": "^[a-c]*$"},
    {"type": "String", "enum": ["ab", "abc", "ca"]},
    {"type": "Integer", "minimum": 10, "maximum": 20},
    {"type": "Number", "minimum": 10.5, "maximum": 20},
    {"type": "Duration", "minimum": "1m", "maximum": "1h"},
    {"type": "StringList", "maxItems": 2, "items": {"pattern": "^a"}},
    {"type": "StringMap", "maxItems": 1, "items": {"maxLength": 2}},
    {"type": "NumberMap", "maxItems": 2, "items": {"minimum": 10}},
]
POOL: list[Any] = ["", "ab", "abc", "ca", "abcde", "zz", "90s", "1s", 3, 10, 12.5, 15, 20, "15", 99, True]
POOL += [[], ["a"], ["ab", "ac"], ["b"], ["a", "a", "a"], {}, {"k": "v"}, {"k": "long"}, {"k": 11}, {"k": 1}]


def template(limits: Body, **more: Any) -> ConfigTemplateSpec:
    key = {"name": "pin", "sensitive": True, **limits}
    output = {"name": "o", "kind": "Secret", "format": "JSON", "fileName": "o.json"}
    return ConfigTemplateSpec.model_validate(
        {"keys": [key], "groups": [{"name": "free", **more}], "outputs": [output]}
    )


def policy(name: str, says: Body) -> PolicyRolloutSpec:
    return PolicyRolloutSpec.model_validate({"templateRef": {"name": "app"}, "policy": says})


def said(error: RejectedError) -> str:
    return str([(v.key, v.layer, v.rule, v.message, v.nearest) for v in error.violations])


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: f"{limits['type']} {'enum' in limits}")
def test_a_refused_sensitive_value_or_limit_is_only_called_invalid(limits: Body) -> None:
    schema = compile_template("app", template(limits))
    told: dict[str, set[str]] = {"template": set(), "policy": set(), "enforced": set(), "constraint": set()}
    allowed = set()
    for value in POOL:
        try:
            notices = compile_template("app", template(limits, values={"pin": value})).notices
            allowed.add(str(notices))
        except RejectedError as error:
            told["template"].add(said(error))
        for where, says in (
            ("policy", {"values": {"pin": value}}),
            ("enforced", {"enforced": [{"key": "pin", "value": value}]}),
        ):
            try:
                compile_policy("a", policy("a", says), schema)
            except RejectedError as error:
                told[where].add(said(error))
    for member in ("zz", "b", "", "1s", 99, 3, "long", 1):
        try:
            compile_policy("a", policy("a", {"constraints": [{"key": "pin", "enum": [member]}]}), schema)
        except RejectedError as error:
            told["constraint"].add(said(error))

    assert {where: len(texts) <= 1 for where, texts in told.items()} == dict.fromkeys(told, True)
    assert len(allowed) == 1
    assert all("'invalid'" in text for texts in told.values() for text in texts)


@pytest.mark.parametrize("field", ["minimum", "maximum"])
def test_the_limits_of_a_sensitive_key_cannot_be_probed_by_a_constraint(field: str) -> None:
    schema = compile_template("app", template({"type": "Integer", "minimum": 10, "maximum": 20}))
    told = set()
    for limit in range(31):
        try:
            compile_policy("a", policy("a", {"constraints": [{"key": "pin", field: limit}]}), schema)
        except RejectedError as error:
            told.add(said(error))

    assert len(told) == 1
    assert "10" not in str(told)
    assert "20" not in str(told)


@pytest.mark.parametrize("limits", LIMITS, ids=lambda limits: f"{limits['type']} {'enum' in limits}")
def test_a_user_who_sets_a_sensitive_key_gets_the_same_notice_whatever_its_value(limits: Body) -> None:
    view = group_view(compile_template("app", template(limits)), "free")

    told = {str(view.resolve({"pin": value})) for value in POOL}

    assert len(told) == 1


@pytest.mark.parametrize(
    "says",
    [
        {"enforced": [{"key": "pin", "value": "4711"}]},
        {"constraints": [{"key": "pin", "enum": ["4711"]}]},
        {"constraints": [{"key": "pin", "notPattern": "^4711$"}]},
        {"values": {"pin": "4711"}},
    ],
    ids=["enforced", "enum", "notPattern", "values"],
)
def test_no_other_policy_reveals_what_a_policy_enforces(says: Body) -> None:
    schema = compile_template("app", template({"type": "String"}))
    mine = compile_policy("mine", policy("mine", says), schema)
    told = set()
    for value in ("4711", "4712"):
        theirs = compile_policy(
            "theirs", policy("theirs", {"enforced": [{"key": "pin", "value": value}]}), schema
        )
        told.add(str(contradictions(mine, [theirs])) + str(contradictions(theirs, [mine])))

    assert len(told) == 1


def test_what_a_format_cannot_write_of_a_sensitive_value_is_only_called_invalid() -> None:
    told = set()
    for value in ("a\nb", "a\x00b", "\x01"):
        spec = template({"type": "String"}, values={"pin": value})
        spec = spec.model_copy(
            update={"outputs": [o.model_copy(update={"format": "INI"}) for o in spec.outputs or ()]}
        )
        told |= {v.rule for v in render_group(group_view(compile_template("app", spec), "free")).violations}

    assert told <= {"invalid"}
