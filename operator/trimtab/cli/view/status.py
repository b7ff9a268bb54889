"""The status of a cluster's objects as the operator wrote it, and which objects it has not observed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.objects import StoredObject, absent, verdict
from trimtab.cli.errors import Failure
from trimtab.cli.output import Line, Part, table
from trimtab.core.objects import ObjectMeta
from trimtab.kube import errors
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    Resource,
)

MESSAGE = 300
LISTED = 20
"""Refused preferences in the table; -o json has all of them."""
_COLUMNS = {
    "ConfigTemplates": "NAMESPACE NAME READY REASON GROUPS USERS INVALID",
    "Groups": "NAMESPACE TEMPLATE GROUP READY REASON REVISION USERS INVALID SHARDS",
    "Rollouts": "NAMESPACE ROLLOUT PHASE WAVE UPDATED READY",
    "Refused preferences": "NAMESPACE NAME USER TEMPLATE GROUP REASON MESSAGE",
}
Item = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """``namespace`` None: every namespace. ``template`` None: every template."""

    namespace: str | None
    template: str | None

    def __str__(self) -> str:
        return "in any namespace" if self.namespace is None else f"in namespace {self.namespace}"


@dataclass(frozen=True, slots=True)
class Status:
    """What is in scope. Each item has ``ready``, ``reason`` and ``message``."""

    scope: Scope
    templates: list[Item]
    groups: list[Item]
    rollouts: list[Item]
    users: list[Item]
    notes: list[str]

    @property
    def ready(self) -> bool:
        listed = (*self.templates, *self.groups, *self.users, *self.rollouts)
        return all(item["ready"] == "True" for item in listed)

    def content(self) -> Item:
        return {
            "ready": self.ready,
            "templates": self.templates,
            "groups": self.groups,
            "refusedUsers": self.users,
            "policyRollouts": self.rollouts,
            "notes": self.notes,
        }

    def parts(self) -> Iterator[Part]:
        listed = (self.templates, self.groups, list(self._rolling()), self.users[:LISTED])
        if not any(listed):
            yield Line(f"There is no template or preference {self.scope}.")
        for (title, columns), items in zip(_COLUMNS.items(), listed, strict=True):
            yield from _section(title, columns, items)
        if len(self.users) > LISTED:
            yield Line(f"and {len(self.users) - LISTED} more; -o json lists all of them")
        troubles = [i for i in (*self.templates, *self.groups, *self.rollouts) if i["ready"] != "True"]
        yield from (_trouble(item) for item in troubles if not self._repeats(item))

    def _rolling(self) -> Iterator[Item]:
        """The rollouts by the names that `trimtab rollout` accepts."""
        yield from ({**item, "rollout": f"policyrollout/{item['name']}"} for item in self.rollouts)
        for item in self.templates:
            if "phase" in item:
                yield {**item, "rollout": f"configtemplate/{item['name']}"}

    def _repeats(self, item: Item) -> bool:
        """Whether a template's message is the one of its group: it then begins with the group."""
        message, template = item["message"], (item["namespace"], item.get("name"))
        return any(
            message.startswith(f"group {group['group']}: {group['message']}"[: len(message)])
            for group in self.groups
            if template == (group["namespace"], group["template"]) and group["message"]
        )


def _where(namespace: str | None) -> str:
    return "in all namespaces" if namespace is None else f"in namespace {namespace}"


def _trouble(item: Item) -> Line:
    name = item["name"] if "name" in item else f"{item['template']}, group {item['group']}"
    return Line(f"{item['namespace']}/{name}: {item['reason']}: {item['message']}", "red")


def _section(title: str, columns: str, items: list[Item]) -> Iterator[Part]:
    if items:
        yield Line(title, "bold")
        names = columns.lower().split(" ")
        yield table(columns, ([item.get(name, "-") for name in names] for item in items))
        yield Line()


