"""Every example is valid: each document passes the models, and the operator's own judgement accepts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from trimtab.api import KINDS, not_supported
from trimtab.cli.main import app

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())
FILES = sorted(EXAMPLES.rglob("*.yaml"))
MODELS = {model.info.kind: model for model in KINDS}


def documents(file: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return done.output


def rendered(*places: str) -> dict[tuple[str, str], dict[str, str]]:
    """What examples, or files of them, render: data by kind and name."""
    words = (word for place in places for word in ("-f", str(EXAMPLES / place)))
    found = yaml.safe_load_all(run("render", *words))
    return {(o["kind"], o["metadata"]["name"]): o.get("data") or o.get("stringData") for o in found if o}


def test_there_are_examples() -> None:
    assert [folder.name for folder in FOLDERS] == ["ai-models", "learning-platform", "music-agent"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_every_document_passes_its_model_and_uses_nothing_that_is_not_built(file: Path) -> None:
    for document in documents(file):
        if document["kind"] in MODELS:
            model = MODELS[document["kind"]].model_validate(document)
            assert not_supported(model.spec) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_trimtab_validate_accepts_it(folder: Path) -> None:
    run("validate", "-f", str(folder))


def test_the_music_agent_has_tens_of_users_in_each_kind_of_trouble_that_the_demo_shows() -> None:
    output = run("validate", "-f", str(EXAMPLES / "music-agent"))
    assert "warning: agent.temperature:" in output
    assert "use agent.temperature" in output
    outputs = rendered("music-agent")
    assert {name for _, name in outputs} == {
        *(f"music-agent-{group}" for group in ("free", "pro", "team")),
        *(f"music-agent-{group}-users-0" for group in ("free", "pro", "team")),
    }


def test_the_workloads_of_the_music_agent_read_what_is_rendered() -> None:
    outputs = rendered("music-agent")
    for deployment in documents(EXAMPLES / "music-agent" / "deployment.yaml"):
        pod = deployment["spec"]["template"]["spec"]
        for source in pod["containers"][0]["envFrom"]:
            assert ("ConfigMap", source["configMapRef"]["name"]) in outputs
        for source in pod["volumes"][0]["projected"]["sources"]:
            kind = "ConfigMap" if "configMap" in source else "Secret"
            reference = source["configMap" if kind == "ConfigMap" else "secret"]
            assert {item["key"] for item in reference["items"]} <= outputs[kind, reference["name"]].keys()


def test_the_music_agents_policies_affect_its_users_as_their_comments_describe() -> None:
    music, policy = EXAMPLES / "music-agent", EXAMPLES / "music-agent" / "rollouts" / "calmer-agents.yaml"
    files = [str(file) for file in (music / "template.yaml", music / "preferences.yaml", policy)]
    said = run("validate", *(word for file in files for word in ("-f", file)))
    assert "agent.temperature: was clamped from 1.2 to 1.0 by PolicyRollout calmer-agents (COST-7)" in said

    outputs = rendered(*files)
    for group in ("free", "pro", "team"):
        config = yaml.safe_load(outputs["ConfigMap", f"music-agent-{group}"]["config.yaml"])
        assert (config["agent"]["provider"], config["session"]["minutes"]) == ("anthropic", 25)
    users = outputs["ConfigMap", "music-agent-free-users-0"]
    assert yaml.safe_load(users["emil.prefs.json"])["agent"]["temperature"] == 1.0
    assert yaml.safe_load(users["alice.prefs.json"])["agent"]["temperature"] == 0.9


def test_the_waves_of_the_music_agents_rollouts_are_its_rings() -> None:
    template = next(
        d for d in documents(EXAMPLES / "music-agent" / "template.yaml") if d["kind"] == "ConfigTemplate"
    )
    rings = {group["name"]: group["labels"]["ring"] for group in template["spec"]["groups"]}
    assert rings == {"free": "canary", "pro": "main", "team": "main"}

    for name in ("calmer-agents", "newer-model"):
        [policy] = documents(EXAMPLES / "music-agent" / "rollouts" / f"{name}.yaml")
        canary, rest = policy["spec"]["strategy"]["waves"]
        assert policy["metadata"]["name"] == name
        assert canary["groupSelector"] == {"matchLabels": {"ring": "canary"}}
        assert not {"groups", "groupSelector"} & rest.keys()


def test_applying_the_music_agent_starts_no_rollout() -> None:
    # kubectl takes a folder's own files, and not those of the folders in it
    assert "PolicyRollout" not in {
        d["kind"] for file in (EXAMPLES / "music-agent").glob("*.yaml") for d in documents(file)
    }


def test_the_models_are_merged_and_appended_as_their_comments_describe() -> None:
    text = rendered("ai-models")["ConfigMap", "models-prod"]["models.toml"]
    assert 'fallbacks = ["small-local", "medium-hosted"]' in text
    assert "chat = 600.0" in text
    assert "apiKey" not in text


def test_learners_get_objects_of_their_own_in_their_schools_namespace() -> None:
    mine = yaml.safe_load(rendered("learning-platform")["ConfigMap", "lessons-u-mia"]["lessons.yaml"])
    assert mine["language"] == "tr"
    assert mine["subjects"] == {"reading": 1.0, "maths": 0.8, "music": 0.9}
