"""What the leader knows of one group: its content, its files, what was written, what failed, and its restarts."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field

from trimtab.core.evaluate.user import Outcome
from trimtab.core.refs import GroupKey, Ref
from trimtab.core.render.entries import in_shard
from trimtab.core.render.group_files import GroupFiles
from trimtab.core.render.objects import GroupObjects
from trimtab.core.render.origin import Claims, Written, recorded
from trimtab.core.render.plan import Desired, Observed
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.rollout.revisions import RevisionSwitch
from trimtab.core.rollout.user_share import UserShare, is_included
from trimtab.engine.groups.unwritten import Unwritten
from trimtab.engine.groups.user_limit import UserLimit
from trimtab.engine.scheduling.retry import NEVER, Retry


@dataclass(frozen=True, slots=True)
class ShareState:
    """The users who are on another revision already. ``position`` returns each user's position from 0 to 1: those
    below ``percent`` of a hundred are on that revision, and ``first`` at any position."""

    served: CompiledContent
    view: GroupView
    percent: int
    revision: int
    first: str
    position: Callable[[str], float]

    def has(self, user: str) -> bool:
        return is_included(user, self.position(user), self.percent, self.first)


@dataclass(slots=True)
class Restarts:
    """Restarts of the group's workloads."""

    retry: Retry = field(default_factory=lambda: Retry(0.0))
    """When workloads are compared next: immediately after a change of content"""
    problems: tuple[str, ...] = ()
    waiting: str = ""
    """Which workload waits for a slot to restart, as a message"""
    elsewhere: frozenset[Ref] = frozenset()
    """Workloads that an older template lists as well, and restarts"""
    shared: tuple[str, ...] = ()
    """Messages about workloads that other templates list as well"""

    @property
    def done(self) -> bool:
        return self.retry.at == NEVER

    def due_at(self, now: float) -> float:
        """When a pass has to follow. A group that waits for a slot is queued once there is one."""
        later = self.retry.at > now and (self.problems or not self.waiting)
        return self.retry.at + 0.01 if later else NEVER

    def content_changed(self) -> None:
        """Compare all workloads."""
        self.retry.restart()
        self.waiting = ""


@dataclass(slots=True)
class GroupState:
    key: GroupKey
    served: CompiledContent
    files: GroupFiles
    written: Written
    unwritten: Unwritten = field(default_factory=Unwritten)
    restarts: Restarts = field(default_factory=Restarts)
    limit: UserLimit = field(default_factory=UserLimit)
    share: ShareState | None = None
    back: bool = False
    """Whether a rollout rolls it back: such restarts take precedence"""
    settled: bool = True
    """Whether no rollout is in progress here, so that a healthy revision is stable"""
    unmoved: str = ""
    """Why it cannot be switched to its assignment, if so"""
    moving: set[str] = field(default_factory=set)
    """Users who have not been evaluated against the group's revision yet"""
    invalid: set[tuple[str, str]] = field(default_factory=set)
    """Preferences that are not accepted"""

    @property
    def view(self) -> GroupView:
        return self.files.objects.view

    @property
    def revision(self) -> int:
        return self.files.objects.revision

    @property
    def target(self) -> str:
        """The namespace of the group's objects."""
        return self.files.objects.target

    @property
    def workloads(self) -> list[Ref]:
        """The workloads that the group's revision lists."""
        listed = self.view.group.spec.workloads or ()
        return [Ref(workload.kind, self.target, workload.name) for workload in listed]

    @property
    def may_restart(self) -> bool:
        """Whether workloads may have to be compared."""
        return not self.restarts.done or bool(self.view.group.spec.workloads)

    @property
    def is_moving(self) -> bool:
        """Whether more passes follow: users are not evaluated yet, or refused entries are not found yet."""
        searching = bool(self.unwritten.waiting) and not self.unwritten.failing and not self.back
        return bool(self.moving) or searching

    def view_of(self, user: str) -> GroupView:
        """The content that the user is on."""
        return self.share.view if self.share is not None and self.share.has(user) else self.view

    def is_on(self, switch: RevisionSwitch, revision: int) -> bool:
        """Whether the group renders this revision, with this share of its users on another one."""
        share = self.share and UserShare(self.share.served.components, self.share.percent, self.share.first)
        return (self.served.components, self.revision, share) == (switch.content, revision, switch.share)

    def set_view(
        self, served: CompiledContent, view: GroupView, revision: int, share: ShareState | None = None
    ) -> None:
        """Render another revision: every object may change."""
        self.files.switch(GroupObjects(self.key, view, revision, self.written.claims.mark))
        self.served, self.share = served, share
        self.restarts.content_changed()

    def adopt(
        self,
        observed: Iterable[Observed],
        targets: Container[str],
        holder: Callable[[Observed, str], str | None],
    ) -> Iterator[None]:
        """Start from the cluster's objects: users stay in their shards across restarts, and content is compared, not
        rewritten.

        Content is read only from objects that are proved to be the group's own and are where its users have their
        files: shards in one of the ``targets``, a user's own objects next to the preference that holds the user
        (``holder`` returns the user by that preference's name). Yields between small steps.
        """
        held: dict[int, dict[str, Observed]] = {}
        for have in observed:
            yield
            found = self.written.adopt(have)
            if found is None:
                continue
            self.files.touched.add(have.ref)
            if found.shard is not None and have.ref.namespace in targets:
                kinds = held.setdefault(found.shard, {})
                if have.ref.kind not in kinds or have.ref.namespace == self.target:
                    kinds[have.ref.kind] = have
            elif found.preference is not None:
                user = holder(have, found.preference)
                if user is not None:
                    self.files.adopt_own(have, user)
        yield from self.files.adopt_shards(held)

    def set_user(self, holder: Preference, outcome: Outcome) -> None:
        """The user's files from now on, by what the preference that holds the user resulted in."""
        if outcome.outside:
            self.files.drop_user(holder.user)
        elif outcome.entries is not None:
            delivery = self.view_of(holder.user).schema.user_delivery
            self.files.set_user(holder, outcome.entries, delivery)

    def desired(self, ref: Ref) -> Desired | None:
        """The object as it should be; None if it should not exist."""
        return self.files.desired(ref, self.written.uid(ref))

    def has_files(self, user: str, observed: Callable[[Ref], Observed | None]) -> bool:
        """Whether files of the user, of any revision, are where they belong."""
        for ref in self.files.refs_of(user):
            have = observed(ref)
            if have is None or not (ref in self.written.objects or self.written.owns(have)):
                continue
            if any(ref in self.files.own_refs or in_shard(entry) == user for entry in have.data):
                return True
        return False


def initial_state(key: GroupKey, served: CompiledContent, revision: int, claims: Claims) -> GroupState:
    """A group of which nothing is rendered yet."""
    objects = GroupObjects(key, served.view(key.group), revision, claims.mark)
    return GroupState(key, served, GroupFiles(objects), recorded(claims))
