"""What the cluster has to hold: the desired state of its live objects, computed afresh.

It knows nothing of the engine: no stores, no queues, no order of events. Which content each group is on, and whether a
rollout may stay in its phase, is worked out independently (``expected_contents``, ``settled_rollouts``).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.cluster_snapshot import snapshot_of
from support.expected_contents import POLICY, TEMPLATE, Group, Key, Objects, Reading, key_of
from support.rollout_meaning import Body
from support.settled_rollouts import unrest
from trimtab.core import naming
from trimtab.core.evaluate.desired_state import DesiredGroup, DesiredState, desired_state
from trimtab.core.refs import GroupKey
from trimtab.core.render.objects import GroupObjects
from trimtab.core.render.render import named
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.status import Verdict
from trimtab.crypto import Keys

KINDS = ("ConfigMap", "Secret")
Ready = tuple[str, str]
"""Status and reason of Ready."""


@dataclass
class Expected:
    """``objects``: data of every output but the shards; ``users``: each group's user entries, in whichever shard;
    ``verdicts``: the reason of each preference's Ready, by namespace and name; ``templates``: whether each is accepted;
    ``ready``: of each preference, template and RenderedGroup, by kind; ``refusals``: why policies are refused;
    ``problems``: what is wrong with revisions and rollouts."""

    objects: dict[tuple[str, str, str], Mapping[str, str]] = field(default_factory=dict)
    users: dict[Group, dict[str, str]] = field(default_factory=dict)
    verdicts: dict[Key, str] = field(default_factory=dict)
    templates: dict[Key, bool] = field(default_factory=dict)
    ready: dict[tuple[str, str, str], Ready] = field(default_factory=dict)
    refusals: dict[Key, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def expected(objects: Objects, keys: Keys | None = None, *, collisions: bool = False) -> Expected:
    """Of all objects, read once; ``keys`` are the operator's, for what is sealed and for shares of users. With
    ``collisions`` of templates' names nothing is worked out independently, which knows none."""
    state = desired_state(snapshot_of(objects, keys))
    made = Expected(templates={key: found.accepted is not None for key, found in state.templates.items()})
    for key, group in state.groups.items():
        _group(made, key, group)
        made.ready["RenderedGroup", key.namespace, naming.group_object(key.template, key.group)] = _ready(
            group.verdict
        )
    for key, outcome in state.preferences.items():
        made.verdicts[key] = outcome.verdict.reason
        made.ready["UserPreference", *key] = _ready(outcome.verdict)
    for template, verdict in state.ready.items():
        made.ready[TEMPLATE, *template] = _ready(verdict)
    made.refusals = {
        key: found.refusal.reason for key, found in state.policies.items() if found.refusal is not None
    }
    if not collisions:
        reading = Reading(objects, keys)
        made.problems = [*_disagreements(state, reading), *reading.problems, *unrest(reading)]
    return made


def _ready(verdict: Verdict) -> Ready:
    return verdict.ready, verdict.reason


def _disagreements(state: DesiredState, reading: Reading) -> Iterator[str]:
    """Where the content of a group is not what the independent reading of its rollouts finds."""
    served = dict(reading.serving())
    if served.keys() != state.groups.keys():
        yield f"groups {sorted(state.groups)}, independently {sorted(served)}"
    for key, found in served.items():
        group = state.groups.get(GroupKey(*key))
        if group is None:
            continue
        for one, other in ((group.view, found.view), (group.shared, found.ahead)):
            if _content(one) != _content(other):
                yield f"group {key}: its content differs from what its rollouts say"
    for key, schema in reading.live.items():
        if (state.templates[key].accepted is not None) != (schema is not None):  # type: ignore[index]
            yield f"template {key} is evaluated as {state.templates[key].verdict}"  # type: ignore[index]


def _content(view: GroupView | None) -> object:
    """What tells one content of a group from another."""
    if view is None:
        return None
    return (
        view.values,
        [policy.name for policy in view.policies],
        view.schema.spec.model_copy(update={"strategy": None}),
    )


def _group(made: Expected, key: GroupKey, group: DesiredGroup) -> None:
    users = made.users[key] = {}
    if group.verdict.ready == "False":
        return  # nothing is written
    built = GroupObjects(key, group.view, 0, lambda _: "")
    for desired in built.of_group():
        made.objects[tuple(desired.ref)] = desired.data
    for user, files in group.users.items():
        if files.delivery == "Sharded":
            both = named(user, files.entries)
            users |= {**both.config, **both.secret}
        elif files.delivery == "PerUser":
            for desired in built.own_objects(*files.preference.key, user, files.entries):
                made.objects[tuple(desired.ref)] = desired.data


def differences(expected: Expected, objects: Objects) -> list[str]:
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


def _verdicts(expected: Expected, objects: Objects) -> Iterator[str]:
    for kind in ("UserPreference", TEMPLATE, "RenderedGroup"):
        for item in objects(kind):
            wanted = expected.ready.get((kind, *key_of(item)))
            if wanted is not None and ready_of(item) != wanted:
                yield f"{kind} {key_of(item)} says {ready_of(item)}, expected {wanted}"
    for item in objects("UserPreference"):
        if key_of(item) not in expected.verdicts:
            yield f"preference {key_of(item)} has no verdict"
    for item in objects(POLICY):
        phase, refusal = (item.get("status") or {}).get("phase"), expected.refusals.get(key_of(item))
        wanted_reason = refusal if phase == "Rejected" and refusal is not None else phase
        if (refusal is not None) != (phase == "Rejected") or ready_of(item)[1] != wanted_reason:
            yield f"rollout {key_of(item)} says {ready_of(item)} in phase {phase}, refused: {refusal}"
    for item in objects("RolloutAction"):
        if ready_of(item) not in (("True", "Accepted"), ("False", "Refused")):
            yield f"action {key_of(item)} is not answered: {ready_of(item)}"


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
