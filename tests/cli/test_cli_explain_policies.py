"""`trimtab explain` under policies: who locked, clamped or dropped a value, and why."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import yaml

from support.cli_manifests import TEMPLATE
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.cli.output import printed
from trimtab.cli.simulate.explanation import Explained, of_preference
from trimtab.cli.view.explanation import Explanation
from trimtab.core.objects import ObjectMeta
from trimtab.core.policy.policy import compile_policy
from trimtab.core.resolve.preference import PreferenceObject, read
from trimtab.core.resolve.resolve import group_view
from trimtab.core.schema.template import compile_template

CALM = {
    "values": {"plugins": ["p"]},
    "enforced": [
        {"key": "agent.provider", "value": "local", "reason": "SEC-12"},
        {"key": "api.token", "value": "hunter3"},
    ],
    "constraints": [
        {"key": "agent.temperature", "maximum": 1, "reason": "COST-7"},
        {"key": "agent.mood", "enum": ["calm"], "reason": "UX-1"},
    ],
}


def explained(values: dict[str, Any]) -> Explained:
    """What `explain` works out of user ann of group free under PolicyRollout calm."""
    spec = ConfigTemplateSpec.model_validate(yaml.safe_load(TEMPLATE)["spec"])
    schema = compile_template("app", spec)
    said = PolicyRolloutSpec.model_validate({"templateRef": {"name": "app"}, "policy": CALM})
    view = group_view(schema, "free", [compile_policy("calm", said, schema)])
    preference = read(
        PreferenceObject(
            ObjectMeta(name="ann", namespace="team"),
            msgspec.Raw(
                msgspec.json.encode({"templateRef": {"name": "app"}, "group": "free", "values": values})
            ),
        )
    )
    return of_preference(view, preference, {"ready": "True", "reason": "Accepted", "message": "fine"}, None)


def told(what: Explained, key: str) -> Any:
    return json.loads(json.dumps(Explanation(what, [key]).content()))["keys"][0]


def shown(what: Explained, capsys: pytest.CaptureFixture[str], *names: str, detailed: bool = False) -> str:
    printed(Explanation(what, list(names), detailed).parts())
    return capsys.readouterr().out


def test_a_lock_names_its_policy_and_reason() -> None:
    assert told(explained({}), "agent.provider") == {
        "key": "agent.provider",
        "type": "String",
        "value": "local",
        "layer": "enforced/calm",
        "object": "PolicyRollout team/calm, enforced",
        "shadowed": [{"layer": "default", "object": "ConfigTemplate team/app, default", "value": "openai"}],
        "locked": {"object": "PolicyRollout team/calm", "reason": "SEC-12"},
        "setBy": "Group",
    }


def test_a_clamp_names_its_policy_and_reason_and_what_the_value_was() -> None:
    made = told(explained({"agent.temperature": 1.5}), "agent.temperature")

    assert (made["value"], made["layer"]) == (1.0, "user")
    assert made["constrained"] == {
        "effect": "Clamped",
        "object": "PolicyRollout team/calm",
        "reason": "COST-7",
        "before": 1.5,
    }


def test_a_dropped_value_is_reported_although_no_value_is_set() -> None:
    made = told(explained({"agent.mood": "wild"}), "agent.mood")

    assert made["set"] is False
    assert made["constrained"] == {
        "effect": "Dropped",
        "object": "PolicyRollout team/calm",
        "reason": "UX-1",
        "dropped": [{"layer": "user", "object": "UserPreference team/ann", "value": "wild"}],
    }


def test_a_policy_s_value_is_a_layer_like_any_other() -> None:
    made = told(explained({"plugins": ["u"]}), "plugins")

    assert made["value"] == ["a", "p", "u"]
    assert made["shadowed"][0] == {
        "layer": "policy/calm",
        "object": "PolicyRollout team/calm, values",
        "value": ["p"],
    }
    assert "locked" not in made
    assert "constrained" not in made


def test_the_table_has_locks_and_clamps_in_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    what = explained({"agent.temperature": 1.5, "agent.mood": "wild"})

    text = shown(what, capsys, "agent.provider", "agent.temperature", "agent.mood")

    assert "locked by PolicyRollout team/calm (SEC-12), setBy: Group" in text
    assert "clamped from 1.5 by PolicyRollout team/calm (COST-7)" in text
    assert "dropped wild by PolicyRollout team/calm (UX-1)" in text


def test_one_key_in_detail_has_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    what = explained({"agent.temperature": 1.5, "agent.mood": "wild"})

    def lines(key: str) -> list[list[str]]:
        return [
            line.split(maxsplit=1) for line in shown(what, capsys, key, detailed=True).splitlines() if line
        ]

    assert ["locked", "by PolicyRollout team/calm (SEC-12)"] in lines("agent.provider")
    clamped = lines("agent.temperature")
    assert ["clamped", "by PolicyRollout team/calm (COST-7)"] in clamped
    assert ["was", "1.5"] in clamped
    dropped = lines("agent.mood")
    assert ["dropped", "by PolicyRollout team/calm (UX-1)"] in dropped
    assert ["was", "wild from user: UserPreference team/ann"] in dropped


def test_a_sensitive_value_that_is_locked_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    what = explained({})

    text = shown(what, capsys, "api.token") + shown(what, capsys, "api.token", detailed=True)

    assert "locked by PolicyRollout team/calm" in text
    assert "hunter" not in text + json.dumps(told(what, "api.token"))


def test_a_user_in_conflict_has_the_groups_values() -> None:
    what = explained({"plugins": ["u", "v"]})

    assert not what.waiting
    assert Explanation(what, ["plugins"]).content()["inForce"] == "group"
    assert told(what, "plugins")["value"] == ["a", "p"]
