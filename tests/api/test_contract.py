"""The contract's own examples are what the models read and write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from trimtab.api import KINDS, ConfigTemplate, PolicyRollout, RolloutAction, UserPreference, not_supported

CONTRACT = Path(__file__).with_name("contract.yaml")
EXAMPLES = {example["kind"]: example for example in yaml.safe_load_all(CONTRACT.read_text(encoding="utf-8"))}
MODELS = {model.info.kind: model for model in KINDS}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_read_and_written_back_word_for_word(kind: str) -> None:
    assert MODELS[kind].model_validate(EXAMPLES[kind]).to_dict() == EXAMPLES[kind]


def test_every_kind_that_users_write_has_an_example() -> None:
    assert {*EXAMPLES, "RenderedGroup"} == set(MODELS)


def test_a_template_names_exactly_what_is_not_built() -> None:
    template = ConfigTemplate.model_validate(EXAMPLES["ConfigTemplate"])
    assert not_supported(template.spec) == [
        "spec.rules",
        "spec.outputs[4].format (Flagd)",
        "spec.outputs[5].format (Text)",
        "spec.outputs[5].template",
        "spec.flags",
        "spec.migrations",
    ]


def test_a_preference_names_exactly_what_is_not_built() -> None:
    preference = UserPreference.model_validate(EXAMPLES["UserPreference"])
    assert not_supported(preference.spec) == ["spec.sealedValues", "spec.secretRefs", "spec.flags"]


def test_a_policy_names_exactly_what_is_not_built() -> None:
    policy = PolicyRollout.model_validate(EXAMPLES["PolicyRollout"])
    assert not_supported(policy.spec) == ["spec.policy.flags"]


def test_an_action_is_built() -> None:
    assert not_supported(RolloutAction.model_validate(EXAMPLES["RolloutAction"]).spec) == []


def test_empty_lists_and_maps_are_not_set() -> None:
    template = ConfigTemplate.model_validate(
        {"metadata": {"name": "t"}, "spec": {"rules": [], "flags": [], "migrations": [], "strategy": {}}}
    )
    preference = UserPreference.model_validate(
        {
            "metadata": {"name": "u"},
            "spec": {
                "templateRef": {"name": "t"},
                "group": "g",
                "sealedValues": {},
                "secretRefs": [],
                "flags": {},
            },
        }
    )

    assert not_supported(template.spec) == []
    assert not_supported(preference.spec) == []


def _without(example: dict[str, Any], *fields: str) -> dict[str, Any]:
    return example | {"spec": {name: said for name, said in example["spec"].items() if name not in fields}}


def test_what_is_built_is_not_named() -> None:
    example = _without(EXAMPLES["ConfigTemplate"], "rules", "flags", "migrations", "strategy")
    example["spec"] |= {"outputs": example["spec"]["outputs"][:4]}
    assert not_supported(ConfigTemplate.model_validate(example).spec) == []


def test_a_misspelt_field_is_refused() -> None:
    example = EXAMPLES["ConfigTemplate"]
    with pytest.raises(ValidationError, match="revisonHistoryLimit"):
        ConfigTemplate.model_validate(example | {"spec": example["spec"] | {"revisonHistoryLimit": 3}})


def test_a_user_has_the_name_of_the_preference_unless_spec_user_is_set() -> None:
    example = EXAMPLES["UserPreference"]
    named = example | {"metadata": {"name": "alice-in-music"}}
    assert UserPreference.model_validate(named).user == "alice"
    assert UserPreference.model_validate(_without(named, "user")).user == "alice-in-music"
