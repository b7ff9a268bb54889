"""Reads how things stand in a cluster: conditions as Trimtab wrote them, and what no operator has looked at yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.commands.status import Object, Standing
from trimtab.cli.errors import Failure
from trimtab.cli.view.ready import verdict
from trimtab.core.objects import ObjectMeta
from trimtab.core.suggestion import nearest
from trimtab.kube import errors
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, RENDERED_GROUPS, USER_PREFERENCES

MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Scope:
    """``namespace`` None: all of them. ``template`` None: all of them."""

    namespace: str | None
    template: str | None

    def __str__(self) -> str:
        return "in any namespace" if self.namespace is None else f"in namespace {self.namespace}"


class _Preference(msgspec.Struct):
    """What is needed of a preference; its values stay undecoded."""

    metadata: ObjectMeta
    spec: dict[str, msgspec.Raw] = {}
    status: dict[str, msgspec.Raw] = {}


async def read(cluster: Cluster, scope: Scope) -> Standing:
    """Everything in scope.

    :raises trimtab.kube.errors.ApiError: the cluster refused.
    :raises Failure: there is no such template.
    """
    found = Standing(str(scope))
    async for body in cluster.each(CONFIG_TEMPLATES, dict[str, Any], scope.namespace):
        meta, status = body["metadata"], body.get("status") or {}
        counts = {
            name: status.get(field, 0)
            for name, field in (("groups", "groups"), ("users", "users"), ("invalid", "invalidUsers"))
        }
        found.templates.append(
            {"namespace": meta["namespace"], "name": meta["name"], **_verdict(meta, status), **counts}
            | _progress(status)
        )
    if scope.template is not None:
        known = [item["name"] for item in found.templates]
        found.templates = [item for item in found.templates if item["name"] == scope.template]
        if not found.templates:
            hint = nearest(scope.template, known)
            raise Failure(
                f"there is no ConfigTemplate {scope.template} {scope}"
                + (f"; did you mean {hint}?" if hint else "; -n or -A names others")
            )
    await _groups(cluster, scope, found)
    await _rollouts(cluster, scope, found)
    await _users(cluster, scope, found)
    return found


async def _groups(cluster: Cluster, scope: Scope, found: Standing) -> None:
    async for body in cluster.each(RENDERED_GROUPS, dict[str, Any], scope.namespace):
        meta, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
        name = (spec.get("templateRef") or {}).get("name", "")
        if scope.template in (None, name):
            found.groups.append(
                {
                    "namespace": meta["namespace"],
                    "template": name,
                    "group": spec.get("group", ""),
                    **_verdict(meta, status),
                    "revision": status.get("currentRevision", 0),
                    "users": status.get("users", 0),
                    "invalid": status.get("invalidUsers", 0),
                    "shards": status.get("shards", 0),
                }
            )


async def _rollouts(cluster: Cluster, scope: Scope, found: Standing) -> None:
    try:
        async for body in cluster.each(POLICY_ROLLOUTS, dict[str, Any], scope.namespace):
            meta, status = body["metadata"], body.get("status") or {}
            name = ((body.get("spec") or {}).get("templateRef") or {}).get("name", "")
            if scope.template in (None, name):
                told = _verdict(meta, status) | _progress(status)
                place = {"namespace": meta["namespace"], "name": meta["name"], "template": name}
                found.rollouts.append(place | told)
    except errors.ForbiddenError:
        found.notes.append("you may not list PolicyRollouts: they are left out")


async def _users(cluster: Cluster, scope: Scope, found: Standing) -> None:
    """Refused preferences: those in the namespace, and those elsewhere of templates in scope."""
    troubled = {(t["namespace"], t["name"]) for t in found.templates if t["invalid"] or t["ready"] != "True"}
    places = [None, scope.namespace] if scope.namespace is None or troubled else [scope.namespace]
    for place in dict.fromkeys(places):
        try:
            async for item in cluster.each(USER_PREFERENCES, _Preference, place):
                _user(scope, item, troubled, found)
            return
        except errors.ForbiddenError:
            where = f"in namespace {place}" if place else "in all namespaces"
            found.notes.append(f"you may not list UserPreferences {where}: refused ones may be missing here")


def _user(scope: Scope, item: _Preference, troubled: set[tuple[str, str]], found: Standing) -> None:
    meta = item.metadata
    reference = _decoded(item.spec.get("templateRef")) or {}
    template = reference.get("namespace") or meta.namespace, reference.get("name", "")
    if scope.template is not None and (
        template[1] != scope.template or scope.namespace not in (None, template[0])
    ):
        return
    if scope.namespace not in (None, meta.namespace) and template not in troubled:
        return
    status = {"conditions": _decoded(item.status.get("conditions")) or []}
    status["observedGeneration"] = _decoded(item.status.get("observedGeneration")) or 0
    told = _verdict({"generation": meta.generation}, status)
    if told["ready"] == "True":
        return
    found.users.append(
        {
            "namespace": meta.namespace,
            "name": meta.name,
            "user": _decoded(item.spec.get("user")) or meta.name,
            "template": "/".join(template),
            "group": _decoded(item.spec.get("group")) or "",
            **told,
        }
    )


def _progress(status: Object) -> Object:
    """How far a rollout is; nothing where none has been."""
    return {name: status[name] for name in ("phase", "wave", "updated") if status.get(name)}


def _decoded(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def _verdict(meta: Object, status: Object) -> Object:
    found = verdict(meta, status)
    return {**found, "message": found["message"][:MESSAGE]}
