"""Carries out planned writes: server-side apply over exactly the version that was planned against.

An object that Trimtab did not create (core/render/origin.py) is never overwritten: an object is created only where a
read has just found none, and adopted only if its annotation allows that.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from trimtab.core import naming, reasons
from trimtab.core.refs import Ref, TemplateKey
from trimtab.core.render.origin import is_managed, requests_adoption
from trimtab.core.render.plan import Apply, Delete, Desired, Observed, Write, differs
from trimtab.engine.metrics import DRIFT, WRITES
from trimtab.engine.scheduling.concurrency import Lanes
from trimtab.engine.scheduling.failures import all_of
from trimtab.engine.store.outputs import OutputObject, Outputs, group_of, observe
from trimtab.kube import errors
from trimtab.kube.port import FIELD_MANAGER, Api, Body
from trimtab.kube.resources import OUTPUTS

log = logging.getLogger(__name__)

PARALLEL = 8
"""Concurrent writes of one template."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A write that did not happen. ``again``: the same write may succeed soon. ``status`` is the HTTP status code of
    the API server's response (0: there was none). ``raced``: another write preceded it."""

    write: Write
    reason: str
    message: str
    again: bool
    status: int = 0
    raced: bool = False

    @property
    def ref(self) -> Ref:
        """The object that was to be written."""
        return _ref(self.write)