async def read(cluster: Cluster, scope: Scope) -> Status:
    """Everything in scope.

    :raises trimtab.kube.errors.ApiError: the cluster refused.
    :raises Failure: there is no such template.
    """
    notes: list[str] = []
    every = await _list(cluster, CONFIG_TEMPLATES, Scope(scope.namespace, None))
    templates = [_template(item) for item in every if scope.template in (None, item.name)]
    if scope.template is not None and not templates:
        known = [item.name for item in every]
        raise Failure(absent(CONFIG_TEMPLATES.kind, scope.template, str(scope), known))
    groups = [_group(item) for item in await _list(cluster, RENDERED_GROUPS, scope)]
    try:
        rollouts = [_rollout(item) for item in await _list(cluster, POLICY_ROLLOUTS, scope)]
    except errors.ForbiddenError:
        rollouts = []
        notes.append("you may not list PolicyRollouts: they are omitted")
    users = await _users(cluster, scope, templates, notes)
    return Status(scope, templates, groups, rollouts, users, notes)


async def _list(cluster: Cluster, resource: Resource, scope: Scope) -> list[StoredObject]:
    """The objects of the templates in scope."""
    bodies = cluster.each(resource, dict[str, Any], scope.namespace)
    items = [StoredObject(body, resource.kind) async for body in bodies]
    return [item for item in items if scope.template in (None, _template_of(item))]


def _template_of(item: StoredObject) -> str:
    return str((item.spec.get("templateRef") or {}).get("name", ""))


def _template(item: StoredObject) -> Item:
    counts = {"groups": "groups", "users": "users", "invalid": "invalidUsers"}
    found = {name: item.status.get(field, 0) for name, field in counts.items()}
    return {**item.reference, **_verdict(item.meta, item.status), **found, **_progress(item)}


def _group(item: StoredObject) -> Item:
    spec, status = item.spec, item.status
    return {
        "namespace": item.namespace,
        "template": _template_of(item),
        "group": spec.get("group", ""),
        **_verdict(item.meta, status),
        "revision": status.get("currentRevision", 0),
        "users": status.get("users", 0),
        "invalid": status.get("invalidUsers", 0),
        "shards": status.get("shards", 0),
    }


def _rollout(item: StoredObject) -> Item:
    return {
        **item.reference,
        "template": _template_of(item),
        **_verdict(item.meta, item.status),
        **_progress(item),
    }


def _progress(item: StoredObject) -> Item:
    """How far a rollout is; empty where there is none."""
    return {name: item.status[name] for name in ("phase", "wave", "updated") if item.status.get(name)}


class _Preference(msgspec.Struct):
    """The fields that are read of a preference; its values stay undecoded."""

    metadata: ObjectMeta
    spec: dict[str, msgspec.Raw] = {}
    status: dict[str, msgspec.Raw] = {}


async def _users(cluster: Cluster, scope: Scope, templates: list[Item], notes: list[str]) -> list[Item]:
    """Refused preferences: those in the namespace, and of templates in scope those in other namespaces."""
    troubled = {(t["namespace"], t["name"]) for t in templates if t["invalid"] or t["ready"] != "True"}
    places = (None, scope.namespace) if troubled else (scope.namespace,)
    for place in dict.fromkeys(places):
        users = (_user(item) async for item in cluster.each(USER_PREFERENCES, _Preference, place))
        try:
            return [user async for user in users if _concerns(scope, user, troubled)]
        except errors.ForbiddenError:
            notes.append(f"you may not list UserPreferences {_where(place)}: refused ones may be missing")
    return []


def _concerns(scope: Scope, user: Item, troubled: set[tuple[str, str]]) -> bool:
    if user["ready"] == "True":
        return False
    namespace, _, name = user["template"].partition("/")
    if scope.template is not None and (name != scope.template or scope.namespace not in (None, namespace)):
        return False
    return scope.namespace in (None, user["namespace"]) or (namespace, name) in troubled


def _user(item: _Preference) -> Item:
    meta, spec, status = item.metadata, item.spec, item.status
    reference = _decoded(spec.get("templateRef")) or {}
    observed = {
        "conditions": _decoded(status.get("conditions")) or [],
        "observedGeneration": _decoded(status.get("observedGeneration")) or 0,
    }
    return {
        "namespace": meta.namespace,
        "name": meta.name,
        "user": _decoded(spec.get("user")) or meta.name,
        "template": f"{reference.get('namespace') or meta.namespace}/{reference.get('name', '')}",
        "group": _decoded(spec.get("group")) or "",
        **_verdict({"generation": meta.generation}, observed),
    }


def _decoded(raw: msgspec.Raw | None) -> Any:
    return None if raw is None else msgspec.json.decode(raw)


def _verdict(meta: Item, status: Item) -> Item:
    found = verdict(meta, status)
    return {**found, "message": found["message"][:MESSAGE]}
