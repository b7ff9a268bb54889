"""UserPreferences, kept compact: one record of about 600 bytes each, indexed by group and by the user claimed.

Specs stay JSON text until somebody resolves them. A malformed object becomes a record that says so; it never
stops the list it came in.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from sys import intern
from typing import Any

import msgspec

from trimtab.core.objects import ObjectMeta
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.engine.store.deletions import Gone

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
    """One preference. ``values`` is canonical JSON text; ``problem`` says why the spec could not be read, and
    ``user`` is empty if that is what is wrong with it; ``oversize`` is the size of what is too large to keep."""

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
    """Fingerprint of the status that is being written: its event may come before the answer to the write.
    No fingerprint is -1, as no hash is."""
    wanted: int = -1
    """Fingerprint of the status that it should have, by the last verdict."""
    conditions: tuple[tuple[str, str, str], ...] = ()
    """(type, status, lastTransitionTime) as the cluster has them."""
    seen: int = 0

    def says_the_same(self, new: Preference) -> bool:
        """Whether ``new`` is this object after a status write of ours, or after a change of labels."""
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

    def claims_the_same(self, new: Preference) -> bool:
        """Whether ``new`` is this object, and nobody's place or user changes by it."""
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
    """A number that is equal for statuses that say the same, transition times apart. For this process only."""
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
            record.print = 0  # somebody else's status: ours replaces it
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


class _Contest:
    """Several preferences that claim one user of a template: oldest first, and how many of each group."""

    __slots__ = ("groups", "records")

    def __init__(self) -> None:
        self.records: list[Preference] = []
        self.groups: Counter[str] = Counter()

    def add(self, record: Preference) -> None:
        insort(self.records, record, key=_age)
        self.groups[record.group] += 1

    def remove(self, record: Preference) -> None:
        del self.records[self._place(record)]
        self.groups[record.group] -= 1
        if not self.groups[record.group]:
            del self.groups[record.group]

    def replace(self, old: Preference, new: Preference) -> None:
        self.records[self._place(old)] = new

    def _place(self, record: Preference) -> int:
        at = bisect_left(self.records, record.age, key=_age)
        while self.records[at] is not record:
            at += 1
        return at


def _age(record: Preference) -> tuple[str, str]:
    return record.age


