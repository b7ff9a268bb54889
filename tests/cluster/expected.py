"""What the cluster should hold, worked out afresh from the live objects with nothing but the pure core.

It knows nothing of the engine: no stores, no queues, no order of events. The random-events law compares it with what
the operator has made of the same objects.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from live import Api, Body
from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.support import not_supported
from trimtab.core import naming
from trimtab.core.problems import RejectedError
from trimtab.core.render import Entries, named, render_group, render_user
from trimtab.core.resolve import GroupView, Resolution, group_view
from trimtab.core.schema import Schema, compile_template
from trimtab.core.selector import selects

Template = tuple[str, str]
Group = tuple[str, str, str]
KINDS = ("ConfigMap", "Secret")


@dataclass
class World:
    """``objects``: data of every output but the shards; ``users``: each group's user entries, in whichever shard;
    ``verdicts``: Ready's reason of each preference, by namespace and name."""

    objects: dict[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)
    users: dict[Group, dict[str, str]] = field(default_factory=dict)
    verdicts: dict[tuple[str, str], str] = field(default_factory=dict)
    templates: dict[Template, bool] = field(default_factory=dict)


def compiled(name: str, spec: Body) -> Schema | None:
    """The schema of a spec that may be served, else None."""
    try:
        model = ConfigTemplateSpec.model_validate(spec)
        if not_supported(model):
            return None
        schema = compile_template(name, model)
    except (ValidationError, RejectedError):
        return None
    broken = any(render_group(group_view(schema, group)).violations for group in schema.groups)
    return None if broken else schema


class Oracle:
    """Reads ``namespaces`` whole and says what should be there."""

    def __init__(self, api: Api, namespaces: list[str]) -> None:
        self._api, self._namespaces = api, namespaces

    def _all(self, kind: str) -> list[Body]:
        return [item for namespace in self._namespaces for item in self._api.list(kind, namespace)]

    def world(self) -> World:
        made = World()
        labels = {
            n: self._api.one("Namespace", "", n)["metadata"].get("labels") or {} for n in self._namespaces
        }
        templates = {_key(item): item for item in self._all("ConfigTemplate")}
        pointers = {_key(item): item for item in self._all("RenderedGroup")}
        snapshots = {_key(item): item["data"]["spec"] for item in self._all("ControllerRevision")}
        views: dict[Group, GroupView] = {}
        for (namespace, name), item in templates.items():
            live = compiled(name, item["spec"])
            made.templates[namespace, name] = live is not None
            for group, schema in _served(live, namespace, name, pointers, snapshots):
                views[namespace, name, group] = group_view(schema, group)
        preferences = sorted(self._all("UserPreference"), key=_age)
        for key, view in views.items():
            _group(made, key, view)
        for item in preferences:
            _preference(made, item, preferences, views, templates, labels)
        return made


def _served(
    live: Schema | None,
    namespace: str,
    name: str,
    pointers: Mapping[Template, Body],
    snapshots: Mapping[Template, Body],
) -> list[tuple[str, Schema]]:
    """Which groups are served from what: the live template, or what each group was on when it broke."""
    if live is not None:
        return [(group, live) for group in live.groups]
    found = []
    for (where, _), item in pointers.items():
        if where != namespace or item["spec"]["templateRef"]["name"] != name:
            continue
        status = item.get("status") or {}
        entry = next(
            (r for r in status.get("revisions", ()) if r["number"] == status.get("currentRevision")), None
        )
        schema = compiled(name, snapshots[namespace, entry["snapshot"]]) if entry else None
        if schema is not None and item["spec"]["group"] in schema.groups:
            found.append((item["spec"]["group"], schema))
    return found


def _group(made: World, key: Group, view: GroupView) -> None:
    namespace, template, group = key
    entries = render_group(view).entries
    for kind in KINDS:
        if any(
            output.kind == kind and (output.scope == "Group" or view.schema.delivery != "None")
            for output in view.schema.outputs
        ):
            target = view.group.spec.target_namespace or namespace
            made.objects[kind, target, naming.group_object(template, group)] = entries.of(kind)
    made.users[key] = {}


