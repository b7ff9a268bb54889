"""A sensitive value is in Secrets and nowhere else, whatever happens to it."""

from __future__ import annotations

import base64
import json
from typing import Any

from support.cluster_fixtures import Arena, Place
from support.fault_proxy import Fault, FaultProxy, LoseAnswer, Refuse
from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS
from support.operator_process import SYSTEM, Operator

CANARY = "canary-5f2b1c9d"
READABLE = (
    "ConfigMap",
    "RenderedGroup",
    "ControllerRevision",
    "Event",
    "PolicyRollout",
    "Lease",
)
KEYS_WITH_SECRETS: list[Body] = [
    *KEYS,
    {"name": "api.token", "type": "String", "sensitive": True, "default": f"{CANARY}-default"},
    {"name": "api.password", "type": "String", "sensitive": True, "pattern": "^canary-[a-z0-9-]*$"},
    {"name": "api.mode", "type": "String", "sensitive": True, "enum": [f"{CANARY}-enum", f"{CANARY}-other"]},
]
OUTPUTS: list[Body] = [
    APP,
    PREFS,
    {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"},
    {"name": "env", "kind": "Secret", "format": "Env", "prefix": "X_"},
    {"name": "mine", "kind": "Secret", "scope": "User", "format": "JSON", "fileName": "mine.json"},
]


def _decoded(secret: Body) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in (secret.get("data") or {}).items()}


def _leaks(arena: Arena, place: Place, *operators: Operator) -> list[str]:
    """Where the canary can be read without reading a Secret or what its author wrote."""
    found = []
    for kind in READABLE:
        found += [
            f"{kind} {item['metadata']['name']}"
            for item in arena.api.list(kind, place.name)
            if CANARY in json.dumps(item)
        ]
    for kind in ("ConfigTemplate", "UserPreference"):
        found += [
            f"status of {kind} {item['metadata']['name']}"
            for item in arena.api.list(kind, place.name)
            if CANARY in json.dumps(item.get("status") or {})
        ]
    for secret in arena.api.list("Secret", place.name):
        if CANARY in json.dumps({**secret, "data": None}):
            found.append(f"metadata of Secret {secret['metadata']['name']}")
    for operator in operators:
        if CANARY in operator.log_file.read_text():
            found.append("the log")
        if operator.running and CANARY in operator.http("/metrics")[1]:
            found.append("/metrics")
    return found


def _template(place: Place, name: str = "app", **spec: Any) -> None:
    defaults: Body = {
        "keys": KEYS_WITH_SECRETS,
        "outputs": OUTPUTS,
        "profiles": [{"name": "base", "values": {"api.password": f"{CANARY}-profile"}}],
        "groups": [{"name": "free", "profile": "base", "values": {"api.mode": f"{CANARY}-enum"}}],
    }
    place.template(name, **{**defaults, **spec})


def test_sensitive_values_reach_secrets_and_nothing_else(operators: Arena, place: Place) -> None:
    operator = operators.operator("talkative", "--log-level", "debug").start().acting()
    _template(place)
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.rendered()
    creds = json.loads(_decoded(place.one("Secret", "app-free"))["creds.json"])
    assert creds["api"] == {
        "token": f"{CANARY}-default",
        "password": f"{CANARY}-profile",
        "mode": f"{CANARY}-enum",
    }
    own = json.loads(_decoded(place.one("Secret", "app-free-users-0"))["alice.mine.json"])
    assert own["api"]["token"] == f"{CANARY}-default"
    assert _leaks(operators, place, operator) == []


