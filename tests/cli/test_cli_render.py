"""`trimtab render`: exactly what the operator would write, and nothing that must stay secret."""

from __future__ import annotations

import base64
import json
from typing import Any

import yaml

from support.cli_manifests import TEMPLATE, Call, Write, preference
from trimtab.core.render.shard import LIMIT, TARGET


def _objects(text: str) -> dict[tuple[str, str], dict[str, Any]]:
    return {(o["kind"], o["metadata"]["name"]): o for o in yaml.safe_load_all(text)}


def test_groups_users_and_those_without_a_preference_are_rendered(trimtab: Call, write: Write) -> None:
    answer = trimtab(
        "render", "-f", write(TEMPLATE, preference("ann", "{agent.temperature: 1.5, plugins: [b]}"))
    )
    assert (answer.code, answer.err) == (0, "")

    made = _objects(answer.out)
    assert list(made) == [
        ("ConfigMap", "app-free"),
        ("Secret", "app-free"),
        ("ConfigMap", "app-free-users-0"),
        ("ConfigMap", "app-pro"),
        ("Secret", "app-pro"),
    ]
    assert yaml.safe_load(made["ConfigMap", "app-free"]["data"]["app.yaml"]) == {
        "agent": {"temperature": 0.5, "provider": "openai"},
        "session": {"minutes": 20},
    }

    ann = json.loads(made["ConfigMap", "app-free-users-0"]["data"]["ann.prefs.json"])
    nobody = json.loads(made["ConfigMap", "app-free"]["data"]["_default.prefs.json"])
    assert ann == {
        "agent": {"temperature": 1.5, "provider": "openai"},
        "session": {"minutes": 20},
        "plugins": ["a", "b"],
    }
    assert nobody["plugins"] == ["a"]
    assert made["ConfigMap", "app-free-users-0"]["metadata"] == {
        "name": "app-free-users-0",
        "namespace": "team",
        "labels": {
            **made["ConfigMap", "app-free"]["metadata"]["labels"],
            "trimtab.dev/shard": "0",
        },
    }


def test_sensitive_values_are_redacted_unless_requested(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE)
    for output in ("yaml", "json", "table"):
        answer = trimtab("render", "-f", path, "-o", output)
        encoded = base64.b64encode(b"hunter2").decode().rstrip("=")
        assert "hunter2" not in answer.out + answer.err
        assert encoded not in answer.out
    hidden = _objects(trimtab("render", "-f", path).out)["Secret", "app-free"]
    shown = _objects(trimtab("render", "-f", path, "--show-secrets").out)["Secret", "app-free"]

    assert hidden["stringData"] == {"creds.json": "(redacted; --show-secrets shows it)"}
    assert json.loads(shown["stringData"]["creds.json"]) == {"api": {"token": "hunter2"}}


def test_a_secrets_entry_without_sensitive_keys_is_shown(trimtab: Call, write: Write) -> None:
    more = """\
  - {name: env, kind: Secret, format: Env, include: [api.token, session.minutes]}
  - {name: own, kind: Secret, scope: User, format: JSON, fileName: own.json, include: [session.*]}
"""
    answer = trimtab("render", "-f", write(TEMPLATE + more, preference("ann", "{session.minutes: 7}")))
    made = _objects(answer.out)

    assert made["Secret", "app-free"]["stringData"] == {
        "creds.json": "(redacted; --show-secrets shows it)",
        "API_TOKEN": "(redacted; --show-secrets shows it)",
        "SESSION_MINUTES": "20",
        "_default.own.json": '{"session":{"minutes":20}}\n',
    }
    assert made["Secret", "app-free-users-0"]["stringData"] == {"ann.own.json": '{"session":{"minutes":7}}\n'}


def test_per_user_objects_are_in_the_namespace_of_their_preferences(trimtab: Call, write: Write) -> None:
    template = TEMPLATE.replace("spec:\n", "spec:\n  users: {delivery: PerUser}\n", 1)
    template = template.replace("{name: pro}", "{name: pro, preferenceNamespaceSelector: {}}")
    answer = trimtab("render", "-f", write(template, preference("ann", group="pro", namespace="tenant")))
    own = _objects(answer.out)["ConfigMap", "app-u-ann"]
    assert own["metadata"]["namespace"] == "tenant"
    assert own["metadata"]["annotations"] == {"trimtab.dev/user": "ann"}
    assert list(own["data"]) == ["prefs.json"]


def test_refused_objects_are_reported_and_the_rest_is_rendered(trimtab: Call, write: Write) -> None:
    path = write(
        TEMPLATE, preference("ann", "{session.minutes: 0}"), preference("bob", "{session.minutes: 5}")
    )
    answer = trimtab("render", "-f", path)
    assert answer.code == 1
    assert "refused: " in answer.err
    assert "UserPreference team/ann: session.minutes: must be at least 1" in answer.err

    users = _objects(answer.out)["ConfigMap", "app-free-users-0"]["data"]
    assert json.loads(users["ann.prefs.json"])["session"]["minutes"] == 20
    assert json.loads(users["bob.prefs.json"])["session"]["minutes"] == 5


def test_what_was_accepted_before_counts_in_a_dump(trimtab: Call, write: Write) -> None:
    refused = preference("ann", "{session.minutes: 0}") + (
        "status: {accepted: {generation: 1, group: free, values: {session.minutes: 9}}}\n"
    )
    answer = trimtab("render", "-f", write(TEMPLATE, refused))
    users = _objects(answer.out)["ConfigMap", "app-free-users-0"]["data"]
    assert json.loads(users["ann.prefs.json"])["session"]["minutes"] == 9


def test_many_users_are_spread_over_shards_the_same_way_each_time(trimtab: Call, write: Write) -> None:
    users = [preference(f"user-{n:03d}") for n in range(300)]
    path = write(TEMPLATE, *users)
    first, second = trimtab("render", "-f", path).out, trimtab("render", "-f", path).out
    assert first == second
    shards = [o for (kind, name), o in _objects(first).items() if "users-" in name]
    assert [o["metadata"]["name"] for o in shards] == [f"app-free-users-{n}" for n in range(len(shards))]
    assert len(shards) > 1
    assert sum(len(o["data"]) for o in shards) == 300
    assert all(sum(map(len, o["data"].values())) < max(TARGET * 2, LIMIT) for o in shards)


def test_json_is_one_list(trimtab: Call, write: Write) -> None:
    made = trimtab("render", "-f", write(TEMPLATE), "-o", "json").json
    assert (made["kind"], len(made["items"])) == ("List", 4)


def test_nothing_is_rendered_of_a_template_that_is_refused(trimtab: Call, write: Write) -> None:
    answer = trimtab("render", "-f", write(TEMPLATE.replace("default: 0.7", "default: 7")))
    assert (answer.code, answer.out) == (1, "")
    assert "must be at most 2, got 7" in answer.err


def test_text_of_any_kind_reads_back_from_the_yaml(trimtab: Call, write: Write) -> None:
    nasty = "a: b\n# no comment\t\u2028 \u00e9 \U0001f600 'x' \"y\" \\ $HOME `id` yes\n\n"
    written = json.dumps(nasty).replace("\\ud83d\\ude00", "\\U0001f600")  # YAML knows no surrogate pairs
    path = write(TEMPLATE, preference("ann", f"{{agent.mood: {written}}}"))
    users = _objects(trimtab("render", "-f", path).out)["ConfigMap", "app-free-users-0"]["data"]
    assert json.loads(users["ann.prefs.json"])["agent"]["mood"] == nasty