def _preference(
    made: World,
    item: Body,
    everyone: list[Body],
    views: Mapping[Group, GroupView],
    templates: Mapping[Template, Body],
    labels: Mapping[str, Mapping[str, str]],
) -> None:
    key = _group_of(item)
    view = views.get(key)
    if view is None:
        there = key[:2] in templates
        served = made.templates.get(key[:2]) or any(other[:2] == key[:2] for other in views)
        reason = "GroupNotFound" if served else "TemplateNotServed" if there else "TemplateNotFound"
        made.verdicts[_key(item)] = reason
        return
    rivals = [p for p in everyone if _group_of(p)[:2] == key[:2] and _user(p) == _user(item)]
    rivals = [
        p for p in rivals if (found := views.get(_group_of(p))) and _admits(found, _group_of(p), p, labels)
    ]
    made.verdicts[_key(item)], entries = _judge(item, rivals, everyone, view, key, labels)
    if entries is None:
        return
    if view.schema.delivery == "Sharded":
        both = named(_user(item), entries)
        made.users[key] |= {**both.config, **both.secret}
    elif view.schema.delivery == "PerUser":
        name = naming.user_object(key[1], item["metadata"]["name"])
        for kind in KINDS:
            if entries.of(kind):
                made.objects[kind, item["metadata"]["namespace"], name] = entries.of(kind)


def _judge(
    item: Body,
    rivals: list[Body],
    everyone: list[Body],
    view: GroupView,
    key: Group,
    labels: Mapping[str, Mapping[str, str]],
) -> tuple[str, Entries | None]:
    """Ready's reason, and what is rendered for the user."""
    if not _admits(view, key, item, labels):
        return "NamespaceNotAllowed", None
    if rivals[0] is not item:
        return "UserTaken", None
    limit = view.group.spec.max_users
    if limit is not None:
        members = [p for p in everyone if _group_of(p) == key and _holds(p, everyone, view, key, labels)]
        if item in members[limit:]:
            return "GroupFull", None
    alone = view.schema.delivery == "PerUser"
    resolution = view.resolve(item["spec"].get("values") or {})
    if not resolution.violations:
        return "Accepted", render_user(view, resolution, alone=alone).entries
    return "Invalid", render_user(view, _in_force(view, item), alone=alone).entries


def _holds(
    item: Body, everyone: list[Body], view: GroupView, key: Group, labels: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether it is the oldest claim on its user, among those that the law's templates let in."""
    rivals = [p for p in everyone if _group_of(p)[:2] == key[:2] and _user(p) == _user(item)]
    return rivals[0] is item and _admits(view, key, item, labels)


def _in_force(view: GroupView, item: Body) -> Resolution:
    """What was accepted last, less what no longer fits; else the group's document."""
    values = ((item.get("status") or {}).get("accepted") or {}).get("values") or {}
    resolution = view.resolve(values)
    if resolution.violations:
        misfits = {violation.key for violation in resolution.violations}
        resolution = view.resolve({k: v for k, v in values.items() if k not in misfits})
    return Resolution(view.values, {}) if resolution.violations else resolution


def _admits(view: GroupView, key: Group, item: Body, labels: Mapping[str, Mapping[str, str]]) -> bool:
    selector = view.group.spec.preference_namespace_selector
    namespace = item["metadata"]["namespace"]
    return namespace == key[0] if selector is None else selects(selector, labels[namespace])


def _key(item: Body) -> Template:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _user(item: Body) -> str:
    return str(item["spec"].get("user") or item["metadata"]["name"])


def _group_of(item: Body) -> Group:
    reference: dict[str, Any] = item["spec"]["templateRef"]
    return (
        reference.get("namespace") or item["metadata"]["namespace"],
        reference["name"],
        item["spec"]["group"],
    )


def _age(item: Body) -> tuple[str, str]:
    return item["metadata"]["creationTimestamp"], item["metadata"]["uid"]


def text_of(kind: str, item: Body) -> dict[str, str]:
    """An output's data in clear."""
    data = item.get("data") or {}
    return {k: base64.b64decode(v).decode() for k, v in data.items()} if kind == "Secret" else data


def ready_of(item: Body) -> tuple[str, str]:
    """(status, reason) of Ready as of the present generation."""
    status = item.get("status") or {}
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return "", "of another generation"
    found = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    return found.get("status", ""), found.get("reason", "")


def compare(what: str, expected: dict[Any, Any], actual: dict[Any, Any]) -> list[str]:
    return [
        f"{what} {key}: is {actual.get(key)}, expected {expected.get(key)}"
        for key in sorted({*expected, *actual})
        if expected.get(key) != actual.get(key)
    ]
