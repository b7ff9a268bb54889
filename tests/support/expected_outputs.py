"""What the cluster should hold, computed from the live objects with only the pure core.

It knows nothing of the engine: no stores, no queues, no order of events. The random-events laws compare it with what
the operator has made of the same objects.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.expected_contents import POLICY, TEMPLATE, Group, Key, Objects, Reading, Serving, key_of
from support.rollout_meaning import Body
from support.settled_rollouts import unrest
from trimtab.core import naming
from trimtab.core.render.render import Entries, named, render_group, render_user
from trimtab.core.resolve.resolve import GroupView, Resolution
from trimtab.core.selector import selects
from trimtab.crypto import Keys

Views = Mapping[Group, Serving]
Labels = Mapping[str, Mapping[str, str]]
KINDS = ("ConfigMap", "Secret")


@dataclass
class World:
    """``objects``: data of every output but the shards; ``users``: each group's user entries, in whichever shard;
    ``verdicts``: Ready's reason of each preference, by namespace and name; ``templates``: whether it is accepted;
    ``problems``: what is wrong with the pointers and rollouts themselves; ``moving``: templates over which a policy's
    rollout is under way."""

    objects: dict[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)
    users: dict[Group, dict[str, str]] = field(default_factory=dict)
    verdicts: dict[Key, str] = field(default_factory=dict)
    templates: dict[Key, bool] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    moving: frozenset[Key] = frozenset()


def world(objects: Objects, keys: Keys | None = None) -> World:
    """Of all objects, read once; ``keys`` are the operator's, for what is sealed and for shares of users."""
    reading = Reading(objects, keys)
    made = World(templates={key: schema is not None for key, schema in reading.live.items()})
    labels = {item["metadata"]["name"]: item["metadata"].get("labels") or {} for item in objects("Namespace")}
    views = dict(reading.serving())
    preferences = sorted(objects("UserPreference"), key=_age)
    for key, serving in views.items():
        _group(made, key, serving.view)
    for item in preferences:
        _preference(made, item, preferences, views, labels, reading.templates)
    made.problems = [*reading.problems, *unrest(reading)]
    made.moving = frozenset(
        key for key, policies in reading.policies.items() if any(p.progress.underway for p in policies)
    )
    return made


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
    views: Views,
    labels: Labels,
    templates: Mapping[Key, Body],
) -> None:
    key = _group_of(item)
    serving = views.get(key)
    if serving is None:
        there = key[:2] in templates
        accepted = made.templates.get(key[:2], False)
        served = accepted or any(other[:2] == key[:2] for other in views)
        reason = "GroupNotFound" if served else "TemplateNotValid" if there else "TemplateNotFound"
        if accepted and any(
            group["name"] == key[2] for group in templates[key[:2]]["spec"].get("groups") or ()
        ):
            reason = "GroupNotRolledOut"
        made.verdicts[key_of(item)] = reason
        return
    rivals = [p for p in everyone if _group_of(p)[:2] == key[:2] and _user(p) == _user(item)]
    rivals = [
        p
        for p in rivals
        if (found := views.get(_group_of(p))) and _admits(found.view, _group_of(p), p, labels)
    ]
    made.verdicts[key_of(item)], entries = _judge(item, rivals, everyone, serving, key, labels)
    if entries is None:
        return
    delivery = _delivery(serving.of(_user(item)))
    if delivery == "Sharded":
        both = named(_user(item), entries)
        made.users[key] |= {**both.config, **both.secret}
    elif delivery == "PerUser":
        name = naming.user_object(key[1], item["metadata"]["name"])
        for kind in KINDS:
            if entries.of(kind):
                made.objects[kind, item["metadata"]["namespace"], name] = entries.of(kind)


def _delivery(view: GroupView) -> str:
    return view.schema.delivery


def _judge(
    item: Body, rivals: list[Body], everyone: list[Body], serving: Serving, key: Group, labels: Labels
) -> tuple[str, Entries | None]:
    """Ready's reason, and what is rendered for the user."""
    if not _admits(serving.view, key, item, labels):
        return "NamespaceNotAllowed", None
    if rivals[0] is not item:
        return "UserTaken", None
    limit = serving.view.group.spec.max_users
    if limit is not None:
        members = [
            p for p in everyone if _group_of(p) == key and _holds(p, everyone, serving.view, key, labels)
        ]
        if item in members[limit:]:
            return "GroupFull", None
    view = serving.of(_user(item))
    per_user = _delivery(view) == "PerUser"
    resolution = view.resolve(item["spec"].get("values") or {})
    if not resolution.violations:
        return "Accepted", render_user(view, resolution, per_user=per_user).entries
    return "Invalid", render_user(view, _in_force(view, item), per_user=per_user).entries


