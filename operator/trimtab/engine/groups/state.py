"""One group as it should be in the cluster, kept up to date user by user, so that a change costs what it touches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from trimtab.api.config_template import GroupSpec
from trimtab.core import naming
from trimtab.core.evaluate.user import Outcome
from trimtab.core.refs import GroupKey, Ref, WorkloadKey
from trimtab.core.render.entries import Owner, in_shard
from trimtab.core.render.objects import GroupObjects, target_of
from trimtab.core.render.origin import Claims, is_managed, is_proved, place, requests_adoption
from trimtab.core.render.plan import Desired, Observed
from trimtab.core.render.render import CONFIG_MAP, KINDS, SECRET, Entries, named
from trimtab.core.render.shard import Shards, adopted
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.rollout.revisions import RevisionSwitch
from trimtab.core.rollout.user_share import UserShare, is_included
from trimtab.core.schema.template import Schema
from trimtab.engine.groups.refusals import Refusals
from trimtab.engine.groups.writer import Failure
from trimtab.engine.scheduling.retry import Retry

NOTHING = Entries()


@dataclass(frozen=True, slots=True)
class OwnObject:
    """A user's own objects (delivery PerUser): where, and what is in them."""

    namespace: str
    name: str
    entries: Entries


@dataclass(frozen=True, slots=True)
class ShareState:
    """The share of the users who are on something else already. ``position`` gives each user's place in 0..1, of
    which those below ``percent`` of a hundred belong to it, and ``first`` whatever place they have."""

    served: CompiledContent
    view: GroupView
    percent: int
    revision: int
    first: str
    position: Callable[[str], float]

    def has(self, user: str) -> bool:
        return is_included(user, self.position(user), self.percent, self.first)


@dataclass(frozen=True, slots=True)
class LimitBasis:
    """All that decides who is beyond a group's limit; ``version`` counts claims, and what namespaces admit."""

    schema: Schema
    spec: GroupSpec
    version: tuple[int, int]

    def same(self, other: LimitBasis | None) -> bool:
        """Compared by identity: what is compiled again is looked at again."""
        if other is None or self.version != other.version:
            return False
        return self.schema is other.schema and self.spec is other.spec


@dataclass(frozen=True, slots=True)
class Waiting:
    """An object that could not be written, and whose entries it kept back. ``searching``: all that it needs is more
    passes that find the entries it is refused for."""

    failure: Failure
    users: frozenset[str]
    searching: bool = False


