"""Objects as users write them: templates, preferences, policies and actions, and what they refer to."""

from __future__ import annotations

from typing import Any

Body = dict[str, Any]
API_VERSION = "trimtab.dev/v1alpha1"

TEMPERATURE: Body = {
    "name": "agent.temperature",
    "type": "Number",
    "default": 0.7,
    "minimum": 0,
    "maximum": 2,
}
MINUTES: Body = {"name": "session.minutes", "type": "Integer", "default": 30, "minimum": 1}
KEYS: list[Body] = [
    TEMPERATURE,
    {
        "name": "agent.provider",
        "type": "String",
        "enum": ["openai", "anthropic", "local"],
        "default": "openai",
        "setBy": "Group",
    },
    MINUTES,
    {"name": "session.greeting", "type": "String", "default": "hello"},
]
APP: Body = {"name": "app", "format": "JSON", "fileName": "app.json"}
PREFS: Body = {"name": "prefs", "scope": "User", "format": "JSON", "fileName": "prefs.json"}
VERBS = ("approve", "promote", "pause", "resume", "abort", "retry", "undo")
SOURCES = {"PolicyRollout": "policyrollouts", "ConfigTemplate": "configtemplates"}
"""What rolls out, by kind."""
SECRET_KEY: Body = {"name": "api.token", "type": "String", "sensitive": True}


def manifest(kind: str, namespace: str, name: str, spec: Body, **metadata: Any) -> Body:
    """An object of one of Trimtab's kinds."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }


def preference_spec(
    values: Body | None = None, *, group: str = "free", of: str = "app", home: str | None = None, **spec: Any
) -> Body:
    """Of the template ``of`` in namespace ``home`` (default: the preference's own)."""
    reference = {"name": of} | ({"namespace": home} if home else {})
    return {"templateRef": reference, "group": group, "values": values or {}, **spec}


def policy_spec(content: Body | None = None, *, of: str = "app", **spec: Any) -> Body:
    """``content`` is ``spec.policy``."""
    return {"templateRef": {"name": of}, "policy": content or {}, **spec}


def action_spec(verb: str, name: str = "calmer", kind: str = "PolicyRollout", **spec: Any) -> Body:
    return {"rolloutRef": {"kind": kind, "name": name}, "action": verb.capitalize(), **spec}


def group_spec(group: str = "free", of: str = "app") -> Body:
    """Of a RenderedGroup."""
    return {"templateRef": {"name": of}, "group": group}


def template(namespace: str, name: str = "app", **spec: Any) -> Body:
    """A ConfigTemplate with two groups; any field of the spec can be replaced."""
    groups = [{"name": "free"}, {"name": "pro", "values": {"session.minutes": 120}}]
    made = {"keys": KEYS, "groups": groups, "outputs": [APP, PREFS], **spec}
    return manifest("ConfigTemplate", namespace, name, made)


def preference(namespace: str, name: str, values: Body | None = None, **spec: Any) -> Body:
    """A UserPreference, with a spec as of :func:`preference_spec`."""
    return manifest("UserPreference", namespace, name, preference_spec(values, **spec))


def action(
    namespace: str, verb: str, requester: str, kind: str = "PolicyRollout", name: str = "calmer", **spec: Any
) -> Body:
    """A RolloutAction in the name of ``requester``, with a hash of whatever was previewed."""
    made = action_spec(verb, name, kind, **{"contentHash": "3f9a", "requester": requester, **spec})
    metadata = {"generateName": f"{verb}-", "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "RolloutAction", "metadata": metadata, "spec": made}


def policy(
    namespace: str,
    name: str = "calmer",
    content: Body | None = None,
    strategy: Body | None = None,
    **spec: Any,
) -> Body:
    """A PolicyRollout; without other ``content`` it gives all users 25 minutes."""
    more = {"strategy": strategy} if strategy is not None else {}
    made = policy_spec(minutes(25) if content is None else content, **more, **spec)
    return manifest("PolicyRollout", namespace, name, made)


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
