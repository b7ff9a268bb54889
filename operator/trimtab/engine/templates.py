"""Templates: judged, compiled once, and kept as content-addressed snapshots, so that a rejected edit changes nothing.

What is *accepted* here is what groups move to; what a group *serves* is its RenderedGroup's pointer (engine.groups).
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.support import not_supported
from trimtab.core import naming, reasons, snapshot
from trimtab.core.problems import Notice, RejectedError, Violation, summary
from trimtab.core.render import render_group
from trimtab.core.resolve import group_view
from trimtab.core.schema import Schema, compile_template
from trimtab.core.status import FALSE, TRUE, UNKNOWN, Verdict, refused
from trimtab.crypto import Keys, UnreadableError
from trimtab.engine.observed import AnyObject
from trimtab.engine.preferences import GroupKey, TemplateKey
from trimtab.engine.world import World, rendered_group_key
from trimtab.kube import errors
from trimtab.kube.port import Api, MetaOnly
from trimtab.kube.resources import CONTROLLER_REVISIONS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A compiled template and the name of the snapshot that holds its content."""

    schema: Schema
    snapshot: str


@dataclass(slots=True)
class Judgement:
    """What a template's present spec comes to; ``accepted`` is None while it is refused."""

    uid: str
    generation: int
    verdict: Verdict
    accepted: Served | None


