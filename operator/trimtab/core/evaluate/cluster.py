"""A snapshot of all objects of a cluster that decide about what Trimtab renders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core import naming
from trimtab.core.evaluate.membership import PreferenceKey
from trimtab.core.objects import AnyObject, MetaOnly
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.preference import Preference
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError

Rollouts = Literal["AsRecorded", "Finished", "Pinned"]
"""How far rollouts are: as their status records; finished, so that each valid spec is in force; or unknown, so that
each group is pinned to the revision that its RenderedGroup records."""
UNSTORED = "unstored"
"""Ends the names of snapshots of content that is not stored."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """``groups`` are the RenderedGroups, ``contents`` the stored content by the namespace and name of its snapshot,
    without what is encrypted where the keys are not known. ``position`` gives a user's position from 0 to 1 in the
    shares of a rollout, by the rollout's uid."""

    templates: Sequence[AnyObject] = ()
    policies: Sequence[AnyObject] = ()
    preferences: Sequence[Preference] = ()
    groups: Sequence[AnyObject] = ()
    namespaces: Mapping[str, MetaOnly] = field(default_factory=dict)
    contents: Mapping[TemplateKey, Mapping[str, Any]] = field(default_factory=dict)
    rollouts: Rollouts = "AsRecorded"
    position: Callable[[str, str], float] = lambda _seed, _user: 1.0

    def namespace(self, name: str, /) -> MetaOnly | None:
        return self.namespaces.get(name)


class Index:
    """Preferences by the group that they name and by the user that they claim."""

    def __init__(self, preferences: Iterable[Preference]) -> None:
        self._members: dict[GroupKey, dict[PreferenceKey, Preference]] = {}
        self._claimants: dict[tuple[TemplateKey, str], list[Preference]] = {}
        for preference in preferences:
            self._members.setdefault(preference.group_key, {})[preference.key] = preference
            self._claimants.setdefault((preference.template, preference.user), []).append(preference)
        for claimants in self._claimants.values():
            claimants.sort(key=lambda preference: preference.age)

    def groups(self) -> list[GroupKey]:
        return list(self._members)

    def members(self, key: GroupKey, /) -> Mapping[PreferenceKey, Preference]:
        return self._members.get(key, {})

    def claimants(self, template: TemplateKey, user: str, /) -> Sequence[Preference]:
        return self._claimants.get((template, user), ())


class Contents:
    """Content by its snapshot: stored, or that of the present specs; each is compiled once."""

    def __init__(self, stored: Mapping[TemplateKey, Mapping[str, Any]]) -> None:
        self._stored = dict(stored)
        self._schemas: dict[tuple[TemplateKey, str], Schema | None] = {}
        self._policies: dict[TemplateKey, PolicyRolloutSpec | None] = {}

    def name(self, item: AnyObject, stem: str) -> str:
        """The name of the snapshot with the content of a spec, whether it is stored or not."""
        whole, namespace = snapshot.content(item.spec), item.metadata.namespace
        last = item.status.get("snapshot")
        if last is not None and self._stored.get(TemplateKey(namespace, last)) == whole:
            return str(last)
        equal = (
            place.name
            for place, content in self._stored.items()
            if (place.namespace, naming.stem_and_hash(place.name)[0]) == (namespace, stem)
            and content == whole
        )
        return next(equal, f"{stem}-{UNSTORED}")

    def add_template(self, key: TemplateKey, name: str, schema: Schema) -> None:
        self._schemas[key, name] = schema

    def add_policy(self, namespace: str, name: str, item: AnyObject) -> None:
        self._stored[TemplateKey(namespace, name)] = snapshot.content(item.spec)

    def schema(self, key: TemplateKey, name: str) -> Schema | None:
        """A template's content; None if it is missing or unreadable."""
        if (key, name) not in self._schemas:
            self._schemas[key, name] = self._schema(key, name)
        return self._schemas[key, name]

    def _schema(self, key: TemplateKey, name: str) -> Schema | None:
        content = self._stored.get(TemplateKey(key.namespace, name))
        try:
            spec = ConfigTemplateSpec.model_validate(content)
            return compile_template(key.name, spec, key.namespace)
        except (ValidationError, RejectedError):
            return None

    def policy(self, namespace: str, name: str) -> PolicyRolloutSpec | None:
        """A policy's content; None if it is missing or unreadable."""
        place = TemplateKey(namespace, name)
        if place not in self._policies:
            try:
                self._policies[place] = PolicyRolloutSpec.model_validate(self._stored.get(place))
            except ValidationError:
                self._policies[place] = None
        return self._policies[place]
