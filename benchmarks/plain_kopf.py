"""The same job as a plain kopf operator, the way one writes it first: handlers, the official client, nothing clever.

Run by `kopf run`. For each preference it merges default, profile, group and user, checks the limits, and patches the
user's entry into a shard's ConfigMap (a merge patch: no read before it). Shards are as large as Trimtab's.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import kopf
import kubernetes

from benchmarks import content
from benchmarks.core import nest

LABEL = "benchmarks.trimtab.dev/plain"
GROUP, VERSION = "trimtab.dev", "v1alpha1"
SHARDS = int(os.environ.get("PLAIN_SHARDS", "1"))
_templates: dict[str, dict[str, Any]] = {}


@kopf.on.startup()
def startup(**_: Any) -> None:
    kubernetes.config.load_kube_config()  # type: ignore[no-untyped-call]


@kopf.on.event(GROUP, VERSION, "configtemplates")
def template(name: str, spec: kopf.Spec, **_: Any) -> None:
    _templates[name] = json.loads(json.dumps(dict(spec)))


@kopf.on.create(GROUP, VERSION, "userpreferences")
@kopf.on.update(GROUP, VERSION, "userpreferences", field="spec")
def render(
    name: str, namespace: str | None, spec: kopf.Spec, meta: kopf.Meta, patch: kopf.Patch, **_: Any
) -> None:
    wanted = _templates.get(spec["templateRef"]["name"])
    if wanted is None:
        raise kopf.TemporaryError("no such template yet", delay=1)
    values = resolve(wanted, spec["group"], dict(spec.get("values") or {}))
    text = json.dumps(nest(values), separators=(",", ":")) + "\n"
    shard = zlib.crc32(name.encode()) % SHARDS
    write(namespace or "", f"plain-{spec['group']}-{shard}", {f"{name}.{content.FILE}": text})
    patch.status["observedGeneration"] = meta["generation"]


def resolve(template: dict[str, Any], group: str, own: dict[str, Any]) -> dict[str, Any]:
    """Default, profile, group and user, merged and checked."""
    chosen = next(g for g in template["groups"] if g["name"] == group)
    profile = next(p for p in template["profiles"] if p["name"] == chosen["profile"])
    keys = {key["name"]: key for key in template["keys"]}
    values = {name: key["default"] for name, key in keys.items()}
    for layer in (profile["values"], chosen.get("values") or {}, own):
        for name, value in layer.items():
            if name not in keys:
                raise kopf.PermanentError(f"unknown key {name}")
            check(keys[name], value)
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return values


def check(key: dict[str, Any], value: Any) -> None:
    if "enum" in key and value not in key["enum"]:
        raise kopf.PermanentError(f"{key['name']}: {value} is not allowed")
    if "minimum" in key and not key["minimum"] <= value <= key["maximum"]:
        raise kopf.PermanentError(f"{key['name']}: {value} is out of range")


def write(namespace: str, name: str, data: dict[str, str]) -> None:
    api = kubernetes.client.CoreV1Api()
    try:
        api.patch_namespaced_config_map(name, namespace, {"data": data})
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
        body: Any = {"metadata": {"name": name, "labels": {LABEL: "yes"}}, "data": data}
        try:
            api.create_namespaced_config_map(namespace, body)
        except kubernetes.client.ApiException as other:
            if other.status == 409:
                raise kopf.TemporaryError("another user made it", delay=0.1) from other
            raise