@dataclass(slots=True)
class Templates:
    """``keys`` is set once this process leads; nothing here is called before."""

    api: Api
    world: World
    keys: Keys | None = None
    judged: dict[TemplateKey, Judgement] = field(default_factory=dict)
    _schemas: dict[tuple[TemplateKey, str], Schema] = field(default_factory=dict)
    _in_use: Counter[str] = field(default_factory=Counter)
    _leaving: set[TemplateKey] = field(default_factory=set)
    """Snapshots whose deletion is under way."""

    async def judge(self, key: TemplateKey) -> Judgement | None:
        """Judge the template as it is now, and keep its content if it is accepted; None if it is gone.

        :raises trimtab.kube.errors.ApiError: the snapshot could not be stored; nothing was decided.
        """
        item = self.world.templates.get(key)
        if item is None:
            self.judged.pop(key, None)
            return None
        known = self.judged.get(key)
        meta = item.metadata
        if (
            known
            and (known.uid, known.generation) == (meta.uid, meta.generation)
            and not self.collided(known)
        ):
            return known
        verdict, schema = self._examine(item)
        accepted = None
        if schema is not None:
            accepted = Served(schema, await self._store(key, item.spec, meta.generation))
            self._schemas = {
                **{k: v for k, v in self._schemas.items() if k[0] != key},
                (key, accepted.snapshot): schema,
            }
        judgement = Judgement(meta.uid, meta.generation, verdict, accepted)
        self.judged[key] = judgement
        if verdict.ready == FALSE:
            log.warning("template refused", extra={"template": str(key), "reason": verdict.reason})
        return judgement

    @staticmethod
    def collided(known: Judgement) -> bool:
        """Whether it was refused for another template's sake, and so may be accepted without an edit."""
        return known.verdict.reason == reasons.NAME_COLLISION

    def _examine(self, item: AnyObject) -> tuple[Verdict, Schema | None]:
        key = item.key
        try:
            spec = ConfigTemplateSpec.model_validate(item.spec)
        except ValidationError as error:
            found = shape_violations(error)
            return refused(reasons.REJECTED, summary(found), found), None
        unsupported = not_supported(spec)
        if unsupported:
            return refused(reasons.NOT_SUPPORTED, unsupported_message(unsupported)), None
        try:
            schema = compile_template(key.name, spec)
            notices = render_problems(schema)
        except RejectedError as error:
            found = error.violations
            return refused(reasons.REJECTED, summary(found), found), None
        collision = self._collision(item, spec)
        if collision:
            return refused(reasons.NAME_COLLISION, collision), None
        return Verdict(
            UNKNOWN, reasons.PROGRESSING, "accepted; its outputs are being written", (), notices
        ), schema

    def _collision(self, item: AnyObject, spec: ConfigTemplateSpec) -> str:
        """A template that renders objects of the same name and was there first, if there is one."""
        names = _object_names(item.key, [(g.name, g.target_namespace) for g in spec.groups])
        for rival in self.world.templates:
            judged = self.judged.get(rival.key)
            holds = judged is not None and judged.accepted is not None
            if rival.key == item.key or not (holds or self._rank(rival) < self._rank(item)):
                continue
            groups = [
                (g.get("name", ""), g.get("targetNamespace"))
                for g in rival.spec.get("groups") or ()
                if isinstance(g, dict)
            ]
            shared = names & _object_names(rival.key, groups)
            if shared:
                namespace, name = min(shared)
                return f"template {rival.key} renders {namespace}/{name} as well; rename one"
        return ""

    def _rank(self, item: AnyObject) -> tuple[bool, str, str]:
        """Who comes first: what is rendered already, then the older one."""
        rendered = any(rendered_group_key(group).template_key == item.key for group in self.world.groups)
        return not rendered, item.metadata.creationTimestamp or "", item.metadata.uid

    async def _store(self, key: TemplateKey, spec: dict[str, Any], generation: int) -> str:
        """Make sure that the content's snapshot exists; its name."""
        keys = self._keys()
        content = snapshot.content(spec)
        name = naming.snapshot_object(key.name, keys.digest(content, 10))
        place = TemplateKey(key.namespace, name)
        if place in self._leaving:
            raise errors.UnavailableError(
                0, "Leaving", f"snapshot {place} is being deleted; it is made again"
            )
        if self.world.snapshots.get(place) is not None and await self._is_there(place):
            return name
        public, taken = snapshot.split(content)
        data: dict[str, Any] = {"spec": public}
        if taken:
            data["sealed"] = keys.seal(taken)
        body = {
            "apiVersion": CONTROLLER_REVISIONS.api_version,
            "kind": CONTROLLER_REVISIONS.kind,
            "metadata": {"name": name, "namespace": key.namespace, "labels": template_labels(key)},
            "data": data,
            "revision": generation,
        }
        try:
            stored = await self.api.create(CONTROLLER_REVISIONS, body)
        except errors.ConflictError as error:
            if error.reason != "AlreadyExists":  # admission answers 409 as well, a ResourceQuota's for one
                raise
            return name  # content-addressed: whatever has this name holds this content
        self.world.snapshots.put(msgspec.convert(stored, MetaOnly))
        return name

    async def _is_there(self, place: TemplateKey) -> bool:
        """Asked of the API server itself: the store may not know yet of a deletion, and groups will point to it."""
        try:
            await self.api.get(CONTROLLER_REVISIONS, *place)
        except errors.NotFoundError:
            return False
        return True

    async def load(self, key: TemplateKey, name: str) -> Schema | None:
        """The schema of a stored snapshot, or None if it is gone or unreadable (which is logged).

        :raises trimtab.kube.errors.ApiError: it could not be read now.
        """
        found = self._schemas.get((key, name))
        if found is not None:
            return found
        try:
            body = await self.api.get(CONTROLLER_REVISIONS, key.namespace, name)
            data = body["data"]
            taken = self._keys().open(data["sealed"]) if "sealed" in data else []
            spec = ConfigTemplateSpec.model_validate(snapshot.join(data["spec"], taken))
            schema = compile_template(key.name, spec)
        except errors.NotFoundError:
            log.error("a snapshot is gone", extra={"template": str(key), "snapshot": name})
            return None
        except (UnreadableError, ValidationError, RejectedError, KeyError) as error:
            log.error(
                "a snapshot is unreadable: %s",
                type(error).__name__,
                extra={"template": str(key), "snapshot": name},
            )
            return None
        self._schemas[key, name] = schema
        return schema

    @contextlib.contextmanager
    def in_use(self, name: str) -> Iterator[None]:
        """Keep a snapshot from being pruned while a pass may still point to it."""
        self._in_use[name] += 1
        try:
            yield
        finally:
            self._in_use[name] -= 1
            if not self._in_use[name]:
                del self._in_use[name]

    async def prune(self, key: TemplateKey) -> None:
        """Delete this template's snapshots that no revision of any group lists any more."""
        for stored in list(self.world.snapshots):
            labels = stored.metadata.labels or {}
            place = TemplateKey(stored.metadata.namespace, stored.metadata.name)
            mine = (place.namespace, labels.get(naming.LABEL_TEMPLATE)) == key
            if not mine or place in self._leaving or place.name in self._listed(key):
                continue
            self._leaving.add(place)
            try:
                with contextlib.suppress(errors.NotFoundError):
                    await self.api.delete(CONTROLLER_REVISIONS, *place, uid=stored.metadata.uid)
            finally:
                self._leaving.discard(place)
            self.world.snapshots.drop(stored)

    def _listed(self, key: TemplateKey) -> set[str]:
        """The snapshots that somebody needs; asked anew for each, as it may change while another one is deleted."""
        listed = {
            entry.get("snapshot", "")
            for group in self.world.groups
            if rendered_group_key(group).template_key == key
            for entry in group.status.get("revisions") or ()
        }
        listed |= {name for name, count in self._in_use.items() if count > 0}
        judgement = self.judged.get(key)
        if judgement is not None and judgement.accepted is not None:
            listed.add(judgement.accepted.snapshot)
        return listed

    def _keys(self) -> Keys:
        if self.keys is None:
            raise RuntimeError("templates are judged by the leader alone, which has loaded its keys")
        return self.keys


