"""UserPreferences, indexed by group and by the user that they claim."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.preference import Preference, PreferenceObject, read
from trimtab.engine.store.deletions import Gone


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
    """All preferences. ``dirty(group, namespace, user)`` is called for a user who must be evaluated again: once for
    each group in which preferences claim the user, with the namespace that caused it.

    With ``hold`` set, it receives deletions, which :meth:`remove` then carries out.
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
        """Changes whenever a claim on a user of the template changes; values do not count."""
        return self._versions.get(template, 0)

    def mark(self, template: TemplateKey, user: str, namespace: str) -> None:
        """Have all claims on the user evaluated again, for a change that ``namespace`` caused."""
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
        if old is not None and old.has_equal_content(new):
            old.version, old.print, old.conditions = new.version, new.print, new.conditions
            old.seen = self._round
            return
        if old is not None:
            self._carry(old, new)
            if old.has_equal_claim(new):
                self._replace(old, new)
                return
            self._remove(old)
        self._insert(new)

    @staticmethod
    def _carry(old: Preference, new: Preference) -> None:
        """The accepted values may not be in the cluster's status yet, which is written after the files."""
        held = new.accepted.generation if new.accepted else -1
        if old.uid == new.uid and old.accepted is not None and old.accepted.generation > held:
            new.accepted, new.history = old.accepted, old.history

    def drop(self, item: PreferenceObject) -> None:
        """The object was deleted."""
        old = self._all.get((item.metadata.namespace, item.metadata.name))
        if old is not None and old.uid == item.metadata.uid:
            version = max(old.version, int(item.metadata.resourceVersion or 0))
            (self.hold or self.remove)(_as_gone(old, version))

    def end(self, version: int) -> None:
        """A complete list as of ``version`` has ended: objects that it did not contain were deleted."""
        gone = [p for p in self._all.values() if p.seen != self._round and p.version <= version]
        for record in gone:
            (self.hold or self.remove)(_as_gone(record, version))

    def has(self, gone: Gone) -> bool:
        """Whether the object is still here, in the version that was deleted."""
        old = self._all.get((gone.namespace, gone.name))
        return old is not None and old.uid == gone.uid and old.version <= gone.version

    def remove(self, gone: Gone) -> None:
        """Carry out the deletion."""
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
