"""Templates: evaluated, compiled once, and stored as content-addressed snapshots. A refused edit changes nothing.

The *accepted* content is what groups move to; each group's RenderedGroup records the revision that it is on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core import naming, reasons
from trimtab.core.evaluate.template import (
    Contender,
    ValidTemplate,
    collision,
    contested_names,
    evaluating_with_policies,
    reading_template,
    takes_precedence,
)
from trimtab.core.objects import AnyObject
from trimtab.core.refs import Ref, TemplateKey
from trimtab.core.render.sizes import DEFAULT_OUTPUT
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.snapshot import Part
from trimtab.core.schema.template import Schema, compiling
from trimtab.core.status import FALSE, Verdict, refused, rejected
from trimtab.core.violations import RejectedError, Violation
from trimtab.engine.content.sealing import NotStoredError, TooLargeError
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.scheduling.retry import NEVER
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.outputs import group_of
from trimtab.engine.store.ownership import Ownership
from trimtab.kube.resources import OUTPUTS

PART: Part = "spec"
"""Where a snapshot's data holds a template's content."""

COMPILED = 4
"""Schemas that are kept of one template."""

log = logging.getLogger(__name__)


PolicySpecs = tuple[tuple[str, PolicyRolloutSpec], ...]
"""Policies, by name."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The result for a template's present spec. ``accepted`` is None while it is refused; ``refused_with`` are the
    policies in force if these refuse it. ``until``: the event loop's time at which it is
    evaluated again without an edit."""

    uid: str
    generation: int
    verdict: Verdict
    accepted: CompiledContent | None = None
    refused_with: PolicySpecs | None = None
    until: float = NEVER


@dataclass(slots=True)
class Templates:
    """Evaluates and compiles; only the leader calls it."""

    cluster: ClusterState
    snapshots: Snapshots
    ownership: Ownership
    in_force: Callable[[TemplateKey], Awaitable[list[tuple[str, PolicyRolloutSpec]]]]
    """The policies under which a new version of a template has to be valid"""
    slices: TimeSlices
    max_output: int = DEFAULT_OUTPUT
    """Limits the bytes of all files of one template's groups together"""
    judged: dict[TemplateKey, Judgement] = field(default_factory=dict)
    _schemas: dict[tuple[TemplateKey, str], Schema] = field(default_factory=dict)
    _turns: dict[TemplateKey, asyncio.Lock] = field(default_factory=dict)

    async def judge(self, key: TemplateKey) -> Judgement | None:
        """Evaluate the present template, and store its content if it is accepted; None if there is none.

        :raises trimtab.kube.errors.ApiError: the snapshot could not be stored; nothing was decided.
        """
        known = self.judged.get(key)
        if known is not None and await self._is_present(key, known):
            return known
        if key not in self._turns and self.cluster.templates.get(key) is None:
            self.judged.pop(key, None)
            return None
        async with self._turns.setdefault(key, asyncio.Lock()):  # all of its passes may ask at once
            known = self.judged.get(key)
            if known is not None and await self._is_present(key, known):
                return known
            item = self.cluster.templates.get(key)
            if item is None:
                self.judged.pop(key, None)
                return None
            return await self._judge(key, item)

    async def _is_present(self, key: TemplateKey, known: Judgement) -> bool:
        """Whether it is about the template as it is now, and would come to the same again."""
        item = self.cluster.templates.get(key)
        return (
            item is not None
            and (known.uid, known.generation) == (item.metadata.uid, item.metadata.generation)
            and not self.collided(known)
            and asyncio.get_running_loop().time() < known.until
            and (known.refused_with is None or known.refused_with == await self._policies_in_force(key))
            and (
                known.accepted is None
                or self.snapshots.has(TemplateKey(key.namespace, known.accepted.snapshot))
            )
        )

    async def _judge(self, key: TemplateKey, item: AnyObject) -> Judgement:
        meta = item.metadata
        read = await self.slices.run(reading_template(key, item.spec, self.max_output))
        if isinstance(read, ValidTemplate):
            collided = self._collision(item)
            judgement = (
                await self._valid(key, item, read)
                if collided is None
                else Judgement(meta.uid, meta.generation, collided)
            )
        else:
            judgement = Judgement(meta.uid, meta.generation, read)
        self.judged[key] = judgement
        if judgement.verdict.ready == FALSE:
            named = {"template": str(key), "reason": judgement.verdict.reason}
            log.warning("Refused a ConfigTemplate", extra=named)
        return judgement

    async def _valid(self, key: TemplateKey, item: AnyObject, read: ValidTemplate) -> Judgement:
        """Store the content of a template that is valid on its own, unless the policies in force refuse it."""
        meta, name = item.metadata, self._name(item)
        if item.status.get("snapshot") != name:  # else it was accepted: a policy may have rolled back since
            policies = await self._policies_in_force(key)
            refusal = await self.slices.run(evaluating_with_policies(read.schema, policies, self.max_output))
            if refusal is not None:
                return Judgement(meta.uid, meta.generation, refusal, refused_with=policies)
        try:
            await self._store(key, name, item.spec, meta.generation)
        except TooLargeError as error:
            return Judgement(meta.uid, meta.generation, _too_large(error))
        except NotStoredError as error:
            verdict = refused(reasons.WRITE_FAILED, f"{error}; the content accepted last stays in force")
            until = asyncio.get_running_loop().time() + error.seconds
            return Judgement(meta.uid, meta.generation, verdict, until=until)
        self._remember(key, name, read.schema)
        return Judgement(meta.uid, meta.generation, read.verdict, CompiledContent(read.schema, name))

    async def _policies_in_force(self, key: TemplateKey) -> PolicySpecs:
        return tuple(sorted(await self.in_force(key), key=lambda policy: policy[0]))

    @staticmethod
    def collided(known: Judgement) -> bool:
        """Whether another template's names are why it is refused, so that it may be accepted without an edit."""
        return known.verdict.reason == reasons.NAME_COLLISION

    def _collision(self, item: AnyObject) -> Verdict | None:
        """The verdict if another template keeps a name that this one needs."""
        for rival in self.cluster.templates:
            for place in contested_names(self.cluster, item, rival):
                if takes_precedence(
                    self._contender(rival), self._contender(item), place[0], self._owners(place)
                ):
                    return collision(item, rival, place)
        return None

    def _owners(self, place: tuple[str, str]) -> set[TemplateKey]:
        """The templates that have rendered objects of this namespace and name."""
        found = [self.cluster.outputs.get(Ref(kind, *place)) for kind in OUTPUTS]
        return {
            group.template_key
            for have in found
            if have is not None and (group := group_of(have.labels)) and have in self.ownership.proved(group)
        }

    def _contender(self, item: AnyObject) -> Contender:
        known = self.judged.get(item.key)
        rendered = any(group.status.get("currentRevision") for group in self.cluster.rendered(item.key))
        return Contender(item, known is not None and known.accepted is not None, rendered)

    def _name(self, item: AnyObject) -> str:
        """The name of the content's snapshot."""
        namespace, name = item.key
        hashed = self.snapshots.hash(PART, namespace, name, snapshot.content(item.spec), item.status)
        return naming.snapshot_object(name, hashed)

    async def _store(self, key: TemplateKey, name: str, spec: dict[str, Any], generation: int) -> None:
        """Make sure that the content's snapshot exists."""
        place = TemplateKey(key.namespace, name)
        halves = snapshot.split(snapshot.content(spec))
        await self.snapshots.store(place, PART, halves, naming.template_labels(key), generation)

    async def load(self, key: TemplateKey, name: str) -> Schema | None:
        """The schema of a stored snapshot, or None if it is missing or unreadable (which is logged).

        :raises trimtab.kube.errors.ApiError: it could not be read now.
        """
        found = self._schemas.get((key, name))
        if found is not None:
            self._schemas[key, name] = self._schemas.pop((key, name))  # the latest used go last
            return found
        content = await self.snapshots.read(TemplateKey(key.namespace, name), PART)
        if content is None:
            return None
        try:
            spec = ConfigTemplateSpec.model_validate(content)
            schema = await self.slices.run(compiling(key.name, spec, key.namespace))
        except (ValidationError, RejectedError) as error:
            log.error(
                "a snapshot does not compile: %s",
                type(error).__name__,
                extra={"template": str(key), "snapshot": name},
            )
            return None
        self._remember(key, name, schema)
        return schema

    def remembers(self, key: TemplateKey, served: CompiledContent) -> bool:
        """Whether its schema is the one that is handed out."""
        return self._schemas.get((key, served.snapshot)) is served.schema

    def forget(self, key: TemplateKey) -> None:
        """Drop the schemas of a deleted template."""
        self._schemas = {place: schema for place, schema in self._schemas.items() if place[0] != key}
        self._turns.pop(key, None)

    def _remember(self, key: TemplateKey, name: str, schema: Schema) -> None:
        """The latest few: of a template that rolls out, two or three are in service at a time."""
        self._schemas.pop((key, name), None)
        self._schemas[key, name] = schema
        mine = [place for place in self._schemas if place[0] == key]
        for place in mine[:-COMPILED]:
            del self._schemas[place]


def _too_large(error: TooLargeError) -> Verdict:
    violation = Violation(
        "spec", "template", "size", str(error), remedy="shorten its values or split the template"
    )
    return rejected((violation,))