class Writer:
    """``digest`` returns the HMAC of an object's data for its digest annotation; ``anothers`` whether an object is the
    output of another template than this one."""

    def __init__(
        self,
        api: Api,
        outputs: Outputs,
        digest: Callable[[Ref, object], str],
        anothers: Callable[[TemplateKey, Observed], bool] = lambda *_: False,
    ) -> None:
        self._api, self._outputs, self._digest, self._anothers = api, outputs, digest, anothers
        self._lanes = Lanes(PARALLEL)

    async def write(self, write: Write) -> Failure | None:
        """One write; None if it happened.

        :raises trimtab.kube.errors.NotLeaderError: the Lease was lost.
        """
        async with self._lanes.slot(_template_of(write)):
            try:
                if isinstance(write, Delete):
                    await self._delete(write.observed)
                    return None
                return await self._apply(write)
            except errors.ConflictError as error:
                return await self._refresh(write, error)
            except errors.ApiError as error:
                return _failure(write, error)

    async def _apply(self, write: Apply) -> Failure | None:
        desired, have = write.desired, write.observed
        if have is None or not self._is_ours(have, desired):
            have = await self.live(desired.ref)
            if have is not None and not self._may_adopt(desired, have):
                return Failure(write, reasons.CONFLICT, self._foreign(desired, have), again=False)
        try:
            have = await self._unlocked(have)
            body = self._body(desired, have)
            answer = await self._api.apply(OUTPUTS[desired.ref.kind], body, force=have is not None)
        except errors.ForbiddenError as error:
            if have is None or _shows_origin(have):
                raise
            return Failure(
                write, reasons.CONFLICT, _bare(desired.ref, error), again=False, status=error.status
            )
        if have is None and _others(answer):
            return await self._give_back(write, answer)
        await self._settle(write, answer)
        return None

    async def _unlocked(self, have: Observed | None) -> Observed | None:
        """The object, unless the API server rejects every change of its data: such an object is deleted, to be
        recreated immediately."""
        if have is None or not have.is_immutable:
            return have
        await self._delete(have)
        return None

    async def _settle(self, write: Apply, answer: Body) -> None:
        """The write happened: store the object, without entries of other managers."""
        desired, observed = write.desired, self._outputs.wrote(write.desired.ref.kind, answer)
        if differs(desired, observed):
            observed = await self._remove_foreign_entries(desired, observed, answer)
        if observed.data == desired.data:
            observed.data = desired.data  # one copy in memory, not two
        WRITES.labels(desired.ref.kind, "apply").inc()
        if write.drift:
            DRIFT.inc()
            log.warning("Reverted a manual change", extra={"object": str(desired.ref)})

    def _may_adopt(self, desired: Desired, have: Observed) -> bool:
        if self._is_ours(have, desired):
            return True
        if not requests_adoption(have) or self._anothers(_template(desired), have):
            return False
        log.warning("Adopted an object that is annotated for it", extra={"object": str(desired.ref)})
        return True

    def _is_ours(self, have: Observed, desired: Desired) -> bool:
        return is_managed(have, desired) and not self._anothers(_template(desired), have)

    async def _give_back(self, write: Apply, answer: Body) -> Failure:
        """Another client created the object after the read: applying nothing releases all fields that Trimtab set."""
        ref = write.desired.ref
        metadata = {
            "name": ref.name,
            "namespace": ref.namespace,
            "resourceVersion": answer["metadata"]["resourceVersion"],
        }
        left = await self._api.apply(OUTPUTS[ref.kind], {"metadata": metadata})
        have = observe(ref.kind, msgspec.convert(left, OutputObject))
        return Failure(write, reasons.CONFLICT, self._foreign(write.desired, have), again=False)

    async def _remove_foreign_entries(self, desired: Desired, observed: Observed, answer: Body) -> Observed:
        """Apply keeps what other managers own; an output has no entries of theirs."""
        extra: dict[str, None] = dict.fromkeys(
            name for name in answer.get("data") or {} if name not in desired.data
        )
        binary: dict[str, None] = dict.fromkeys(answer.get("binaryData") or {})
        patch = {
            "metadata": {"resourceVersion": str(observed.version)},
            **({"data": extra} if extra else {}),
            **({"binaryData": binary} if binary else {}),
        }
        ref = desired.ref
        cleaned = await self._api.merge_patch(OUTPUTS[ref.kind], ref.namespace, ref.name, patch)
        return self._outputs.wrote(ref.kind, cleaned)

    async def _delete(self, observed: Observed) -> None:
        ref = observed.ref
        with contextlib.suppress(errors.NotFoundError):
            await self._api.delete(
                OUTPUTS[ref.kind], ref.namespace, ref.name, uid=observed.uid, version=str(observed.version)
            )
        self._outputs.forget(observed)
        WRITES.labels(ref.kind, "delete").inc()

    async def release(self, observed: Observed) -> None:
        """Release an output (deletionPolicy Retain): it stays unchanged, but Trimtab no longer manages it.

        :raises trimtab.kube.errors.ApiError: the API server refused.
        """
        labels = {name: None for name in observed.labels if name.startswith("trimtab.dev/")}
        patch = {
            "metadata": {
                "resourceVersion": str(observed.version),
                "labels": {**labels, naming.LABEL_MANAGED_BY: None},
                "annotations": {naming.ANNOTATION_MARK: None},
            }
        }
        ref = observed.ref
        await self._api.merge_patch(OUTPUTS[ref.kind], ref.namespace, ref.name, patch)
        self._outputs.forget(observed)
        WRITES.labels(ref.kind, "release").inc()

    async def live(self, ref: Ref) -> Observed | None:
        """The object at this location now, whichever client created it.

        :raises trimtab.kube.errors.ApiError: the API server refused.
        """
        try:
            body = await self._api.get(OUTPUTS[ref.kind], ref.namespace, ref.name)
        except errors.NotFoundError:
            return None
        return observe(ref.kind, msgspec.convert(body, OutputObject))

    async def recover(self, recorded: Iterable[Ref]) -> dict[Ref, Observed]:
        """Of objects that are recorded and not listed, those that exist: without Trimtab's labels.

        :raises trimtab.kube.errors.ApiError: the API server could not be reached.
        """

        async def read(ref: Ref) -> None:
            have = self._outputs.get(ref)
            async with self._lanes.all:
                if have is None:
                    with contextlib.suppress(errors.NotFoundError, errors.ForbiddenError):
                        body = await self._api.get(OUTPUTS[ref.kind], ref.namespace, ref.name)
                        have = self._outputs.wrote(ref.kind, body)
            if have is not None:
                found[ref] = have

        found: dict[Ref, Observed] = {}
        await all_of(read(ref) for ref in recorded)
        return found

    async def _refresh(self, write: Write, refused: errors.ConflictError) -> Failure:
        """Read the object. If it has changed, the next pass decides; else the conflict is not about the object: a
        webhook may deny with any code, and quotas have races of their own."""
        ref, before = _ref(write), write.observed
        try:
            body = await self._api.get(OUTPUTS[ref.kind], ref.namespace, ref.name)
        except errors.NotFoundError:
            if before is None:
                return _failure(write, refused)
            self._outputs.forget(before)
        except errors.ApiError as error:
            return replace(_failure(write, error), again=True)
        else:
            metadata = body["metadata"]
            if before is not None and metadata["resourceVersion"] == str(before.version):
                return _failure(write, refused)
            if group_of(metadata.get("labels") or {}) is not None:
                self._outputs.wrote(ref.kind, body)
            elif before is not None:
                self._outputs.forget(before)
        message = f"{ref}: changed by another client meanwhile; retrying"
        return Failure(write, reasons.WRITE_FAILED, message, again=True, raced=True)

    async def is_reachable(self, ref: Ref) -> bool:
        """Whether the API server responds at all: to reads of the same object, if not to writes."""
        try:
            await self.live(ref)
        except errors.UnavailableError as error:
            return error.status > 0
        except errors.ApiError:
            return True
        return True

    def _foreign(self, desired: Desired, have: Observed) -> str:
        owner, mine = group_of(have.labels), _template(desired)
        # the template's author may not know what is in other namespaces
        known = owner is not None and owner.namespace == mine.namespace
        if self._anothers(mine, have):
            whose = f"group {owner}" if known else "a template of another namespace"
            return f"{desired.ref} exists and is an output of {whose}; it stays unchanged. Rename one of the templates"
        labels = f" (it has the labels of group {owner}, which do not prove it)" if known else ""
        return (
            f"{desired.ref} exists and was not made by Trimtab{labels}; it stays unchanged. Rename or delete it, "
            f"or annotate it {naming.ANNOTATION_ADOPT}=true to let Trimtab adopt it"
        )

    def _body(self, desired: Desired, have: Observed | None) -> Body:
        ref = desired.ref
        data: dict[str, str] = dict(desired.data)
        if ref.kind == "Secret":
            data = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        digest = self._digest(ref, data)
        metadata: Body = {
            "name": ref.name,
            "namespace": ref.namespace,
            "labels": dict(desired.labels),
            "annotations": {**desired.annotations, naming.ANNOTATION_DIGEST: digest},
        }
        if have is not None:
            metadata["resourceVersion"] = str(have.version)
        body: Body = {"metadata": metadata, "data": data}
        if ref.kind == "Secret":
            body["type"] = "Opaque"
        return body


