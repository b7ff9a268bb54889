"""What lands in the cluster: files of every format, where they are, and who may read them."""

from __future__ import annotations

import base64
import configparser
import io
import json
import subprocess
import tomllib

import javaproperties
import yaml
from dotenv import dotenv_values

from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS
from support.namespace import Namespace
from support.operator_process import Operator

HOSTILE = 'it\'s "so" $HOME = #1; \\ ünïcode 🎵 100%'
TYPED: list[Body] = [
    {"name": "name", "type": "String", "default": HOSTILE},
    {"name": "agent.temperature", "type": "Number", "default": 0.7},
    {"name": "agent.retries", "type": "Integer", "default": 9007199254740993},
    {"name": "agent.on", "type": "Boolean", "default": False},
    {"name": "cache.ttl", "type": "Duration", "default": "1h30m"},
    {"name": "plugins", "type": "StringList", "default": ["a b", "", "c,d"]},
    {"name": "taste.genres", "type": "NumberMap", "default": {"jazz": 0.5, "k p": 1.0}},
    {"name": "labels", "type": "StringMap", "default": {"x": "", "y": HOSTILE}},
]
NESTED = {
    "name": HOSTILE,
    "agent": {"temperature": 0.7, "retries": 9007199254740993, "on": False},
    "cache": {"ttl": "1h30m"},
    "plugins": ["a b", "", "c,d"],
    "taste": {"genres": {"jazz": 0.5, "k p": 1.0}},
    "labels": {"x": "", "y": HOSTILE},
}
FLAT = {
    "name": HOSTILE,
    "agent.temperature": "0.7",
    "agent.retries": "9007199254740993",
    "agent.on": "false",
    "cache.ttl": "1h30m",
}
FORMATS = [
    {"name": "json", "format": "JSON", "fileName": "f.json"},
    {"name": "yaml", "format": "YAML", "fileName": "f.yaml"},
    {"name": "toml", "format": "TOML", "fileName": "f.toml"},
    {"name": "ini", "format": "INI", "fileName": "f.ini"},
    {"name": "props", "format": "Properties", "fileName": "f.properties"},
    {"name": "dotenv", "format": "Env", "fileName": "f.env", "prefix": "APP_"},
    {"name": "env", "format": "Env", "prefix": "E_"},
]


def _read(data: dict[str, str], file: str) -> Body:
    text = data[f"f.{file}"]
    if file == "json":
        return dict(json.loads(text))
    if file == "yaml":
        return dict(yaml.safe_load(text))
    return tomllib.loads(text)


def _check_files(data: dict[str, str]) -> None:
    for file in ("json", "yaml", "toml"):
        assert _read(data, file) == NESTED, file
    ini = configparser.ConfigParser(interpolation=None)
    ini.optionxform = str  # type: ignore[assignment,method-assign]
    ini.read_string(data["f.ini"])
    assert ini["agent"]["retries"] == "9007199254740993"
    assert ini["cache"]["ttl"] == "1h30m"
    assert json.loads(ini["DEFAULT"]["name"]) == HOSTILE  # what parses as a JSON string is that string
    assert json.loads(ini["taste"]["genres"]) == NESTED["taste"]["genres"]
    properties = javaproperties.load(io.StringIO(data["f.properties"]))
    assert {name: properties[name] for name in FLAT} == FLAT
    assert json.loads(properties["labels"]) == NESTED["labels"]
    assert data["E_NAME"] == HOSTILE
    assert data["E_AGENT_ON"] == "false"
    assert json.loads(data["E_PLUGINS"]) == NESTED["plugins"]


def _sourced(text: str, names: list[str]) -> dict[str, str]:
    """What a POSIX shell makes of an Env file."""
    script = text + "\nfor n in " + " ".join(names) + '; do eval "printf \'%s\\0\' \\"\\$$n\\""; done'
    out = subprocess.run(
        ["sh", "-c", script], capture_output=True, check=True, env={"HOME": "/nowhere"}
    ).stdout
    return dict(zip(names, out.decode().split("\0"), strict=False))