@dataclass(slots=True)
class GroupState:
    """``touched`` are the objects whose desired content may differ from the cluster's; ``written`` is what we
    know to have left there. Content mappings are replaced, never changed in place: observed objects share them."""

    key: GroupKey
    served: CompiledContent
    view: GroupView
    target: str
    revision: int
    claims: Claims
    shards: Shards = field(default_factory=Shards)
    content: dict[int, Entries] = field(default_factory=dict)
    own: dict[str, OwnObject] = field(default_factory=dict)
    own_refs: dict[Ref, str] = field(default_factory=dict)
    fixed: dict[Ref, Desired] = field(default_factory=dict)
    written: dict[Ref, Desired] = field(default_factory=dict)
    touched: set[Ref] = field(default_factory=set)
    uids: dict[Ref, str] = field(default_factory=dict)
    """The group's own objects by their uids: those that status records, and those that were proved since"""
    adopted: set[Ref] = field(default_factory=set)
    """Those of them whose annotation lets Trimtab take over whatever stands there"""
    foreign: set[Ref] = field(default_factory=set)
    """Objects with the group's labels that Trimtab did not make"""
    upgrading: bool = False
    """Whether objects from before the first marks may be left, so that status records no uid yet"""
    invalid: set[tuple[str, str]] = field(default_factory=set)
    over_limit: frozenset[tuple[str, str]] = frozenset()
    limit_basis: LimitBasis | None = None
    unmoved: str = ""
    """Why it cannot be moved to what it shall serve, if so"""
    objects: Retry = field(default_factory=Retry)
    """When ``failed`` is retried"""
    failed: dict[Ref, Waiting] = field(default_factory=dict)
    """Objects that could not be written"""
    moving: set[str] = field(default_factory=set)
    """Users who have not been judged against the group's present revision yet"""
    later: dict[str, str] = field(default_factory=dict)
    """Users who are judged again then, by the namespaces of their preferences: nothing could be said of them"""
    tries: Counter[Ref] = field(default_factory=Counter)
    """Times in a row that an object has failed by what may pass"""
    refusals: Refusals = field(default_factory=Refusals)
    """Users' entries that the API server refuses"""
    lacking: dict[Ref, set[str]] = field(default_factory=dict)
    """Who lacks an entry in an object, by any failure: their old entries elsewhere stay"""
    lacks: Counter[str] = field(default_factory=Counter)
    """In how many objects a user lacks an entry"""
    surplus: dict[Ref, set[str]] = field(default_factory=dict)
    """Who has entries in an object that should go"""
    restarts: Retry = field(default_factory=lambda: Retry(0.0))
    """When workloads are restarted if they need it: immediately after a change of the rendered content"""
    workload_problems: tuple[str, ...] = ()
    elsewhere: frozenset[WorkloadKey] = frozenset()
    """Workloads that an older template lists as well, and restarts"""
    shared: tuple[str, ...] = ()
    """What is to know of workloads that other templates list as well"""
    turn: str = ""
    """Which workload cannot be told to restart yet, as others restart, for people"""
    back: bool = False
    """Whether a rollout takes it back to what was served before: such restarts come first"""
    share: ShareState | None = None
    settled: bool = True
    """Whether no rollout is under way here, so that what is served well is stable."""

    @property
    def failing(self) -> dict[Ref, Waiting]:
        """What cannot be written, whoever's entries are left out."""
        return {ref: waiting for ref, waiting in self.failed.items() if not waiting.searching}

    @property
    def workloads(self) -> list[WorkloadKey]:
        """Those that what it serves lists."""
        listed = self.view.group.spec.workloads or ()
        return [WorkloadKey(workload.kind, self.target, workload.name) for workload in listed]

    def view_of(self, user: str) -> GroupView:
        """What the user is judged and served by."""
        return self.share.view if self.share is not None and self.share.has(user) else self.view

    def is_on(self, switch: RevisionSwitch, revision: int) -> bool:
        """Whether the group renders this revision, with this share of its users on another one."""
        share = self.share and UserShare(self.share.served.components, self.share.percent, self.share.first)
        return (self.served.components, self.revision, share) == (switch.content, revision, switch.share)

    # Taking over what the cluster holds.

    def adopt(
        self,
        observed: Iterable[Observed],
        targets: Container[str],
        holder: Callable[[Observed, str], str | None],
    ) -> Iterator[None]:
        """Start from what is there: assignments are sticky across restarts, and content is compared, not rewritten.

        Content is taken only of what is proved and stands where the group's users have their files: shards in one of
        the ``targets``, a user's own objects beside the preference that holds the user (``holder`` gives whose such
        an object is, by its preference's name). Yields now and then, so that others can have the event loop.
        """
        self.upgrading = self.claims.upgrading
        self.uids = {ref: uid for ref, uid in self.claims.recorded.items() if uid}
        held: dict[int, dict[str, Observed]] = {}
        for have in observed:
            yield
            found = place(have.ref, self.key.template, self.key.group)
            if found is None or not self.claims.prove(have):
                self.foreign.add(have.ref)
                continue
            self.touched.add(have.ref)
            self.uids[have.ref] = have.uid
            if found.shard is not None and have.ref.namespace in targets:
                kinds = held.setdefault(found.shard, {})
                if have.ref.kind not in kinds or have.ref.namespace == self.target:
                    kinds[have.ref.kind] = have
            elif found.preference is not None:
                user = holder(have, found.preference)
                if user is not None:
                    self._adopt_own(have, user)
        yield from self._adopt_shards(held)

    def _adopt_shards(self, held: Mapping[int, Mapping[str, Observed]]) -> Iterator[None]:
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
                if self.shards.of[user] != number:  # a move that was cut short
                    self._replace(number, user, NOTHING)
            yield

    def _adopt_own(self, have: Observed, user: str) -> None:
        before = self.own.get(user)
        other = before.entries if before and before.name == have.ref.name else NOTHING
        entries = (
            Entries(have.data, other.secret)
            if have.ref.kind == CONFIG_MAP
            else Entries(other.config, have.data)
        )
        self.own[user] = OwnObject(have.ref.namespace, have.ref.name, entries)
        self.own_refs[have.ref] = user

    def _shard_number(self, ref: Ref) -> int | None:
        return naming.shard_number(self.key.template, self.key.group, ref.name)

    def owns(self, have: Observed) -> bool:
        """Whether the object is this group's own, wherever its outputs belong now."""
        found = place(have.ref, self.key.template, self.key.group)
        return found is not None and is_proved(have, self.claims.mark(have.ref), self.uids.get(have.ref, ""))

    # What should be.

    def set_view(
        self, served: CompiledContent, view: GroupView, revision: int, share: ShareState | None = None
    ) -> None:
        """Serve another revision: every object may change."""
        self.touched |= set(self.refs())
        self.served, self.view, self.revision, self.share = served, view, revision, share
        self.restarts.restart()
        self.turn = ""
        self.target = target_of(self.key, view)
        self.fixed = {made.ref: made for made in self._objects.of_group()}
        self.touched |= set(self.refs())

    @property
    def _objects(self) -> GroupObjects:
        return GroupObjects(self.key, self.view, self.revision, self.claims.mark)

    def users(self) -> Iterator[str]:
        """Every user that something is rendered for, shard by shard."""
        for members in self.shards.members.values():
            yield from members
        yield from self.own

    def users_in(self, ref: Ref) -> Iterable[str]:
        """The users whose files an object holds."""
        number = self._shard_number(ref)
        if number is not None:
            return self.shards.members.get(number, ())
        return (self.own_refs[ref],) if ref in self.own_refs else ()

    def has(self, user: str) -> bool:
        return user in self.shards.of or user in self.own

    def set_user(self, holder: Preference, outcome: Outcome) -> None:
        """Take over what the user's preference came to."""
        if outcome.outside:
            self.drop_user(holder.user)
            return
        if outcome.entries is None:
            return
        delivery = self.view_of(holder.user).schema.user_delivery
        if delivery == "Sharded":
            self._drop_own(holder.user)
            self._shard(holder.user, named(holder.user, outcome.entries))
        elif delivery == "PerUser":
            self._drop_shard(holder.user)
            self._set_own(holder, outcome.entries)
        else:
            self.drop_user(holder.user)

    def hand_over(self, holder: Preference) -> None:
        """Drop a user's own objects beside another preference than the holder's: who held the user before left them."""
        own = self.own.get(holder.user)
        place = holder.namespace, naming.user_object(self.key.template, holder.name)
        if own is not None and (own.namespace, own.name) != place:
            self._drop_own(holder.user)

    def drop_user(self, user: str) -> None:
        self._drop_shard(user)
        self._drop_own(user)

    def _shard(self, user: str, entries: Entries) -> None:
        if not (entries.config or entries.secret):
            self._drop_shard(user)
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

    def take_back(self, user: str, unmade: Ref) -> None:
        """Keep a user, who was to move to a shard that cannot be made, in the one with their old entries, if any."""
        number = self.shards.of.get(user)
        places = (ref for ref, users in self.surplus.items() if user in users)
        old = (self._shard_number(ref) for ref in places if ref.namespace == self.target)
        home = next((found for found in old if found is not None), None)
        if number is None or home is None or number != self._shard_number(unmade):
            return
        entries = _of_user(self.content[number], user)
        self._drop_shard(user)
        self.shards.adopt(user, home, entries.size())
        self._replace(home, user, entries)

    def _drop_shard(self, user: str) -> None:
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
        name = naming.user_object(self.key.template, holder.name)
        wanted = OwnObject(holder.namespace, name, entries)
        if self.own.get(holder.user) == wanted:
            return
        self._drop_own(holder.user)
        self.own[holder.user] = wanted
        for kind in KINDS:
            if entries.of(kind):
                ref = Ref(kind, wanted.namespace, name)
                self.own_refs[ref] = holder.user
                self.touched.add(ref)

    def _drop_own(self, user: str) -> None:
        own = self.own.pop(user, None)
        if own is not None:
            for kind in KINDS:
                ref = Ref(kind, own.namespace, own.name)
                if self.own_refs.pop(ref, None) is not None:
                    self.touched.add(ref)

    def _shard_refs(self, number: int) -> Iterator[Ref]:
        name = naming.shard_object(self.key.template, self.key.group, number)
        for kind in KINDS:
            yield Ref(kind, self.target, name)

    def refs(self) -> Iterator[Ref]:
        """Every object that should be."""
        yield from self.fixed
        for number, entries in self.content.items():
            for ref in self._shard_refs(number):
                if entries.of(ref.kind):
                    yield ref
        yield from self.own_refs

    def wanted(self, ref: Ref) -> Desired | None:
        """An object as it should be; None if it should not be."""
        fixed = self.fixed.get(ref)
        if fixed is None:
            return self._desired_users(ref)
        return replace(fixed, uid=self.uids.get(ref, ""))  # recorded since it was rendered, perhaps

    def shell(self, ref: Ref) -> Desired:
        """An object that should not be, without data: what has to stay in it for now is put in."""
        number, uid = self._shard_number(ref), self.uids.get(ref, "")
        objects = self._objects
        return objects.built(ref, {}, uid) if number is None else objects.shard(ref, number, {}, uid)

    def owner(self, ref: Ref, have: Observed | None) -> Owner | None:
        """Whose the entries of an object are; None for the group's own."""
        if self._shard_number(ref) is not None:
            return in_shard
        user = self.own_refs.get(ref) or (have.annotations.get(naming.ANNOTATION_USER) if have else None)
        return (lambda _: user) if user is not None else None

    @property
    def user_count(self) -> int:
        """How many users something is rendered for."""
        return len(self.shards.of) + len(self.own)

    def settle(self, ref: Ref, want: Desired | None, have: Observed | None) -> None:
        """The object is now as it should be; ``have`` is what is known of it."""
        self.adopted.discard(ref)
        if want is None:
            self.written.pop(ref, None)
            self.uids.pop(ref, None)
            return
        self.written[ref] = want
        if have is not None and is_managed(have, want):
            self.uids[ref] = have.uid
            if requests_adoption(have):
                self.adopted.add(ref)

    def refs_of(self, user: str) -> Iterator[Ref]:
        """The objects that hold a user's files."""
        number = self.shards.of.get(user)
        if number is not None:
            yield from self._shard_refs(number)
        own = self.own.get(user)
        if own is not None:
            for kind in KINDS:
                yield Ref(kind, own.namespace, own.name)

    def lack(self, ref: Ref, users: set[str]) -> None:
        """These users, and no others, lack an entry in the object."""
        before = self.lacking.pop(ref, set())
        if users:
            self.lacking[ref] = users
        self.lacks.update(users)
        self.lacks.subtract(before)
        for user in before - users:
            if not self.lacks[user]:
                del self.lacks[user]

    def has_files(self, user: str, observed: Callable[[Ref], Observed | None]) -> bool:
        """Whether files of the user's, of whatever age, are where they belong."""
        for ref in self.refs_of(user):
            have = observed(ref)
            if have is None or not (ref in self.written or self.owns(have)):
                continue
            if any(ref in self.own_refs or in_shard(entry) == user for entry in have.data):
                return True
        return False

    def _desired_users(self, ref: Ref) -> Desired | None:
        user, uid = self.own_refs.get(ref), self.uids.get(ref, "")
        if user is not None:
            return self._objects.own(ref, user, self.own[user].entries.of(ref.kind), uid)
        number = self._shard_number(ref)
        if number is None or ref.namespace != self.target or number not in self.content:
            return None
        data = self.content[number].of(ref.kind)
        return self._objects.shard(ref, number, data, uid) if data else None


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
            user = name.split(".", 1)[0]
            sizes[user] = (
                sizes.get(user, 0) + len(name) + (len(text) if text.isascii() else len(text.encode()))
            )
    return sizes