def _ref(write: Write) -> Ref:
    return write.desired.ref if isinstance(write, Apply) else write.observed.ref


def _template_of(write: Write) -> TemplateKey:
    if isinstance(write, Apply):
        return _template(write.desired)
    group = group_of(write.observed.labels)
    return group.template_key if group is not None else TemplateKey("", "")


def _others(body: Body) -> bool:
    """Whether anything but Trimtab's own apply has set a field of the object."""
    managers = body["metadata"].get("managedFields") or ()
    return any((m.get("manager"), m.get("operation")) != (FIELD_MANAGER, "Apply") for m in managers)


def _template(desired: Desired) -> TemplateKey:
    return TemplateKey(desired.labels[naming.LABEL_TEMPLATE_NAMESPACE], desired.labels[naming.LABEL_TEMPLATE])


def _shows_origin(have: Observed) -> bool:
    """Whether anything in the object names Trimtab: the admission policy for the operator's account requires that."""
    names = (*have.labels, *have.annotations)
    return (
        have.applied or group_of(have.labels) is not None or any(n.startswith("trimtab.dev/") for n in names)
    )


def _bare(ref: Ref, error: errors.ApiError) -> str:
    return (
        f"{ref} has lost every label and annotation of Trimtab, as after kubectl replace, and the API server refuses "
        f"to restore it ({error.status} {error.reason}). Delete it, or annotate it {naming.ANNOTATION_ADOPT}=true"
    )


def _failure(write: Write, error: errors.ApiError) -> Failure:
    ref = _ref(write)
    # The API server's message for a rejected Secret may quote data; only its code and reason are reported.
    detail = f"{error.status} {error.reason}" if ref.kind == "Secret" else str(error)
    message = f"{ref}: the API server refused the write: {detail}"
    return Failure(write, reasons.WRITE_FAILED, message, again=not errors.lasts(error), status=error.status)
