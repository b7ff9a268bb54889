"""Templates: judged, compiled once, and kept as content-addressed snapshots, so that a rejected edit changes nothing.

What is *accepted* here is what groups move to; what a group *serves* is its RenderedGroup's pointer (engine.groups).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.rollout_status import RolloutProgress
from trimtab.api.unsupported import not_supported
from trimtab.core import naming, reasons
from trimtab.core.evaluate.membership import may_render_into
from trimtab.core.model_errors import shape_violations
from trimtab.core.objects import AnyObject
from trimtab.core.policy.fit import within
from trimtab.core.policy.policy import Policy, compile_policy
from trimtab.core.refs import GroupKey, Ref, TemplateKey
from trimtab.core.render.render import render_group
from trimtab.core.render.sizes import DEFAULT_OUTPUT, Total
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.resolve import document_problems, group_view
from trimtab.core.resolve.snapshot import Part
from trimtab.core.rollout.strategy import compiling_strategy
from trimtab.core.schema.template import Schema, compiling
from trimtab.core.status import FALSE, TRUE, UNKNOWN, Verdict, refused, rejected, unsupported
from trimtab.core.steps import Steps, finished
from trimtab.core.violations import ENOUGH, Notice, RejectedError, Violation
from trimtab.engine.content.sealing import NotStoredError, TooLargeError
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.scheduling.retry import NEVER
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.objects import group_of
from trimtab.kube.resources import OUTPUTS

PART: Part = "spec"
"""Where a snapshot's data holds a template's content."""

COMPILED = 4
"""Schemas that are kept of one template."""

log = logging.getLogger(__name__)


Beside = tuple[tuple[str, PolicyRolloutSpec], ...]
"""Policies, by name."""


@dataclass(slots=True)
class Judgement:
    """What a template's present spec comes to; ``accepted`` is None while it is refused, ``beside`` are the policies
    in force if that is because of them. ``until``: when it is judged again without an edit (the event loop's time)."""

    uid: str
    generation: int
    verdict: Verdict
    accepted: CompiledContent | None
    beside: Beside | None = None
    until: float = NEVER


async def _no_policies(_: TemplateKey) -> list[tuple[str, PolicyRolloutSpec]]:
    return []


@dataclass(slots=True)
class Templates:
    """Judges and compiles; only the leader calls it."""

    cluster: ClusterState
    snapshots: Snapshots
    slices: TimeSlices = field(default_factory=TimeSlices)
    max_output: int = DEFAULT_OUTPUT
    """Bytes that the files of one template's groups may be together"""
    in_force: Callable[[TemplateKey], Awaitable[list[tuple[str, PolicyRolloutSpec]]]] = _no_policies
    """The policies that lie over a template, which a new version of it has to go together with."""
    judged: dict[TemplateKey, Judgement] = field(default_factory=dict)
    _schemas: dict[tuple[TemplateKey, str], Schema] = field(default_factory=dict)
    _turns: dict[TemplateKey, asyncio.Lock] = field(default_factory=dict)

    async def judge(self, key: TemplateKey) -> Judgement | None:
        """Judge the template as it is now, and keep its content if it is accepted; None if it is gone.

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
            and (known.beside is None or known.beside == await self._beside(key))
            and (
                known.accepted is None
                or self.snapshots.has(TemplateKey(key.namespace, known.accepted.snapshot))
            )
        )

    async def _judge(self, key: TemplateKey, item: AnyObject) -> Judgement:
        meta = item.metadata
        verdict, schema = await self._examine(item)
        accepted = beside = None
        until = NEVER
        if schema is not None:
            name = self._name(item)
            if (
                item.status.get("snapshot") != name
            ):  # else it has been accepted: a policy may have gone back since
                beside = await self._beside(key)
                refusal = await self._refusal_beside(schema, beside)
                verdict = refusal or verdict
                beside = beside if refusal else None
            if beside is None:
                try:
                    await self._store(key, name, item.spec, meta.generation)
                except TooLargeError as error:
                    verdict = _too_large(error)
                except NotStoredError as error:
                    verdict = refused(
                        reasons.WRITE_FAILED, f"{error}; what was accepted before stays in force"
                    )
                    until = asyncio.get_running_loop().time() + error.seconds
                else:
                    accepted = CompiledContent(schema, name)
                    self._remember(key, name, schema)
        judgement = Judgement(meta.uid, meta.generation, verdict, accepted, beside, until)
        self.judged[key] = judgement
        if verdict.ready == FALSE:
            log.warning("template refused", extra={"template": str(key), "reason": verdict.reason})
        return judgement

    async def _beside(self, key: TemplateKey) -> Beside:
        return tuple(sorted(await self.in_force(key), key=lambda policy: policy[0]))

    @staticmethod
    def collided(known: Judgement) -> bool:
        """Whether it was refused for another template's sake, and so may be accepted without an edit."""
        return known.verdict.reason == reasons.NAME_COLLISION

    async def _examine(self, item: AnyObject) -> tuple[Verdict, Schema | None]:
        key = item.key
        try:
            spec = ConfigTemplateSpec.model_validate(item.spec)
        except ValidationError as error:
            return rejected(shape_violations(error, item.spec)), None
        fields = not_supported(spec)
        if fields:
            return unsupported(fields), None
        try:
            schema = await self.slices.run(compiling(key.name, spec, key.namespace))
            notices = await self.slices.run(rendering(schema, (), self.max_output))
            if spec.strategy is not None:
                labels = {group.name: group.labels for group in spec.groups}
                await self.slices.run(compiling_strategy(spec.strategy, labels))
        except RejectedError as error:
            return rejected(error.violations), None
        collision = self._collision(item, spec)
        if collision:
            return refused(reasons.NAME_COLLISION, collision), None
        return Verdict(
            UNKNOWN, reasons.PROGRESSING, "accepted; its outputs are being written", (), notices
        ), schema

    async def _refusal_beside(self, schema: Schema, policies: Beside) -> Verdict | None:
        """Why the template cannot go together with the policies in force, if it cannot."""
        try:
            if policies:
                await self.slices.run(_rendering_beside(schema, policies, self.max_output))
        except RejectedError as error:
            return rejected(error.violations)
        return None

    def _collision(self, item: AnyObject, spec: ConfigTemplateSpec) -> str:
        """A template that renders objects of the same name and was there first, if there is one."""
        names = self._object_names(item.key, [(g.name, g.target_namespace) for g in spec.groups])
        for rival in self.cluster.templates:
            if rival.key == item.key or not _may_meet(rival.metadata.name, item.metadata.name):
                continue
            groups = [
                (g.get("name", ""), g.get("targetNamespace"))
                for g in rival.spec.get("groups") or ()
                if isinstance(g, dict)
            ]
            shared = names & self._object_names(rival.key, groups)
            for namespace, name in sorted(shared):
                if self._yields(item, rival, namespace, name):
                    # Only who may look at the rival's namespace may know what it is called.
                    known = rival.metadata.namespace == item.metadata.namespace
                    whose = f"template {rival.key}" if known else "a template of another namespace"
                    return f"{whose} renders {namespace}/{name} as well; rename one"
        return ""

    def _yields(self, item: AnyObject, rival: AnyObject, namespace: str, name: str) -> bool:
        """Whether the rival has this name: who has rendered it keeps it, a namespace's own templates have it before
        others, else who was accepted, or comes first."""
        there = [self.cluster.outputs.get(Ref(kind, namespace, name)) for kind in OUTPUTS]
        owners = {
            group.template_key
            for have in there
            if have is not None and (group := group_of(have.labels)) and have in self.cluster.proved(group)
        }
        if owners and owners <= {item.key, rival.key}:
            return item.key not in owners
        homes = item.metadata.namespace, rival.metadata.namespace
        if homes[0] != homes[1] and namespace in homes:
            return namespace == homes[1]
        judged = self.judged.get(rival.key)
        holds = judged is not None and judged.accepted is not None
        return holds or self._rank(rival) < self._rank(item)

    def _object_names(
        self, key: TemplateKey, groups: Iterable[tuple[str, str | None]]
    ) -> set[tuple[str, str]]:
        """Where its groups have objects. One that its target namespace does not let in has none there."""
        names = set()
        for group, target in groups:
            name = naming.group_object(key.name, group)
            names.add((key.namespace, name))
            if target and may_render_into(self.cluster, target, key.namespace):
                names.add((target, name))
        return names

    def _rank(self, item: AnyObject) -> tuple[bool, str, str]:
        """Who comes first: what is rendered already, by a status (only the operator writes it); then the older one."""
        rendered = any(group.status.get("currentRevision") for group in self.cluster.rendered(item.key))
        return not rendered, item.metadata.creationTimestamp or "", item.metadata.uid

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
        """The schema of a stored snapshot, or None if it is gone or unreadable (which is logged).

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
        """Drop what was compiled of a template that is gone."""
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


def render_problems(schema: Schema, policies: Sequence[Policy] = ()) -> tuple[Notice, ...]:
    """Render every group's document once, with the policies over it; its notices.

    :raises RejectedError: a group's document cannot be rendered, or all of them together are too large.
    """
    return finished(rendering(schema, policies))


def rendering(
    schema: Schema, policies: Sequence[Policy] = (), max_output: int = DEFAULT_OUTPUT
) -> Steps[tuple[Notice, ...]]:
    """:func:`render_problems`, a group a step."""
    found: list[Violation] = []
    notices = dict.fromkeys(schema.notices)
    total = Total(schema, max_output)
    for name in schema.groups:
        view = group_view(schema, name, [policy for policy in policies if name in policy.groups])
        rendered = render_group(view)
        found += document_problems(view) if policies else ()
        found += rendered.violations
        notices |= dict.fromkeys(rendered.notices)
        too_large = total.add(view, rendered.entries)
        if too_large is not None:
            found.append(too_large)
        if too_large is not None or len(found) > ENOUGH:
            break
        yield
    if found:
        raise RejectedError(found)
    return tuple(notices)


def _rendering_beside(schema: Schema, policies: Beside, max_output: int) -> Steps[None]:
    """:func:`rendering` under policies that are not compiled yet."""
    compiled = []
    for name, said in policies:
        compiled.append(compile_policy(name, within(said, schema), schema))
        yield
    yield from rendering(schema, compiled, max_output)


READY_IN = {"Succeeded": TRUE, "Rejected": FALSE, "RolledBack": FALSE, "RollbackFailed": FALSE}
"""Ready in the phases that it is not Unknown in."""


def rollout_verdict(progress: RolloutProgress, notices: tuple[Notice, ...]) -> Verdict:
    """What a rollout's phase means for Ready."""
    phase = progress.phase or "Pending"
    return Verdict(READY_IN.get(phase, UNKNOWN), phase, progress.message or phase, (), notices)


def ready_verdict(
    judgement: Judgement,
    pending: list[GroupKey],
    failing: dict[GroupKey, tuple[str, str]],
    held: str = "",
) -> Verdict:
    """The template's verdict once its groups' outcomes are known; ``held`` says what the pending ones wait for."""
    verdict = judgement.verdict
    if judgement.accepted is None:
        return verdict
    if failing:
        group, (reason, message) = min(failing.items())
        return Verdict(FALSE, reason, f"group {group.group}: {message}", (), verdict.notices)
    if pending:
        return replace(verdict, message=f"accepted; {held}") if held else verdict
    count = len(judgement.accepted.schema.groups)
    return Verdict(
        TRUE, reasons.RENDERED, f"{count} group{'s' if count != 1 else ''} rendered", (), verdict.notices
    )


def _may_meet(one: str, other: str) -> bool:
    """Whether templates of these names may render objects of one name, ``<template>-<group>``."""
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")
