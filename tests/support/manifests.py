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


def policy(
    namespace: str,
    name: str = "calmer",
    says: Body | None = None,
    strategy: Body | None = None,
    *,
    of: str = "app",
    **spec: Any,
) -> Body:
    """A PolicyRollout of the template ``of``; unless it ``says`` otherwise it gives everybody 25 minutes."""
    more = {"strategy": strategy} if strategy is not None else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "PolicyRollout",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "templateRef": {"name": of},
            "policy": minutes(25) if says is None else says,
            **more,
            **spec,
        },
    }


def minutes(number: Any) -> Body:
    """A policy that enforces the length of sessions."""
    return enforce("session.minutes", number)


def enforce(key: str, value: Any, reason: str = "SEC-12") -> Body:
    return {"enforced": [{"key": key, "value": value, "reason": reason}]}


def waves(*waves: Body, **strategy: Any) -> Body:
    """A strategy with these waves, or ``free`` first, watched for longer than any test takes, then the rest."""
    return {"waves": list(waves) or [wave("canary", "free", soak="1h")], **strategy}


def wave(name: str, *groups: str, **more: Any) -> Body:
    return {"name": name, **({"groups": list(groups)} if groups else {}), **more}


def workload(kind: str, namespace: str, name: str, **spec: Any) -> Body:
    """A Deployment, StatefulSet or DaemonSet whose pods end at once when they are told to."""
    labels = {"app": name}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "main", "image": "main"}]}
    replicas = {} if kind == "DaemonSet" else {"replicas": 2}
    template = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **replicas, **spec},
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
