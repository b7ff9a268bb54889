"""Carries out planned writes: server-side apply over exactly the version that was planned against.

What Trimtab did not make is never overwritten: an object is created only where a read has just found none, and
taken over only if it asks for that by annotation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from trimtab.core import naming, reasons
from trimtab.core.plan import Apply, Delete, Desired, Observed, Ref, Write, differs
from trimtab.engine.metrics import DRIFT, WRITES
from trimtab.engine.observed import OutputObject, Outputs, group_of, observe
from trimtab.kube import errors
from trimtab.kube.port import FIELD_MANAGER, Api, Body
from trimtab.kube.resources import OUTPUTS

log = logging.getLogger(__name__)

PARALLEL = 8
_PASSING = (401, 408, 409, 410, 429)
_OWNER_LABELS = (
    naming.LABEL_MANAGED_BY,
    naming.LABEL_TEMPLATE,
    naming.LABEL_TEMPLATE_NAMESPACE,
    naming.LABEL_GROUP,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A write that did not happen. ``again`` says whether the same write may succeed by itself soon, ``status`` is the
    API server's answer as an HTTP code (0: there was none)."""

    write: Write
    reason: str
    message: str
    again: bool
    status: int = 0

    @property
    def ref(self) -> Ref:
        """The object that was to be written."""
        return _ref(self.write)