def test_every_format_parses_back_from_the_real_config_map(operator: Operator, ns: Namespace) -> None:
    ns.template(keys=TYPED, groups=[{"name": "free"}], outputs=FORMATS)
    ns.rendered()

    data = ns.data("app-free")
    _check_files(data)
    shell = _sourced(data["f.env"], ["APP_NAME", "APP_AGENT_RETRIES", "APP_CACHE_TTL", "APP_LABELS"])
    assert shell["APP_NAME"] == HOSTILE
    assert shell["APP_AGENT_RETRIES"] == "9007199254740993"
    assert json.loads(shell["APP_LABELS"]) == NESTED["labels"]

    parsed = dotenv_values(stream=io.StringIO(data["f.env"]), interpolate=False)
    assert parsed["APP_CACHE_TTL"] == "1h30m"


def test_every_format_parses_back_from_the_real_secret(operator: Operator, ns: Namespace) -> None:
    outputs = [{**output, "kind": "Secret"} for output in FORMATS]
    ns.template(keys=TYPED, groups=[{"name": "free"}], outputs=outputs)
    ns.rendered()
    secret = ns.one("Secret", "app-free")
    assert secret["type"] == "Opaque"
    _check_files({name: base64.b64decode(text).decode() for name, text in secret["data"].items()})
    assert ns.get("ConfigMap", "app-free") is None