def _holds(item: Body, everyone: list[Body], view: GroupView, key: Group, labels: Labels) -> bool:
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


def _admits(view: GroupView, key: Group, item: Body, labels: Labels) -> bool:
    selector = view.group.spec.preference_namespace_selector
    namespace = item["metadata"]["namespace"]
    return namespace == key[0] if selector is None else selects(selector, labels[namespace])


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


def differences(expected: World, objects: Objects) -> list[str]:
    """What is not as it should be: documents, groups and verdicts; empty when all is."""
    found: list[str] = list(expected.problems)
    rendered: dict[tuple[str, str, str], Any] = {}
    users: dict[Group, dict[str, str]] = {key: {} for key in expected.users}
    for kind in KINDS:
        for item in objects(kind):
            labels = item["metadata"].get("labels") or {}
            if labels.get(naming.LABEL_MANAGED_BY) != naming.MANAGER:
                continue
            data = _clear(kind, item)
            place = tuple(labels[name] for name in _GROUP_LABELS)
            if naming.LABEL_SHARD not in labels:
                rendered[kind, *key_of(item)] = data
                continue
            found += [] if data else [f"shard {key_of(item)} is empty"]
            mine = users.setdefault(place, {})
            found += [f"{entry} is in two shards" for entry in data.keys() & mine.keys()]
            mine |= data
    found += compare("object", expected.objects, rendered)
    found += compare("users of", expected.users, users)
    groups = {
        (i["metadata"]["namespace"], i["spec"]["templateRef"]["name"], i["spec"]["group"])
        for i in objects("RenderedGroup")
        # One that a dying operator has only just made stays empty while its template is refused: nothing moves then.
        if i.get("status")
        or expected.templates.get((i["metadata"]["namespace"], i["spec"]["templateRef"]["name"]))
    }
    if groups != set(expected.users):
        found.append(f"RenderedGroups {sorted(groups)}, expected {sorted(expected.users)}")
    return [*found, *_verdicts(expected, objects)]


_GROUP_LABELS = (naming.LABEL_TEMPLATE_NAMESPACE, naming.LABEL_TEMPLATE, naming.LABEL_GROUP)


def _verdicts(expected: World, objects: Objects) -> Iterator[str]:
    for item in objects("UserPreference"):
        wanted, ready = expected.verdicts.get(key_of(item), "unknown"), ready_of(item)
        status = {"Accepted": "True", "GroupNotRolledOut": "Unknown"}.get(wanted, "False")
        if ready != (status, wanted):
            yield f"preference {key_of(item)} says {ready}, expected {wanted}"
    for item in objects(TEMPLATE):
        accepted, ready = expected.templates.get(key_of(item), False), ready_of(item)
        may_say = _serving(item, moving=key_of(item) in expected.moving)
        if (ready[1] == "Rejected") == accepted or (accepted and ready not in may_say):
            yield f"template {key_of(item)} says {ready}, valid: {accepted}"
    for item in objects(POLICY):
        phase = (item.get("status") or {}).get("phase")
        if ready_of(item)[1] not in (phase, *(REFUSALS if phase == "Rejected" else ())):
            yield f"rollout {key_of(item)} says {ready_of(item)} in phase {phase}"
    for item in objects("RolloutAction"):
        if ready_of(item) not in (("True", "Accepted"), ("False", "Refused")):
            yield f"action {key_of(item)} is not answered: {ready_of(item)}"


REFUSALS = ("TemplateNotFound", "TemplateNotValid", "NotSupported")


def _serving(template: Body, *, moving: bool) -> list[tuple[str, str]]:
    """What a valid template may say when it is at rest, or its groups wait for a rollout of a policy."""
    phase = (template.get("status") or {}).get("phase") or "Succeeded"
    if phase == "Succeeded":
        return [("True", "Rendered"), *([("Unknown", "Progressing")] if moving else [])]
    return [("False" if phase in ("Rejected", "RolledBack") else "Unknown", phase)]


def _clear(kind: str, item: Body) -> dict[str, str]:
    """An output's data in clear."""
    data = item.get("data") or {}
    return {k: base64.b64decode(v).decode() for k, v in data.items()} if kind == "Secret" else data


def ready_of(item: Body) -> tuple[str, str]:
    """(status, reason) of Ready as of the present generation."""
    status = item.get("status") or {}
    if status.get("observedGeneration") != item["metadata"]["generation"]:
        return "", "of another generation"
    found: Body = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    return found.get("status", ""), found.get("reason", "")


def compare(what: str, expected: dict[Any, Any], actual: dict[Any, Any]) -> list[str]:
    return [
        f"{what} {key}: is {actual.get(key)}, expected {expected.get(key)}"
        for key in sorted({*expected, *actual})
        if expected.get(key) != actual.get(key)
    ]
