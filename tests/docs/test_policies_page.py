"""docs/policies.md is true: its examples are valid and have the results that it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRollout
from trimtab.core.policy import clamping, notices
from trimtab.core.policy.policy import Policy, compile_policy, contradictions, ordered
from trimtab.core.resolve.resolve import GroupView, document_problems, group_view
from trimtab.core.schema.template import Schema, compile_template

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
EXAMPLES: list[dict[str, Any]] = [
    yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
]


def schema() -> Schema:
    (template,) = (e for e in EXAMPLES if e.get("kind") == "ConfigTemplate")
    return compile_template(template["metadata"]["name"], ConfigTemplateSpec.model_validate(template["spec"]))


def policies() -> list[Policy]:
    return [
        compile_policy(body["metadata"]["name"], PolicyRollout.model_validate(body).spec, schema())
        for body in EXAMPLES
        if body.get("kind") == "PolicyRollout"
    ]


def view(*names: str) -> GroupView:
    return group_view(schema(), "free", [p for p in policies() if p.name in names])


def test_every_policy_on_the_page_is_valid_and_contradicts_no_other() -> None:
    made = policies()

    assert [policy.name for policy in ordered(made)] == ["incident-41", "calmer-agents"]
    assert [policy.notices for policy in made] == [(), ()]
    assert [contradictions(policy, made) for policy in made] == [[], []]
    assert document_problems(view("incident-41", "calmer-agents")) == []


def test_a_user_gets_the_notices_that_the_page_shows() -> None:
    (sample,) = (e["warnings"] for e in EXAMPLES if "warnings" in e)

    made = view("calmer-agents").resolve({"agent.temperature": 1.5, "agent.provider": "openai"})

    assert [{"key": n.key, "reason": n.reason, "message": n.message} for n in made.notices] == sample


def test_the_higher_policy_wins_as_on_the_page() -> None:
    made = view("calmer-agents", "incident-41")

    for minutes, given in ((60, 10), (5, 5)):
        values = made.resolve({"session.minutes": minutes, "agent.provider": "openai"}).values
        assert (values["session.minutes"], values["agent.provider"]) == (given, "local")


def test_every_reason_that_a_policy_gives_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE))

    assert rows == {notices.LOCKED, clamping.CLAMPED, clamping.DROPPED, notices.CONFLICT}