def test_a_refused_sensitive_value_is_not_echoed(operators: Arena, place: Place) -> None:
    operator = operators.operator("talkative", "--log-level", "debug").start().acting()
    _template(place)
    place.preference("clear", {"api.token": f"{CANARY}-in-clear"})
    place.preference("misfit", {"api.mode": f"{CANARY}-no-member", "api.password": {"x": CANARY}})
    place.preference("later", {"session.minutes": 5})
    place.accepted("later")
    place.preference("later", {"session.minutes": 6, "api.token": f"{CANARY}-later"})
    for name in ("clear", "misfit", "later"):
        place.invalid(name)
    bad: list[Body] = [
        {"groups": [{"name": "free", "values": {"api.mode": f"{CANARY}-nope"}}]},
        {"groups": [{"name": "free", "values": {"api.password": f"{CANARY}-NOT-THE-PATTERN"}}]},
        {"groups": [{"name": "free", "values": {"api.password": [CANARY]}}]},
        {"outputs": [{**APP, "include": ["api.token"]}]},
        {"keys": [*KEYS, {"name": "api.token", "type": "Integer", "sensitive": True, "default": CANARY}]},
        {"keys": [*KEYS, {"name": "api.token", "type": "String", "sensitive": True, "pattern": f"({CANARY}"}]},
        {"keys": [*KEYS, {"name": "api.token", "type": "String", "sensitive": True, "maxLength": 3, "enum": [CANARY]}]},
    ]  # fmt: skip
    for number, spec in enumerate(bad):
        _template(place, f"bad-{number}", **spec)
    for number in range(len(bad)):
        place.wait_verdict("ConfigTemplate", f"bad-{number}", "False", "Rejected")
    operator.quiet()
    assert _leaks(operators, place, operator) == []


def test_a_value_whose_key_becomes_sensitive_later_is_kept_nowhere_in_clear(
    operator: Operator, arena: Arena, place: Place
) -> None:
    """It was a plain value before, in status too: then it must go from there."""
    plain: list[Body] = [{"name": "api.token", "type": "String"}, *KEYS]
    place.template(keys=plain)
    place.preference("alice", {"api.token": f"{CANARY}-was-plain"})
    place.accepted("alice")
    place.preference("alice", {"api.token": f"{CANARY}-was-plain", "session.minutes": 6})
    place.accepted("alice")
    place.template(keys=[{**plain[0], "sensitive": True}, *KEYS])
    place.invalid("alice")
    place.wait_user("alice", {"session.minutes": 6})
    operator.quiet()
    assert _leaks(arena, place, operator) == []


def test_a_failing_write_of_a_secret_says_nothing_of_its_content(
    operators: Arena, proxy: FaultProxy, place: Place
) -> None:
    refuse = Fault(
        lambda e: e.write and e.plural == "secrets" and e.namespace == place.name, Refuse(422, "Invalid")
    )
    operator = operators.operator("talkative", "--log-level", "debug", kubeconfig=proxy.kubeconfig)
    with proxy.failing(refuse):
        operator.start().acting()
        _template(place)
        place.preference("alice", {"session.minutes": 5})
        wait_for(lambda: refuse.hits > 3, "some writes of Secrets failed")
        place.wait_verdict("ConfigTemplate", "app", "False", "WriteFailed")
        assert _leaks(operators, place, operator) == []
    with proxy.failing(Fault(lambda e: e.write and e.plural == "secrets", LoseAnswer(500), times=2)):
        place.rendered()
    assert _leaks(operators, place, operator) == []


def test_snapshots_hold_sensitive_parts_as_tokens_and_serve_them_after_a_restart(
    operator: Operator, arena: Arena, place: Place
) -> None:
    _template(place)
    place.rendered()
    before = _decoded(place.one("Secret", "app-free"))
    _template(place, groups=[{"name": "free", "values": {"session.minutes": "many"}}])
    place.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    operator.restart()
    place.drop("Secret", "app-free")
    wait_for(lambda: place.get("Secret", "app-free"), "the Secret comes back out of the snapshot")
    assert _decoded(place.one("Secret", "app-free")) == before
    assert _leaks(arena, place, operator) == []
    keys = arena.api.one("Secret", SYSTEM, "trimtab-keys")
    assert all(CANARY.encode() not in base64.b64decode(text) for text in keys["data"].values())


def test_digests_shown_do_not_confirm_a_guess(operator: Operator, arena: Arena, place: Place) -> None:
    """Two clusters' worth of keys would differ; within one, equal content of two groups has equal digests."""
    import hashlib

    _template(place)
    place.rendered()
    secret = place.one("Secret", "app-free")
    shown = secret["metadata"]["annotations"]["trimtab.dev/digest"]
    for guess in (secret["data"], _decoded(secret)):
        text = json.dumps(guess, sort_keys=True, separators=(",", ":")).encode()
        for plain in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            assert not plain(text).hexdigest().startswith(shown)
