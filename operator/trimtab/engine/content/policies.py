"""Policies: stored as content-addressed snapshots, and compiled for the templates that they apply to."""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass, field

from pydantic import ValidationError

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.rollout_status import Content
from trimtab.core import naming
from trimtab.core.objects import AnyObject
from trimtab.core.policy.fit import fitted
from trimtab.core.policy.policy import Policy
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.snapshot import Part
from trimtab.core.schema.template import Schema
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.store.rollout_sources import RolloutSources

log = logging.getLogger(__name__)

PART: Part = "policy"
"""Where a snapshot's data holds a policy's content."""
COMPILED = 4
"""How many compiled forms of one content are cached: few versions of its template are in effect at a time."""


@dataclass(slots=True)
class Policies:
    """Stores and loads; only the leader calls it."""

    snapshots: Snapshots
    sources: RolloutSources
    _specs: dict[TemplateKey, PolicyRolloutSpec] = field(default_factory=dict)
    _compiled: dict[tuple[str, TemplateKey], list[tuple[Schema, Policy | None]]] = field(default_factory=dict)

    def content(self, item: AnyObject) -> Content:
        """The hash and the snapshot's name of the policy's content; it may not be stored yet."""
        meta, stem = item.metadata, naming.policy_stem(item.metadata.name)
        whole = snapshot.content(item.spec)
        hashed = self.snapshots.hash(PART, meta.namespace, stem, whole, item.status)
        name = naming.snapshot_object(stem, hashed)
        return Content(hash=hashed, snapshot=name, generation=meta.generation)

    async def keep(self, item: AnyObject, schema: Schema) -> None:
        """Make sure that the content's snapshot exists.

        :raises trimtab.kube.errors.ApiError: it could not be stored now.
        :raises NotStoredError: the API server refuses it.
        :raises TooLargeError: it is larger than a snapshot may be.
        """
        meta = item.metadata
        place = TemplateKey(meta.namespace, self.content(item).snapshot or "")
        template = TemplateKey(meta.namespace, schema.name)
        labels = {**naming.template_labels(template), naming.LABEL_POLICY: meta.name[:63].rstrip("-.")}
        halves = snapshot.split_policy(snapshot.content(item.spec), schema.sensitive)
        await self.snapshots.store(place, PART, halves, labels, meta.generation)

    async def spec(self, place: TemplateKey) -> PolicyRolloutSpec | None:
        """A stored policy's content, or None if it is missing or unreadable (which is logged).

        :raises trimtab.kube.errors.ApiError: it could not be read now.
        """
        found = self._specs.get(place)
        if found is not None:
            return found
        content = await self.snapshots.read(place, PART)
        if content is None:
            return None
        try:
            spec = PolicyRolloutSpec.model_validate(content)
        except ValidationError as error:
            log.error(
                "Could not read the snapshot of a policy: %s",
                type(error).__name__,
                extra={"snapshot": str(place)},
            )
            return None
        self._specs[place] = spec
        return spec

    async def in_force(self, key: TemplateKey) -> list[tuple[str, PolicyRolloutSpec]]:
        """The stable policies of a template, by name: a new version of the template has to be valid under them."""
        found = []
        for source in self.sources.policies(key):
            stable = source.progress.stable
            if stable is not None and stable.snapshot:
                spec = await self.spec(TemplateKey(key.namespace, stable.snapshot))
                if spec is not None and spec.template_ref.name == key.name:
                    found.append((source.name, spec))
        return found

    async def compiled(self, name: str, place: TemplateKey, schema: Schema) -> Policy | None:
        """A stored policy compiled for a template, without the keys that are not valid in it (of an older version, for
        example). None if it is for another template, cannot be read, or no key is valid."""
        spec = await self.spec(place)
        if spec is None or spec.template_ref.name != schema.name:
            return None
        made = self._compiled.setdefault((name, place), [])
        known = next((entry for entry in made if entry[0] is schema), None)
        if known is None:
            policy, misfits = fitted(name, spec, schema)
            if misfits:
                named = {"policy": name, "template": schema.name, "keys": sorted(misfits)}
                log.warning("Ignoring keys of a policy that the template does not allow", extra=named)
            known = schema, policy
            made.append(known)
            del made[:-COMPILED]
        return known[1]

    def forget(self, template: TemplateKey, needed: Container[str]) -> None:
        """Drop the content of a template's policies that is neither stored nor needed any longer."""
        gone = {
            place
            for place, spec in self._specs.items()
            if (place.namespace, spec.template_ref.name) == template
            and place.name not in needed
            and not self.snapshots.has(place)
        }
        self._specs = {place: spec for place, spec in self._specs.items() if place not in gone}
        self._compiled = {key: made for key, made in self._compiled.items() if key[1] not in gone}