def test_outputs_carry_the_labels_and_annotations_of_the_contract(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice")
    ns.wait_user("alice", {"session.minutes": 30})
    ns.rendered()

    labels = {
        "app.kubernetes.io/managed-by": "trimtab",
        "app.kubernetes.io/part-of": "app",
        "trimtab.dev/template": "app",
        "trimtab.dev/template-namespace": ns.name,
        "trimtab.dev/group": "free",
    }
    for name in ("app-free", "app-free-users-0"):
        meta = ns.one("ConfigMap", name)["metadata"]
        assert labels.items() <= meta["labels"].items(), name
        assert meta["annotations"]["trimtab.dev/revision"] == "1"
        assert meta["annotations"]["trimtab.dev/digest"]
        owners = {m["manager"] for m in meta["managedFields"]}
        assert owners == {"trimtab"}


def test_users_without_a_preference_read_the_default_entry(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.rendered()
    for group, minutes in (("free", 30), ("pro", 120)):
        default = json.loads(ns.data(f"app-{group}")["_default.prefs.json"])
        assert default["session"]["minutes"] == minutes
    assert ns.shards() == []


def test_layers_win_in_order_and_falsy_values_win_like_any(operator: Operator, ns: Namespace) -> None:
    keys = [
        {"name": "a", "type": "Integer", "default": 1},
        {"name": "b", "type": "Integer", "default": 1},
        {"name": "c", "type": "Boolean", "default": True},
        {"name": "d", "type": "String", "default": "default"},
        {"name": "m", "type": "NumberMap", "merge": "Merge", "default": {"x": 1, "y": 1}},
        {"name": "l", "type": "StringList", "merge": "Append", "default": ["default"]},
    ]
    groups = [
        {"name": "free", "profile": "base", "values": {"b": 0, "m": {"y": 2}, "l": ["group"]}},
    ]
    profiles = [{"name": "base", "values": {"a": 2, "b": 2}}]
    ns.template(keys=keys, groups=groups, profiles=profiles)
    ns.preference("alice", {"c": False, "d": "", "m": {"z": 3}, "l": ["user"]})
    expected = {
        "a": 2, "b": 0, "c": False, "d": "", "m": {"x": 1, "y": 2, "z": 3}, "l": ["default", "group", "user"],
    }  # fmt: skip
    ns.wait_user("alice", expected)


def test_a_preference_that_goes_gives_the_user_back_to_the_default(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice", {"session.minutes": 5})
    ns.preference("bob", {"session.minutes": 6})
    ns.wait_user("alice", {"session.minutes": 5})
    ns.wait_user("bob", {"session.minutes": 6})
    ns.drop("UserPreference", "alice")
    wait_for(lambda: ns.user("alice") is None, "alice's file is gone")
    assert ns.user("bob")["session"]["minutes"] == 6  # type: ignore[index]

    ns.drop("UserPreference", "bob")
    wait_for(lambda: ns.shards() == [], "an empty shard is removed")
    assert ns.get("ConfigMap", "app-free") is not None


def test_per_user_delivery_creates_an_object_in_the_namespace_of_each_preference(
    operator: Operator, ns: Namespace
) -> None:
    secret = {"name": "own", "scope": "User", "kind": "Secret", "format": "JSON", "fileName": "own.json"}
    keys = [*KEYS, {"name": "api.token", "type": "String", "sensitive": True}]
    groups = [{"name": "free", "values": {"api.token": "only-in-the-groups-secret"}}]
    ns.template(users={"delivery": "PerUser"}, keys=keys, groups=groups, outputs=[APP, PREFS, secret])
    ns.preference("alice", {"session.minutes": 5})
    text = ns.wait_data("app-u-alice", "prefs.json")
    assert json.loads(text)["session"]["minutes"] == 5

    own = base64.b64decode(ns.wait_data("app-u-alice", "own.json", kind="Secret")).decode()
    assert json.loads(own)["session"]["minutes"] == 5
    assert "only-in-the-groups-secret" not in own

    ns.drop("UserPreference", "alice")
    ns.gone("ConfigMap", "app-u-alice")
    ns.gone("Secret", "app-u-alice")


def test_delivery_none_makes_no_user_documents(operator: Operator, ns: Namespace) -> None:
    ns.template(users={"delivery": "None"})
    ns.preference("alice", {"session.minutes": 5})
    ns.accepted("alice")
    ns.rendered()
    operator.quiet()
    assert set(ns.outputs()) == {("ConfigMap", "app-free"), ("ConfigMap", "app-pro")}
    assert "_default.prefs.json" not in ns.data("app-free")


def test_a_change_of_delivery_moves_every_user_and_leaves_nothing_behind(
    operator: Operator, ns: Namespace
) -> None:
    ns.template()
    for user in ("alice", "bob"):
        ns.preference(user, {"session.greeting": user})
        ns.wait_user(user, {"session.greeting": user})
    ns.template(users={"delivery": "PerUser"})
    for user in ("alice", "bob"):
        ns.wait_data(f"app-u-{user}", "prefs.json")
    wait_for(lambda: ns.shards() == [], "shards are removed")
    ns.template(users={"delivery": "None"})
    for user in ("alice", "bob"):
        ns.gone("ConfigMap", f"app-u-{user}")
    ns.template(users={"delivery": "Sharded"})
    for user in ("alice", "bob"):
        ns.wait_user(user, {"session.greeting": user})
    ns.rendered()

    operator.quiet()

    assert sorted(name for _, name in ns.outputs()) == ["app-free", "app-free-users-0", "app-pro"]


def test_a_renamed_file_replaces_the_old_entry(operator: Operator, ns: Namespace) -> None:
    ns.template()
    ns.preference("alice")
    ns.wait_user("alice", {"session.minutes": 30})
    renamed = [{**APP, "fileName": "new.json"}, {**PREFS, "fileName": "mine.json"}]
    ns.template(outputs=renamed)
    ns.wait_data("app-free", "new.json")
    ns.wait_data("app-free-users-0", "alice.mine.json")
    ns.rendered()

    assert set(ns.data("app-free")) == {"new.json", "_default.mine.json"}
    assert set(ns.data("app-free-users-0")) == {"alice.mine.json"}
