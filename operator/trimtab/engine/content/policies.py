"""Policies: judged against their template, kept as content-addressed snapshots, compiled for what they lie over."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from trimtab.api.config_template import GroupSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.rollout_status import Content
from trimtab.api.unsupported import not_supported
from trimtab.core import naming, reasons
from trimtab.core.model_errors import shape_violations
from trimtab.core.objects import AnyObject
from trimtab.core.policy.policy import Policy, compile_policy, in_scope, within
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.snapshot import Part
from trimtab.core.schema.template import Schema
from trimtab.core.violations import RejectedError, Violation, summary
from trimtab.engine.content.sealing import NotStoredError, TooLargeError
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.content.templates import unsupported_message

log = logging.getLogger(__name__)

PART: Part = "policy"
"""Where a snapshot's data holds a policy's content."""
COMPILED = 4
"""How many compiled forms of one content are kept: it lies over few versions of its template at a time."""


class RefusedError(ValueError):
    """A policy or its strategy that cannot be rolled out; after ``seconds`` it is looked at again without an edit."""

    def __init__(
        self,
        reason: str,
        message: str,
        violations: Sequence[Violation] = (),
        seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason, self.message, self.violations = reason, message, tuple(violations)
        self.seconds = seconds

    @classmethod
    def by(cls, violations: Sequence[Violation]) -> RefusedError:
        return cls(reasons.REJECTED, summary(tuple(violations)), violations)


@dataclass(slots=True)
class Policies:
    """Judges, stores and loads; only the leader calls it."""

    snapshots: Snapshots
    _specs: dict[TemplateKey, PolicyRolloutSpec] = field(default_factory=dict)
    _compiled: dict[tuple[str, TemplateKey], list[tuple[Schema, Policy | None]]] = field(default_factory=dict)

    def examine(self, item: AnyObject, schema: Schema) -> Policy:
        """The policy as it is written now, against the template that it is for.

        :raises RefusedError: it is not valid.
        """
        try:
            spec = PolicyRolloutSpec.model_validate(item.spec)
        except ValidationError as error:
            raise RefusedError.by(shape_violations(error, item.spec)) from None
        unsupported = not_supported(spec)
        if unsupported:
            raise RefusedError(reasons.NOT_SUPPORTED, unsupported_message(unsupported))
        try:
            return compile_policy(item.metadata.name, spec, schema)
        except RejectedError as error:
            raise RefusedError.by(error.violations) from None

    def content(self, item: AnyObject) -> Content:
        """What the policy's content is called; it need not be stored yet."""
        meta, stem = item.metadata, naming.policy_stem(item.metadata.name)
        whole = snapshot.policy_content(item.spec)
        hashed = self.snapshots.hash(PART, meta.namespace, stem, whole, item.status)
        name = naming.snapshot_object(stem, hashed)
        return Content(hash=hashed, snapshot=name, generation=meta.generation)

    async def keep(self, item: AnyObject, schema: Schema) -> None:
        """Make sure that the content's snapshot exists.

        :raises trimtab.kube.errors.ApiError: it could not be stored, and that may pass.
        :raises RefusedError: the API server refuses it, or it is too large.
        """
        meta = item.metadata
        place = TemplateKey(meta.namespace, self.content(item).snapshot or "")
        template = TemplateKey(meta.namespace, schema.name)
        labels = {**naming.template_labels(template), naming.LABEL_POLICY: meta.name[:63].rstrip("-.")}
        halves = snapshot.split_policy(snapshot.policy_content(item.spec), schema.sensitive)
        try:
            await self.snapshots.store(place, PART, halves, labels, meta.generation)
        except TooLargeError as error:
            message = f"{error}; shorten its values or split the policy"
            raise RefusedError.by([Violation("spec", "policy", "size", message)]) from None
        except NotStoredError as error:
            raise RefusedError(reasons.WRITE_FAILED, str(error), seconds=error.seconds) from None

    async def spec(self, place: TemplateKey) -> PolicyRolloutSpec | None:
        """A stored policy's content, or None if it is gone or unreadable (which is logged).

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
                "a policy's snapshot is unreadable: %s", type(error).__name__, extra={"snapshot": str(place)}
            )
            return None
        self._specs[place] = spec
        return spec

    async def covers(self, place: TemplateKey, template: str, group: GroupSpec) -> bool | None:
        """Whether a stored policy is for that group of that template; None if the policy cannot be read."""
        spec = await self.spec(place)
        return None if spec is None else spec.template_ref.name == template and in_scope(spec, group)

    async def compiled(self, name: str, place: TemplateKey, schema: Schema) -> Policy | None:
        """A stored policy over a template; what of it does not fit that template (an older one, say) is left out.
        None if it is for another template, cannot be read, or nothing of it fits."""
        spec = await self.spec(place)
        if spec is None or spec.template_ref.name != schema.name:
            return None
        made = self._compiled.setdefault((name, place), [])
        known = next((entry for entry in made if entry[0] is schema), None)
        if known is None:
            known = schema, fitted(name, spec, schema)
            made.append(known)
            del made[:-COMPILED]
        return known[1]

    def forget(self, template: TemplateKey, needed: Container[str]) -> None:
        """Drop what was read of a template's policies, if it is stored no more and nobody needs it."""
        gone = {
            place
            for place, spec in self._specs.items()
            if (place.namespace, spec.template_ref.name) == template
            and place.name not in needed
            and not self.snapshots.has(place)
        }
        self._specs = {place: spec for place, spec in self._specs.items() if place not in gone}
        self._compiled = {key: made for key, made in self._compiled.items() if key[1] not in gone}


def fitted(name: str, spec: PolicyRolloutSpec, schema: Schema) -> Policy | None:
    """The policy without the keys that this template has no valid place for; None if nothing else of it is valid."""
    try:
        return compile_policy(name, spec, schema)
    except RejectedError as error:
        misfits = {violation.key for violation in error.violations}
    policy = spec.policy
    known = schema.keys.keys() - misfits
    kept = policy.model_copy(
        update={
            "values": {key: value for key, value in policy.values.items() if key in known},
            "enforced": [entry for entry in policy.enforced if entry.key in known],
            "constraints": [entry for entry in policy.constraints if entry.key in known],
        }
    )
    log.warning(
        "a policy does not fit", extra={"policy": name, "template": schema.name, "keys": sorted(misfits)}
    )
    lenient = within(spec, schema).model_copy(update={"policy": kept, "schema_version": None})
    try:
        return compile_policy(name, lenient, schema)
    except RejectedError:
        return None
