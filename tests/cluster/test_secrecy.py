"""A sensitive value is in Secrets and nowhere else, whatever happens to it."""

from __future__ import annotations

import base64
import json
from typing import Any

from support.fault_proxy import Fault, FaultProxy, LoseAnswer, Refuse
from support.live_objects import Body, wait_for
from support.manifests import APP, KEYS, PREFS
from support.namespace import Namespace
from support.operator_cluster import OperatorCluster
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


def _leaks(operator_cluster: OperatorCluster, ns: Namespace, *operators: Operator) -> list[str]:
    """Where the canary can be read without reading a Secret or what its author wrote."""
    found = []
    for kind in READABLE:
        found += [
            f"{kind} {item['metadata']['name']}"
            for item in operator_cluster.api.list(kind, ns.name)
            if CANARY in json.dumps(item)
        ]
    for kind in ("ConfigTemplate", "UserPreference"):
        found += [
            f"status of {kind} {item['metadata']['name']}"
            for item in operator_cluster.api.list(kind, ns.name)
            if CANARY in json.dumps(item.get("status") or {})
        ]
    for secret in operator_cluster.api.list("Secret", ns.name):
        if CANARY in json.dumps({**secret, "data": None}):
            found.append(f"metadata of Secret {secret['metadata']['name']}")
    for operator in operators:
        if CANARY in operator.log_file.read_text():
            found.append("the log")
        if operator.running and CANARY in operator.http("/metrics")[1]:
            found.append("/metrics")
    return found


def _template(ns: Namespace, name: str = "app", **spec: Any) -> None:
    defaults: Body = {
        "keys": KEYS_WITH_SECRETS,
        "outputs": OUTPUTS,
        "profiles": [{"name": "base", "values": {"api.password": f"{CANARY}-profile"}}],
        "groups": [{"name": "free", "profile": "base", "values": {"api.mode": f"{CANARY}-enum"}}],
    }
    ns.template(name, **{**defaults, **spec})


def test_sensitive_values_reach_secrets_and_nothing_else(operators: OperatorCluster, ns: Namespace) -> None:
    operator = operators.operator("talkative", "--log-level", "debug").start().acting()
    _template(ns)
    ns.preference("alice", {"session.minutes": 5})
    ns.wait_user("alice", {"session.minutes": 5})
    ns.rendered()

    creds = json.loads(_decoded(ns.one("Secret", "app-free"))["creds.json"])
    assert creds["api"] == {
        "token": f"{CANARY}-default",
        "password": f"{CANARY}-profile",
        "mode": f"{CANARY}-enum",
    }

    own = json.loads(_decoded(ns.one("Secret", "app-free-users-0"))["alice.mine.json"])
    assert own["api"]["token"] == f"{CANARY}-default"
    assert _leaks(operators, ns, operator) == []


def test_a_refused_sensitive_value_is_not_echoed(operators: OperatorCluster, ns: Namespace) -> None:
    operator = operators.operator("talkative", "--log-level", "debug").start().acting()
    _template(ns)
    ns.preference("clear", {"api.token": f"{CANARY}-in-clear"})
    ns.preference("misfit", {"api.mode": f"{CANARY}-no-member", "api.password": {"x": CANARY}})
    ns.preference("later", {"session.minutes": 5})
    ns.accepted("later")

    ns.preference("later", {"session.minutes": 6, "api.token": f"{CANARY}-later"})
    for name in ("clear", "misfit", "later"):
        ns.invalid(name)
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
        _template(ns, f"bad-{number}", **spec)
    for number in range(len(bad)):
        ns.wait_verdict("ConfigTemplate", f"bad-{number}", "False", "Rejected")
    operator.quiet()

    assert _leaks(operators, ns, operator) == []


def test_a_value_whose_key_becomes_sensitive_later_is_kept_nowhere_in_clear(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    """It was a plain value before, in status too: then it must go from there."""
    plain: list[Body] = [{"name": "api.token", "type": "String"}, *KEYS]
    ns.template(keys=plain)
    ns.preference("alice", {"api.token": f"{CANARY}-was-plain"})
    ns.accepted("alice")

    ns.preference("alice", {"api.token": f"{CANARY}-was-plain", "session.minutes": 6})
    ns.accepted("alice")
    ns.template(keys=[{**plain[0], "sensitive": True}, *KEYS])
    ns.invalid("alice")
    ns.wait_user("alice", {"session.minutes": 6})
    operator.quiet()

    assert _leaks(operator_cluster, ns, operator) == []


def test_a_failing_write_of_a_secret_reports_nothing_of_its_content(
    operators: OperatorCluster, proxy: FaultProxy, ns: Namespace
) -> None:
    refuse = Fault(
        lambda e: e.write and e.plural == "secrets" and e.namespace == ns.name, Refuse(422, "Invalid")
    )
    operator = operators.operator("talkative", "--log-level", "debug", kubeconfig=proxy.kubeconfig)
    with proxy.failing(refuse):
        operator.start().acting()
        _template(ns)
        ns.preference("alice", {"session.minutes": 5})
        wait_for(lambda: refuse.hits > 3, "some writes of Secrets failed")
        ns.wait_verdict("ConfigTemplate", "app", "False", "WriteFailed")

        assert _leaks(operators, ns, operator) == []
    with proxy.failing(Fault(lambda e: e.write and e.plural == "secrets", LoseAnswer(500), times=2)):
        ns.rendered()

    assert _leaks(operators, ns, operator) == []


def test_snapshots_hold_sensitive_parts_as_tokens_and_serve_them_after_a_restart(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    _template(ns)
    ns.rendered()

    before = _decoded(ns.one("Secret", "app-free"))
    _template(ns, groups=[{"name": "free", "values": {"session.minutes": "many"}}])
    ns.wait_verdict("ConfigTemplate", "app", "False", "Rejected")
    operator.restart()
    ns.drop("Secret", "app-free")
    wait_for(lambda: ns.get("Secret", "app-free"), "the Secret comes back out of the snapshot")
    assert _decoded(ns.one("Secret", "app-free")) == before
    assert _leaks(operator_cluster, ns, operator) == []

    keys = operator_cluster.api.one("Secret", SYSTEM, "trimtab-keys")
    assert all(CANARY.encode() not in base64.b64decode(text) for text in keys["data"].values())


def test_digests_shown_do_not_confirm_a_guess(
    operator: Operator, operator_cluster: OperatorCluster, ns: Namespace
) -> None:
    """Two clusters' worth of keys would differ; within one, equal content of two groups has equal digests."""
    import hashlib

    _template(ns)
    ns.rendered()
    secret = ns.one("Secret", "app-free")
    shown = secret["metadata"]["annotations"]["trimtab.dev/digest"]
    for guess in (secret["data"], _decoded(secret)):
        text = json.dumps(guess, sort_keys=True, separators=(",", ":")).encode()
        for plain in (hashlib.sha256, hashlib.sha1, hashlib.md5):
            assert not plain(text).hexdigest().startswith(shown)