class Writer:
    """``digest`` is keyed: it gives what the digest annotation of an object says of its data."""

    def __init__(self, api: Api, outputs: Outputs, digest: Callable[[Ref, object], str]) -> None:
        self._api, self._outputs, self._digest = api, outputs, digest
        self._slots = asyncio.Semaphore(PARALLEL)

    async def write(self, write: Write) -> Failure | None:
        """One write; None if it happened.

        :raises trimtab.kube.errors.NotLeaderError: the Lease was lost.
        """
        async with self._slots:
            try:
                if isinstance(write, Delete):
                    await self._delete(write.observed)
                    return None
                return await self._apply(write)
            except errors.ConflictError:
                return await self._refresh(write)
            except errors.ApiError as error:
                return _failure(write, error)

    async def _apply(self, write: Apply) -> Failure | None:
        desired, have = write.desired, write.observed
        if have is None or not _ours(have, desired):
            have, ours = await self._live(desired)
            if have is not None and not ours:
                return Failure(write, reasons.CONFLICT, _foreign(desired, have), again=False)
        body = self._body(desired, have)
        answer = await self._api.apply(OUTPUTS[desired.ref.kind], body, force=have is not None)
        if have is None and _others(answer):
            return await self._give_back(write, answer)
        observed = self._outputs.wrote(desired.ref.kind, answer)
        if differs(desired, observed):
            observed = await self._remove_foreign_entries(desired, observed, answer)
        if observed.data == desired.data:
            observed.data = desired.data  # one copy in memory, not two
        WRITES.labels(desired.ref.kind, "apply").inc()
        if write.drift:
            DRIFT.inc()
            log.warning("put back a hand edit", extra={"object": str(desired.ref)})
        return None

    async def _give_back(self, write: Apply, answer: Body) -> Failure:
        """Somebody made the object after our look: applying nothing gives up every field of ours in it."""
        ref = write.desired.ref
        metadata = {
            "name": ref.name,
            "namespace": ref.namespace,
            "resourceVersion": answer["metadata"]["resourceVersion"],
        }
        left = await self._api.apply(OUTPUTS[ref.kind], {"metadata": metadata})
        have = observe(ref.kind, msgspec.convert(left, OutputObject))
        return Failure(write, reasons.CONFLICT, _foreign(write.desired, have), again=False)

    async def _remove_foreign_entries(self, desired: Desired, observed: Observed, answer: Body) -> Observed:
        """Apply leaves what other managers own; an output has nobody else's entries."""
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
        """Let an output go: it stays as it is, but is no longer ours (deletionPolicy Retain).

        :raises trimtab.kube.errors.ApiError: the API server refused.
        """
        marks = {name: None for name in observed.labels if name.startswith("trimtab.dev/")}
        patch = {
            "metadata": {
                "resourceVersion": str(observed.version),
                "labels": {**marks, naming.LABEL_MANAGED_BY: None},
            }
        }
        ref = observed.ref
        await self._api.merge_patch(OUTPUTS[ref.kind], ref.namespace, ref.name, patch)
        self._outputs.forget(observed)
        WRITES.labels(ref.kind, "release").inc()

    async def _live(self, desired: Desired) -> tuple[Observed | None, bool]:
        """What stands in the object's place now, and whether it is ours to write."""
        ref = desired.ref
        try:
            body = await self._api.get(OUTPUTS[ref.kind], ref.namespace, ref.name)
        except errors.NotFoundError:
            return None, True
        have = observe(ref.kind, msgspec.convert(body, OutputObject))
        return have, _ours(have, desired) or _stripped(body, desired)

    async def _refresh(self, write: Write) -> Failure | None:
        """Somebody wrote first. Look at what is there now; the next plan decides anew."""
        ref = _ref(write)
        try:
            body = await self._api.get(OUTPUTS[ref.kind], ref.namespace, ref.name)
        except errors.NotFoundError:
            if write.observed is not None:
                self._outputs.forget(write.observed)
        except errors.ApiError as error:
            return replace(_failure(write, error), again=True)
        else:
            labels = body["metadata"].get("labels") or {}
            if group_of(labels) is not None:
                self._outputs.wrote(ref.kind, body)
            elif write.observed is not None:
                self._outputs.forget(write.observed)
        return Failure(
            write,
            reasons.WRITE_FAILED,
            f"{ref}: changed by somebody else meanwhile; trying again",
            again=True,
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


def is_personal(item: Desired | Observed) -> bool:
    """Whether the object is one user's own (delivery PerUser)."""
    return naming.ANNOTATION_USER in item.annotations


def _ref(write: Write) -> Ref:
    return write.desired.ref if isinstance(write, Apply) else write.observed.ref


def _lasts(error: errors.ApiError) -> bool:
    """Whether a refusal is of this object (quota, policy, a namespace that goes or is gone) and stays until somebody
    does something. What is asked of everybody, or of nobody a moment later, passes."""
    return 400 <= error.status < 500 and error.status not in _PASSING


def _ours(have: Observed, desired: Desired) -> bool:
    if have.annotations.get(naming.ANNOTATION_ADOPT) == "true":
        return True
    owner, wanted = group_of(have.labels), group_of(desired.labels)
    if owner is None or wanted is None:
        return False
    user = naming.ANNOTATION_USER
    moved = owner.template_key == wanted.template_key and have.annotations.get(
        user
    ) == desired.annotations.get(user)
    return owner == wanted or (
        moved and is_personal(desired)
    )  # a user who changed groups keeps their objects


def _others(body: Body) -> bool:
    """Whether anybody but Trimtab has set a field of the object."""
    return any(m.get("manager") != FIELD_MANAGER for m in body["metadata"].get("managedFields") or ())


def _stripped(body: Body, desired: Desired) -> bool:
    """Whether Trimtab made it and somebody took some, but not all, of its labels off."""
    labels = body["metadata"].get("labels") or {}
    left = [name for name in _OWNER_LABELS if name in labels]
    managers = body["metadata"].get("managedFields") or ()
    return (
        bool(left)
        and all(labels[name] == desired.labels[name] for name in left)
        and any((m.get("manager"), m.get("operation")) == (FIELD_MANAGER, "Apply") for m in managers)
    )


def _foreign(desired: Desired, have: Observed) -> str:
    owner = group_of(have.labels)
    whose = f"belongs to group {owner}" if owner else "was not made by Trimtab"
    return (
        f"{desired.ref} exists and {whose}; it was left alone. Rename or delete it, "
        f"or annotate it {naming.ANNOTATION_ADOPT}=true to let Trimtab take it over"
    )


def _failure(write: Write, error: errors.ApiError) -> Failure:
    ref = _ref(write)
    # The API server's text for a rejected Secret may quote data; only its code and reason are repeated.
    detail = f"{error.status} {error.reason}" if ref.kind == "Secret" else str(error)
    message = f"{ref}: the API server refused the write: {detail}"
    return Failure(write, reasons.WRITE_FAILED, message, again=not _lasts(error), status=error.status)