class Preferences:
    """All preferences. ``dirty(group, namespace, user)`` is called for whatever must be looked at again: once for each
    group in which the user is claimed, with the namespace that caused it, however many claim it there.

    With ``hold`` set, deletions are handed to it instead, and take place by :meth:`remove`.
    """

    def __init__(self, dirty: Callable[[GroupKey, str, str], None]) -> None:
        self._dirty = dirty
        self.hold: Callable[[Gone], None] | None = None
        self._all: dict[tuple[str, str], Preference] = {}
        self._groups: dict[GroupKey, dict[tuple[str, str], Preference]] = {}
        self._claims: dict[TemplateKey, dict[str, Preference | _Contest]] = {}
        self._count = 0
        self._versions: dict[TemplateKey, int] = {}
        self._round = 0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Preference]:
        return iter(self._all.values())

    def get(self, namespace: str, name: str) -> Preference | None:
        return self._all.get((namespace, name))

    def members(self, key: GroupKey) -> dict[tuple[str, str], Preference]:
        """Every preference that names this group; not to be changed."""
        return self._groups.get(key, {})

    def groups_of(self, key: TemplateKey) -> list[GroupKey]:
        """The groups of a template that preferences name, whether it has them or not."""
        return [g for g in self._groups if g.template == key.name and g.namespace == key.namespace]

    def all_groups(self) -> list[GroupKey]:
        return list(self._groups)

    def claimants(self, template: TemplateKey, user: str) -> Sequence[Preference]:
        """The preferences that claim a user, the oldest first; not to be changed."""
        found = self._claims.get(template, {}).get(user)
        if found is None:
            return ()
        return found.records if isinstance(found, _Contest) else (found,)

    def version(self, template: TemplateKey) -> int:
        """Another one whenever who claims what of the template has changed; values do not count."""
        return self._versions.get(template, 0)

    def mark(self, template: TemplateKey, user: str, namespace: str) -> None:
        """Have all who claim the user looked at, for something that ``namespace`` caused."""
        found = self._claims.get(template, {}).get(user)
        if found is None:
            return
        for group in list(found.groups) if isinstance(found, _Contest) else (found.group,):
            self._dirty(GroupKey(template.namespace, template.name, group), namespace, user)

    # The sink of a reflector.

    def begin(self) -> None:
        self._round += 1

    def put(self, item: PreferenceObject) -> None:
        meta = item.metadata
        old = self._all.get((meta.namespace, meta.name))
        if old is not None and old.uid == meta.uid and int(meta.resourceVersion or 0) <= old.version:
            old.seen = self._round
            return
        new = read(item)
        new.seen = self._round
        if old is not None and old.says_the_same(new):
            old.version, old.print, old.conditions = new.version, new.print, new.conditions
            old.seen = self._round
            return
        if old is not None:
            self._carry(old, new)
            if old.claims_the_same(new):
                self._replace(old, new)
                return
            self._remove(old)
        self._insert(new)

    @staticmethod
    def _carry(old: Preference, new: Preference) -> None:
        """What was accepted may not be in the cluster's status yet: its write comes after rendering."""
        held = new.accepted.generation if new.accepted else -1
        if old.uid == new.uid and old.accepted is not None and old.accepted.generation > held:
            new.accepted, new.history = old.accepted, old.history

    def drop(self, item: PreferenceObject) -> None:
        """It is deleted, as somebody says."""
        old = self._all.get((item.metadata.namespace, item.metadata.name))
        if old is not None and old.uid == item.metadata.uid:
            version = max(old.version, int(item.metadata.resourceVersion or 0))
            (self.hold or self.remove)(_as_gone(old, version))

    def end(self, version: int) -> None:
        """A complete list as of ``version`` has ended: what it did not show is gone."""
        gone = [p for p in self._all.values() if p.seen != self._round and p.version <= version]
        for record in gone:
            (self.hold or self.remove)(_as_gone(record, version))

    def has(self, gone: Gone) -> bool:
        """Whether that very object is still here, as it was when it was deleted."""
        old = self._all.get((gone.namespace, gone.name))
        return old is not None and old.uid == gone.uid and old.version <= gone.version

    def remove(self, gone: Gone) -> None:
        """The deletion takes place."""
        if self.has(gone):
            self._remove(self._all[gone.namespace, gone.name])

    def _replace(self, old: Preference, new: Preference) -> None:
        self._all[new.key] = new
        self._groups[new.group_key][new.key] = new
        claims = self._claims[new.template]
        held = claims[new.user]
        if isinstance(held, _Contest):
            held.replace(old, new)
        else:
            claims[new.user] = new
        self._dirty(new.group_key, new.namespace, new.user)

    def _insert(self, record: Preference) -> None:
        self._all[record.key] = record
        self._groups.setdefault(record.group_key, {})[record.key] = record
        claims = self._claims.setdefault(record.template, {})
        held = claims.get(record.user)
        if held is None:
            claims[record.user] = record
        elif isinstance(held, _Contest):
            held.add(record)
        else:
            claims[record.user] = contest = _Contest()
            contest.add(held)
            contest.add(record)
        self._changed(record.template)
        self.mark(record.template, record.user, record.namespace)

    def _remove(self, record: Preference) -> None:
        del self._all[record.key]
        group = record.group_key
        members = self._groups[group]
        del members[record.key]
        if not members:
            del self._groups[group]
        claims = self._claims[record.template]
        held = claims[record.user]
        others_there = False
        if isinstance(held, _Contest):
            held.remove(record)
            others_there = record.group in held.groups
            if len(held.records) == 1:
                claims[record.user] = held.records[0]
        else:
            del claims[record.user]
            if not claims:
                del self._claims[record.template]
        self._changed(record.template)
        self.mark(record.template, record.user, record.namespace)
        if not others_there:
            self._dirty(group, record.namespace, record.user)

    def _changed(self, template: TemplateKey) -> None:
        """Numbers are never used twice, so that a template's may be forgotten with its last preference."""
        self._count += 1
        if template in self._claims:
            self._versions[template] = self._count
        else:
            self._versions.pop(template, None)


def _as_gone(record: Preference, version: int) -> Gone:
    return Gone(record.namespace, record.name, record.uid, version, record.created)
