"""The files that one group's objects should hold, updated user by user, so that a change costs what it touches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from trimtab.core import naming
from trimtab.core.refs import Ref
from trimtab.core.render.entries import Owner, in_shard
from trimtab.core.render.objects import GroupObjects
from trimtab.core.render.plan import Desired, Observed
from trimtab.core.render.render import CONFIG_MAP, KINDS, SECRET, Entries, named
from trimtab.core.render.shard import Shards, adopted
from trimtab.core.resolve.preference import Preference

NOTHING = Entries()
HeldShards = Mapping[int, Mapping[str, Observed]]
"""The objects of each shard by their kind."""


@dataclass(frozen=True, slots=True)
class OwnObject:
    """A user's own objects (delivery PerUser): their location and entries."""

    namespace: str
    name: str
    entries: Entries


@dataclass(slots=True)
class GroupFiles:
    """``objects`` builds the objects of the group's revision. ``touched`` are the objects whose desired content may
    differ from the cluster's. Entries are replaced, never changed in place: observed objects share them."""

    objects: GroupObjects
    shards: Shards = field(default_factory=Shards)
    content: dict[int, Entries] = field(default_factory=dict)
    """The entries of each shard"""
    own: dict[str, OwnObject] = field(default_factory=dict)
    own_refs: dict[Ref, str] = field(default_factory=dict)
    """Users by their own objects"""
    fixed: dict[Ref, Desired] = field(default_factory=dict)
    """The group's own objects"""
    touched: set[Ref] = field(default_factory=set)

    def switch(self, objects: GroupObjects) -> None:
        """Render another revision: every object may change."""
        self.touched |= set(self.refs())
        self.objects = objects
        self.fixed = {built.ref: built for built in objects.of_group()}
        self.touched |= set(self.refs())

    # Objects.

    def refs(self) -> Iterator[Ref]:
        """Every object that should exist."""
        yield from self.fixed
        for number, entries in self.content.items():
            for ref in self._shard_refs(number):
                if entries.of(ref.kind):
                    yield ref
        yield from self.own_refs

    def desired(self, ref: Ref, uid: str) -> Desired | None:
        """The object as it should be; None if it should not exist. ``uid`` is the recorded one."""
        fixed, user = self.fixed.get(ref), self.own_refs.get(ref)
        if fixed is not None:
            return replace(fixed, uid=uid)
        if user is not None:
            return self.objects.own(ref, user, self.own[user].entries.of(ref.kind), uid)
        number = self.shard_number(ref)
        if number is None or ref.namespace != self.objects.target or number not in self.content:
            return None
        data = self.content[number].of(ref.kind)
        return self.objects.shard(ref, number, data, uid) if data else None

    def without_data(self, ref: Ref, uid: str) -> Desired:
        """An object that should not exist: entries that must stay for now are added to it."""
        number = self.shard_number(ref)
        if number is None:
            return self.objects.built(ref, {}, uid)
        return self.objects.shard(ref, number, {}, uid)

    def owner(self, ref: Ref, have: Observed | None) -> Owner | None:
        """Which user each entry of an object belongs to; None if all are the group's own."""
        if self.shard_number(ref) is not None:
            return in_shard
        user = self.own_refs.get(ref) or (have.annotations.get(naming.ANNOTATION_USER) if have else None)
        return (lambda _: user) if user is not None else None

    def shard_number(self, ref: Ref) -> int | None:
        return naming.shard_number(self.objects.key.template, self.objects.key.group, ref.name)

    def _shard_refs(self, number: int) -> Iterator[Ref]:
        name = naming.shard_object(self.objects.key.template, self.objects.key.group, number)
        for kind in KINDS:
            yield Ref(kind, self.objects.target, name)

    # Users.

    @property
    def user_count(self) -> int:
        """How many users have files."""
        return len(self.shards.of) + len(self.own)

    def has(self, user: str) -> bool:
        return user in self.shards.of or user in self.own

    def users(self) -> Iterator[str]:
        """Every user with files, shard by shard."""
        for members in self.shards.members.values():
            yield from members
        yield from self.own

    def users_in(self, ref: Ref) -> Iterable[str]:
        """The users whose files an object holds."""
        number = self.shard_number(ref)
        if number is not None:
            return self.shards.members.get(number, ())
        return (self.own_refs[ref],) if ref in self.own_refs else ()

    def refs_of(self, user: str) -> Iterator[Ref]:
        """The objects that hold a user's files."""
        number = self.shards.of.get(user)
        if number is not None:
            yield from self._shard_refs(number)
        own = self.own.get(user)
        if own is not None:
            for kind in KINDS:
                yield Ref(kind, own.namespace, own.name)

    def set_user(self, holder: Preference, entries: Entries, delivery: str) -> None:
        """The user's files from now on; ``holder`` is the preference that holds the user."""
        if delivery == "Sharded":
            self._drop_own(holder.user)
            self._set_in_shard(holder.user, named(holder.user, entries))
        elif delivery == "PerUser":
            self._drop_from_shard(holder.user)
            self._set_own(holder, entries)
        else:
            self.drop_user(holder.user)

    def drop_user(self, user: str) -> None:
        self._drop_from_shard(user)
        self._drop_own(user)

    def drop_objects_of_others(self, holder: Preference) -> None:
        """Drop a user's own objects next to another preference than the one that holds the user now."""
        own = self.own.get(holder.user)
        location = holder.namespace, naming.user_object(self.objects.key.template, holder.name)
        if own is not None and (own.namespace, own.name) != location:
            self._drop_own(holder.user)

    def return_user(self, user: str, refused: Ref, surplus: Iterable[Ref]) -> None:
        """Keep a user, who was to move to the shard that was ``refused``, in the one that still has their entries, if
        one of ``surplus`` does."""
        number = self.shards.of.get(user)
        before = (self.shard_number(ref) for ref in surplus if ref.namespace == self.objects.target)
        home = next((found for found in before if found is not None), None)
        if number is None or home is None or number != self.shard_number(refused):
            return
        entries = _of_user(self.content[number], user)
        self._drop_from_shard(user)
        self.shards.adopt(user, home, entries.size())
        self._replace(home, user, entries)

    # What the cluster holds already.

    def adopt_shards(self, held: HeldShards) -> Iterator[None]:
        """Start with these shards and their users. Yields between small steps."""
        sizes: dict[int, list[tuple[str, int]]] = {}
        for number, kinds in held.items():
            # an entry without a dot belongs to no user, so that no later removal of a user would delete it
            config, secret = (
                {n: t for n, t in kinds[kind].data.items() if "." in n} if kind in kinds else {}
                for kind in (CONFIG_MAP, SECRET)
            )
            self.content[number] = Entries(config, secret)
            sizes[number] = list(_sizes(self.content[number]).items())
            yield
        self.shards = adopted(sizes)
        for number, listed in sizes.items():
            for user, _ in listed:
                if self.shards.of[user] != number:  # an interrupted move
                    self._replace(number, user, NOTHING)
            yield

    def adopt_own(self, have: Observed, user: str) -> None:
        """Start with this object as the user's own."""
        before = self.own.get(user)
        other = before.entries if before and before.name == have.ref.name else NOTHING
        entries = (
            Entries(have.data, other.secret)
            if have.ref.kind == CONFIG_MAP
            else Entries(other.config, have.data)
        )
        self.own[user] = OwnObject(have.ref.namespace, have.ref.name, entries)
        self.own_refs[have.ref] = user

    def _set_in_shard(self, user: str, entries: Entries) -> None:
        if not (entries.config or entries.secret):
            self._drop_from_shard(user)
            return
        number = self.shards.of.get(user)
        if number is not None and _of_user(self.content[number], user) == entries:
            return
        placement = self.shards.place(user, entries.size())
        self._replace(placement.number, user, entries)
        for move in placement.moves:
            moved = _of_user(self.content[move.source], move.user)
            self._replace(move.target, move.user, moved)
            self._replace(move.source, move.user, NOTHING)

    def _drop_from_shard(self, user: str) -> None:
        for number in self.shards.remove(user):
            self._replace(number, user, NOTHING)

    def _replace(self, number: int, user: str, entries: Entries) -> None:
        before = self.content.get(number, NOTHING)
        start = f"{user}."
        after = Entries(
            {**{n: t for n, t in before.config.items() if not n.startswith(start)}, **entries.config},
            {**{n: t for n, t in before.secret.items() if not n.startswith(start)}, **entries.secret},
        )
        if after.config or after.secret:
            self.content[number] = after
        else:
            self.content.pop(number, None)
        self.touched |= set(self._shard_refs(number))

    def _set_own(self, holder: Preference, entries: Entries) -> None:
        name = naming.user_object(self.objects.key.template, holder.name)
        desired = OwnObject(holder.namespace, name, entries)
        if self.own.get(holder.user) == desired:
            return
        self._drop_own(holder.user)
        self.own[holder.user] = desired
        for kind in KINDS:
            if entries.of(kind):
                ref = Ref(kind, desired.namespace, name)
                self.own_refs[ref] = holder.user
                self.touched.add(ref)

    def _drop_own(self, user: str) -> None:
        own = self.own.pop(user, None)
        if own is not None:
            for kind in KINDS:
                ref = Ref(kind, own.namespace, own.name)
                if self.own_refs.pop(ref, None) is not None:
                    self.touched.add(ref)


def _of_user(entries: Entries, user: str) -> Entries:
    start = f"{user}."
    return Entries(
        {n: t for n, t in entries.config.items() if n.startswith(start)},
        {n: t for n, t in entries.secret.items() if n.startswith(start)},
    )


def _sizes(entries: Entries) -> dict[str, int]:
    """Bytes that each user has in a shard."""
    sizes: dict[str, int] = {}
    for data in (entries.config, entries.secret):
        for name, text in data.items():
            user = in_shard(name)
            sizes[user] = (
                sizes.get(user, 0) + len(name) + (len(text) if text.isascii() else len(text.encode()))
            )
    return sizes
