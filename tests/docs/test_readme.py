"""The README's first example is true: `trimtab render` and `trimtab validate` print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from typer.testing import CliRunner, Result

from trimtab.api.policy_rollout import PolicyRollout
from trimtab.cli.main import app
from trimtab.core.rollout.strategy import compile_strategy

PAGE = (Path(__file__).parents[2] / "README.md").read_text()
OBJECTS, ROLLOUT = re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
CONSOLES = re.findall(r"^```console\n\$ (.*?)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
SHOWN: dict[str, str] = dict(CONSOLES)


def run(tmp_path: Path, verb: str, text: str) -> Result:
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    return CliRunner().invoke(app, [verb, str(path)], prog_name="trimtab")


def test_the_configmaps_in_the_readme_are_rendered_from_its_yaml(tmp_path: Path) -> None:
    result = run(tmp_path, "render", OBJECTS)

    without_labels = re.sub(r"^  labels:\n(?:    .*\n)+", "", result.stdout, flags=re.MULTILINE)
    assert (result.exit_code, without_labels) == (0, SHOWN["trimtab render agent.yaml"])


def test_the_typo_in_the_readme_is_refused_as_it_shows(tmp_path: Path) -> None:
    result = run(tmp_path, "validate", OBJECTS.replace("{agent.model: large}", "{agent.modle: large}"))

    printed = result.output.replace(f"{tmp_path}/", "")
    assert (result.exit_code, printed) == (1, SHOWN["trimtab validate agent.yaml"])


def test_the_rollout_in_the_readme_is_valid() -> None:
    spec = PolicyRollout.model_validate(yaml.safe_load(ROLLOUT)).spec

    strategy = compile_strategy(spec.strategy, {"free": {}, "pro": {}})

    assert [(wave.name, wave.groups) for wave in strategy.waves] == [
        ("canary", ["free"]),
        ("all", ["free", "pro"]),
    ]