def template_labels(key: TemplateKey) -> dict[str, str]:
    """The labels of everything that is made for a template."""
    return {
        naming.LABEL_MANAGED_BY: naming.MANAGER,
        naming.LABEL_PART_OF: key.name,
        naming.LABEL_TEMPLATE: key.name,
        naming.LABEL_TEMPLATE_NAMESPACE: key.namespace,
    }


def group_labels(key: GroupKey) -> dict[str, str]:
    return {**template_labels(key.template_key), naming.LABEL_GROUP: key.group}


def shape_violations(error: ValidationError) -> tuple[Violation, ...]:
    """pydantic's errors about an object's shape, without the input that they are about."""
    return tuple(
        Violation(".".join(str(part) for part in e["loc"]) or "spec", "template", "shape", e["msg"])
        for e in error.errors(include_url=False, include_input=False)
    )


def unsupported_message(fields: list[str]) -> str:
    several = len(fields) > 1
    return (
        f"{', '.join(fields)} {'are' if several else 'is'} not built in this version of Trimtab; "
        f"remove {'them' if several else 'it'}. What was accepted before stays in force"
    )


def render_problems(schema: Schema) -> tuple[Notice, ...]:
    """Render every group's document once; its notices.

    :raises RejectedError: a group's document cannot be rendered.
    """
    found: list[Violation] = []
    notices = list(schema.notices)
    for name in schema.groups:
        rendered = render_group(group_view(schema, name))
        found += rendered.violations
        notices += rendered.notices
    if found:
        raise RejectedError(found)
    return tuple(dict.fromkeys(notices))


def ready_verdict(
    judgement: Judgement, pending: list[GroupKey], failing: dict[GroupKey, tuple[str, str]]
) -> Verdict:
    """The template's verdict once its groups' outcomes are known."""
    verdict = judgement.verdict
    if judgement.accepted is None:
        return verdict
    if failing:
        group, (reason, message) = min(failing.items())
        return Verdict(FALSE, reason, f"group {group.group}: {message}", (), verdict.notices)
    if pending:
        return verdict
    count = len(judgement.accepted.schema.groups)
    return Verdict(
        TRUE, reasons.RENDERED, f"{count} group{'s' if count != 1 else ''} rendered", (), verdict.notices
    )


def _object_names(key: TemplateKey, groups: Iterable[tuple[str, str | None]]) -> set[tuple[str, str]]:
    names = set()
    for group, target in groups:
        name = naming.group_object(key.name, group)
        names |= {(key.namespace, name), (target or key.namespace, name)}
    return names
