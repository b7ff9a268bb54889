"""The page on rollouts: its examples are valid, its tables have every phase and every action."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import yaml

from trimtab.api.policy_rollout import PolicyRollout
from trimtab.api.rollout_action import Action, RolloutAction
from trimtab.api.rollout_status import Phase
from trimtab.core.rollout.strategy import compile_strategy

PAGE = (Path(__file__).parents[2] / "docs" / "rollouts.md").read_text()
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)]
GROUPS = {"free": {"ring": "canary"}, "pro": {}, "team": {}}


def rows(heading: str) -> set[str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))


def test_every_example_is_valid_and_its_strategy_can_be_followed() -> None:
    models = {"PolicyRollout": PolicyRollout, "RolloutAction": RolloutAction}
    made = [models[example["kind"]].model_validate(example) for example in EXAMPLES]

    (rollout,) = (found for found in made if isinstance(found, PolicyRollout))
    strategy = compile_strategy(rollout.spec.strategy, GROUPS)

    assert [(wave.name, wave.groups) for wave in strategy.waves] == [
        ("canary", ["free"]),
        ("early", ["free"]),
        ("all", ["pro", "team"]),
    ]


def test_the_tables_have_every_phase_and_every_action() -> None:
    assert rows("Phases") == set(get_args(Phase))
    assert rows("Actions") == set(get_args(Action))
