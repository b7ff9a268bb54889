"""The desired state of given objects, as the operator would compute it, with what commands show of it.

Rollouts count as finished: each valid spec is in force, unless groups are pinned to the revisions of RenderedGroups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from trimtab.cli.cluster import objects
from trimtab.core.evaluate.cluster import Cluster
from trimtab.core.evaluate.desired_state import (
    DesiredGroup,
    DesiredState,
    desired_state,
)
from trimtab.core.evaluate.membership import holder
from trimtab.core.evaluate.preference_status import kept_after, status_of
from trimtab.core.evaluate.specs import EvaluatedPolicy, EvaluatedTemplate
from trimtab.core.objects import AnyObject, MetaOnly, rendered_group_key
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.objects import GroupObjects
from trimtab.core.render.plan import Desired
from trimtab.core.resolve.preference import Accepted, Preference, PreferenceObject, read
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.status import FALSE, Verdict
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    NAMESPACES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    USER_PREFERENCES,
    Resource,
)

Body = dict[str, Any]
_UNBORN = "unset"
"""A creationTimestamp for objects that have none: later than every real one, so that files keep their order."""


@dataclass(slots=True)
class Simulation:
    """Objects in, verdicts and outputs out."""

    pinned: bool = False
    """Groups are on the revisions that their RenderedGroups record: the progress of rollouts is not computed here."""
    sealed: bool = False
    """Sensitive values of the groups' content are unknown."""
    live: bool = False
    """The objects are a cluster's: the verdicts of its operator count, and this only computes what is expected."""
    seen: bool = False
    """All RenderedGroups of the template were read."""
    _objects: dict[str, list[AnyObject]] = field(default_factory=dict)
    """By kind"""
    _namespaces: dict[str, MetaOnly] = field(default_factory=dict)
    _contents: dict[TemplateKey, Body] = field(default_factory=dict)
    _preferences: dict[tuple[str, str], Preference] = field(default_factory=dict)
    _given: dict[tuple[str, str], Body] = field(default_factory=dict)
    """The statuses of preferences"""
    _accepted: dict[tuple[str, str], Accepted | None] = field(default_factory=dict)
    """The inputs in force of the given preferences"""
    _state: DesiredState = field(default_factory=lambda: desired_state(Cluster()))
    _count: int = 0

    def put(self, resource: Resource, body: Body) -> None:
        """Add an object."""
        kept = self._complete(body)
        place = TemplateKey(kept["metadata"].get("namespace", ""), kept["metadata"]["name"])
        if resource is USER_PREFERENCES:
            self._put_preference(read(_as(kept, PreferenceObject)), body.get("status"))
        elif resource is NAMESPACES:
            self._namespaces[place.name] = _as(kept, MetaOnly)
        elif resource is CONTROLLER_REVISIONS:
            data = body.get("data") or {}
            self._contents[place] = data.get("spec") or data.get("policy") or {}
        else:
            evaluated: Body = (
                {} if resource is RENDERED_GROUPS else {"status": {}}
            )  # verdicts are computed here
            self._objects.setdefault(resource.kind, []).append(_as({**kept, **evaluated}, AnyObject))

    def _complete(self, body: Body) -> Body:
        """The object with the metadata that an API server adds."""
        self._count += 1
        meta = {name: value for name, value in body["metadata"].items() if value is not None}
        age = {"creationTimestamp": _UNBORN, "uid": f"file-{self._count:09d}"}
        version = {"resourceVersion": str(self._count), "generation": meta.get("generation", 1)}
        return {**body, "metadata": {**age, **meta, **version}}

    def _put_preference(self, preference: Preference, status: object) -> None:
        self._given[preference.key] = status if isinstance(status, dict) else {}
        self._accepted[preference.key] = preference.accepted
        self._preferences[preference.key] = preference

    def run(self) -> None:
        """Evaluate all objects."""
        self._state = desired_state(
            Cluster(
                templates=self._objects.get(CONFIG_TEMPLATES.kind, ()),
                policies=self._objects.get(POLICY_ROLLOUTS.kind, ()),
                preferences=list(self._preferences.values()),
                groups=self._objects.get(RENDERED_GROUPS.kind, ()),
                namespaces=self._namespaces,
                contents=self._contents,
                rollouts="Pinned" if self.pinned else "Finished",
            )
        )
        for key, outcome in self._state.preferences.items():
            preference, group = (
                self._preferences[key],
                self._state.groups.get(self._preferences[key].group_key),
            )
            limit = group.view.schema.spec.users.history_limit if group is not None else 0
            preference.accepted, preference.history = kept_after(preference, outcome, limit)

    @property
    def judged(self) -> Mapping[TemplateKey, EvaluatedTemplate]:
        return self._state.templates

    @property
    def policies(self) -> Mapping[TemplateKey, EvaluatedPolicy]:
        return self._state.policies

    def outputs(self) -> Iterator[Desired]:
        """ConfigMaps and Secrets as the operator would write them."""
        for key, group in self._state.groups.items():
            if group.verdict.ready != FALSE:
                yield from _desired(key, group)

    def template_verdict(self, key: TemplateKey) -> Verdict:
        """The template's Ready condition."""
        return self._state.ready[key]

    def preference_verdict(self, namespace: str, name: str) -> Verdict | None:
        """The preference's expected verdict."""
        outcome = self._state.preferences.get((namespace, name))
        return outcome.verdict if outcome is not None else None

    def preference_status(self, namespace: str, name: str) -> Body:
        """The preference's expected status."""
        outcome = self._state.preferences.get((namespace, name))
        if outcome is None:
            return self._given[namespace, name]
        return status_of(self._preferences[namespace, name], outcome.verdict, "")

    def verdict(self, preference: Preference) -> dict[str, str]:
        """``ready``, ``reason`` and ``message``: of the cluster's operator, or as it would write them."""
        meta = {"generation": preference.generation if self.live else 0}
        given = self._given[preference.key] if self.live else self.preference_status(*preference.key)
        return objects.verdict(meta, given)

    def group_verdict(self, key: GroupKey) -> dict[str, str]:
        """The same of a group, by the cluster's operator; empty if its RenderedGroup was not read."""
        if not (self.live and self.seen):
            return {}
        groups = self._objects.get(RENDERED_GROUPS.kind, ())
        item = next((item for item in groups if rendered_group_key(item) == key), None)
        if item is None:
            return objects.verdict({}, {})
        return objects.verdict({"generation": item.metadata.generation}, item.status)

    def accepted(self, preference: Preference) -> Accepted | None:
        """The inputs in force of the preference while its spec is not."""
        return self._accepted[preference.key] if self.live else preference.accepted

    def preference(self, namespace: str, name: str) -> Preference | None:
        """The preference, with its inputs in force."""
        return self._preferences.get((namespace, name))

    def preferences(self) -> Iterable[Preference]:
        return self._preferences.values()

    def claimants(self, template: TemplateKey, user: str) -> list[Preference]:
        """The preferences that claim a user, the one that holds it first."""
        mine = (p for p in self._preferences.values() if (p.template, p.user) == (template, user))
        found = sorted(mine, key=lambda preference: preference.age)
        known = self.judged.get(template)
        if known is None or known.accepted is None:
            return found
        holds = holder(Cluster(namespaces=self._namespaces), known.accepted.schema, found)
        return sorted(found, key=lambda preference: preference is not holds)

    def view(self, key: GroupKey) -> GroupView | None:
        """The group's content; None if it has none."""
        group = self._state.groups.get(key)
        return group.view if group is not None else None


def _desired(key: GroupKey, group: DesiredGroup) -> Iterator[Desired]:
    built = GroupObjects(key, group.view, 1, lambda _: "")
    yield from built.of_group()
    sharded = [(user, files.entries) for user, files in group.users.items() if files.delivery == "Sharded"]
    yield from built.shards(sharded)
    for user, files in group.users.items():
        if files.delivery == "PerUser":
            yield from built.own_objects(*files.preference.key, user, files.entries)


def _as(body: Body, kind: type[Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind, strict=False)
