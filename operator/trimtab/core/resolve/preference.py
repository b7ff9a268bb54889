"""A UserPreference as decisions read it: one compact record of about 600 bytes.

The values stay JSON text until they are resolved. A malformed object becomes a record whose ``problem`` states that;
it never fails the list that contains it.
"""

from __future__ import annotations

import re
from sys import intern
from typing import Any

import msgspec

from trimtab.core.objects import ObjectMeta
from trimtab.core.refs import GroupKey, TemplateKey

_canonical = msgspec.json.Encoder(order="deterministic").encode
EMPTY = b"{}"
VALUES_BYTES = 512 * 1024
"""How large a preference's values may be: its status holds what was accepted as well, and both, with what else is in
the object, must stay below the 1.5 MiB that etcd takes."""
_USER = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
ABSENT = msgspec.Raw(b"null")
"""Raw fields have a default of their own: ``Raw | None`` would take nothing but null."""


class _TemplateRef(msgspec.Struct, gc=False):
    name: str
    namespace: str | None = None


class _Spec(msgspec.Struct, kw_only=True, gc=False, rename="camel"):
    template_ref: _TemplateRef
    group: str
    user: str | None = None
    schema_version: int | None = None
    values: msgspec.Raw = msgspec.Raw(EMPTY)
    sealed_values: msgspec.Raw = ABSENT
    secret_refs: msgspec.Raw = ABSENT
    flags: msgspec.Raw = ABSENT
    suspend: bool = False


class PreferenceObject(msgspec.Struct, gc=False):
    """A UserPreference as listed: spec and status stay raw, so that one malformed object harms no other."""

    metadata: ObjectMeta
    spec: msgspec.Raw = msgspec.Raw(EMPTY)
    status: msgspec.Raw = msgspec.Raw(EMPTY)


_spec = msgspec.json.Decoder(_Spec)


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """Inputs that are in force: what ``status.accepted`` holds."""

    generation: int
    group: str
    schema_version: int | None
    values: bytes


class Preference(msgspec.Struct, gc=False):
    """One preference. ``values`` is canonical JSON text; ``problem`` states why the spec could not be read
    (``user`` is empty if its name is the reason); ``oversize`` is the size of values that are too large to keep."""

    namespace: str
    name: str
    uid: str
    version: int
    generation: int
    created: str
    template: TemplateKey
    group: str
    user: str
    schema_version: int | None
    values: bytes
    suspend: bool
    unsupported: tuple[str, ...] = ()
    problem: str = ""
    oversize: int = 0
    accepted: Accepted | None = None
    history: bytes | None = None
    print: int = 0
    """Fingerprint of the status that the cluster has."""
    expected: int = -1
    """Fingerprint of the status that is being written: its event may arrive before the response to the write.
    No fingerprint is -1, as no hash is."""
    wanted: int = -1
    """Fingerprint of the status that it should have, by the latest verdict."""
    conditions: tuple[tuple[str, str, str], ...] = ()
    """(type, status, lastTransitionTime) as the cluster has them."""
    seen: int = 0

    def has_equal_content(self, new: Preference) -> bool:
        """Whether ``new`` is this object after a status write by the operator, or after a change of labels."""
        same = self.uid == new.uid and self.generation == new.generation
        return same and new.print in (self.print, self.expected)

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def group_key(self) -> GroupKey:
        return GroupKey(self.template.namespace, self.template.name, self.group)

    @property
    def age(self) -> tuple[str, str]:
        """Oldest first: who holds a contested user, and who is in a full group."""
        return self.created, self.uid

    def has_equal_claim(self, new: Preference) -> bool:
        """Whether ``new`` is this object, and neither its user nor its age or group has changed."""
        return (self.uid, self.created, self.template, self.group, self.user) == (
            new.uid,
            new.created,
            new.template,
            new.group,
            new.user,
        )


def canonical(raw: bytes | msgspec.Raw | Any) -> bytes:
    """The same JSON however it was spelt: sorted, compact."""
    value = msgspec.json.decode(raw) if isinstance(raw, bytes | msgspec.Raw) else raw
    return _canonical(value)


def fingerprint(status: dict[str, Any]) -> int:
    """A number that is equal for statuses that differ only in transition times. It is valid in this process only."""
    spoken = [
        (c["type"], c["status"], c.get("reason"), c.get("message")) for c in status.get("conditions", ())
    ]
    parts = tuple(_canonical(status.get(p)) for p in ("violations", "warnings", "accepted", "history"))
    return hash((status.get("observedGeneration"), tuple(spoken), parts))


def read(item: PreferenceObject) -> Preference:
    """Parse a listed object; never raises."""
    meta = item.metadata
    record = Preference(
        namespace=intern(meta.namespace),
        name=meta.name,
        uid=meta.uid,
        version=int(meta.resourceVersion or 0),
        generation=meta.generation,
        created=intern(meta.creationTimestamp or ""),
        template=TemplateKey("", ""),
        group="",
        user=meta.name,
        schema_version=None,
        values=EMPTY,
        suspend=False,
    )
    try:
        _read_spec(record, _spec.decode(item.spec))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        record.problem = f"spec cannot be read: {error}"
    if item.status not in (b"", EMPTY, b"null"):
        try:
            _read_status(record, item.status)
        except (
            msgspec.MsgspecError,
            UnicodeError,
            RecursionError,
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
        ):
            record.print = 0  # another client wrote the status; the operator's replaces it
    return record


def _read_spec(record: Preference, spec: _Spec) -> None:
    namespace = spec.template_ref.namespace or record.namespace
    record.template = TemplateKey(intern(namespace), intern(spec.template_ref.name))
    record.group = intern(spec.group)
    record.user = spec.user if spec.user and spec.user != record.name else record.name
    if not _USER.match(record.user):  # the CRD refuses these; data keys of shards rely on it
        record.user, record.problem = "", "spec.user (default: metadata.name) must match [A-Za-z0-9_-]{1,63}"
    record.schema_version = spec.schema_version
    record.suspend = spec.suspend
    record.values = canonical(spec.values)
    if len(record.values) > VALUES_BYTES:
        record.values, record.oversize = EMPTY, len(record.values)
    if not record.values.startswith(b"{"):
        record.values, record.problem = EMPTY, "spec.values must be a map of keys to values"
    unset = (b"{}", b"[]", b"null")
    record.unsupported = tuple(
        f"spec.{name}"
        for name, raw in (
            ("sealedValues", spec.sealed_values),
            ("secretRefs", spec.secret_refs),
            ("flags", spec.flags),
        )
        if bytes(raw) not in unset
    )


def _read_status(record: Preference, raw: msgspec.Raw) -> None:
    status = msgspec.json.decode(raw)
    accepted = status.get("accepted")
    if accepted is not None:
        values = _canonical(accepted.get("values") or {})
        record.accepted = Accepted(
            int(accepted["generation"]),
            intern(accepted.get("group") or record.group),
            accepted.get("schemaVersion"),
            record.values if values == record.values else values,
        )
    if status.get("history"):
        record.history = _canonical(status["history"])
    record.conditions = tuple(
        (intern(c["type"]), intern(c["status"]), intern(c.get("lastTransitionTime") or ""))
        for c in status.get("conditions") or ()
    )
    record.print = fingerprint(status)
