"""Small objects for the cluster tests, as users would write them."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]
API_VERSION = "trimtab.dev/v1alpha1"

KEYS: list[Body] = [
    {"name": "agent.temperature", "type": "Number", "default": 0.7, "minimum": 0, "maximum": 2},
    {
        "name": "agent.provider",
        "type": "String",
        "enum": ["openai", "anthropic", "local"],
        "default": "openai",
        "setBy": "Group",
    },
    {"name": "session.minutes", "type": "Integer", "default": 30, "minimum": 1},
    {"name": "session.greeting", "type": "String", "default": "hello"},
]
APP: Body = {"name": "app", "format": "JSON", "fileName": "app.json"}
PREFS: Body = {"name": "prefs", "scope": "User", "format": "JSON", "fileName": "prefs.json"}
VERBS = ("approve", "promote", "pause", "resume", "abort", "retry", "undo")
SOURCES = {"PolicyRollout": "policyrollouts", "ConfigTemplate": "configtemplates"}
"""What rolls out, by kind."""
SECRET_KEY: Body = {"name": "api.token", "type": "String", "sensitive": True}


def template(namespace: str, name: str = "app", **spec: Any) -> Body:
    """A ConfigTemplate with two groups; any field of the spec can be replaced."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ConfigTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "keys": KEYS,
            "groups": [{"name": "free"}, {"name": "pro", "values": {"session.minutes": 120}}],
            "outputs": [APP, PREFS],
            **spec,
        },
    }


def preference(
    namespace: str,
    name: str,
    values: Body | None = None,
    *,
    group: str = "free",
    of: str = "app",
    home: str | None = None,
    **spec: Any,
) -> Body:
    """A UserPreference of the template ``of`` in namespace ``home`` (default: its own)."""
    reference = {"name": of} | ({"namespace": home} if home else {})
    return {
        "apiVersion": API_VERSION,
        "kind": "UserPreference",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"templateRef": reference, "group": group, "values": values or {}, **spec},
    }


def action(
    namespace: str, verb: str, requester: str, kind: str = "PolicyRollout", name: str = "calmer", **spec: Any
) -> Body:
    """A RolloutAction in the name of ``requester``, with a hash of whatever was previewed."""
    return {
        "apiVersion": API_VERSION,
        "kind": "RolloutAction",
        "metadata": {"generateName": f"{verb}-", "namespace": namespace},
        "spec": {
            "rolloutRef": {"kind": kind, "name": name},
            "action": verb.capitalize(),
            "contentHash": "3f9a",
            "requester": requester,
            **spec,
        },
    }


def config_map(namespace: str, name: str, data: dict[str, str], **metadata: Any) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": data,
    }


def namespace(name: str, **metadata: Any) -> Body:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **metadata}}
