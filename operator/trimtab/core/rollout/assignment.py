"""Which content each group is on: a function of its rollouts' progress and of what its RenderedGroup records.

Each source (a template with a strategy, a policy) contributes one choice: its target, its stable content, or the
content that the group is on. A template without a strategy contributes what was accepted last.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.rendered_group import Operation
from trimtab.api.rollout_status import Content
from trimtab.core.policy.fit import applies_to
from trimtab.core.resolve.content import CompiledContent, Components
from trimtab.core.rollout.revisions import GroupRevisions, RevisionSwitch, components_of
from trimtab.core.rollout.source import POLICY, RolloutSource
from trimtab.core.rollout.types import Intent
from trimtab.core.rollout.user_share import UserShare
from trimtab.core.schema.template import Schema


class Undecided(Enum):
    """The rollout has not been evaluated yet: the group stays unchanged."""

    UNDECIDED = 0


UNDECIDED = Undecided.UNDECIDED


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Content that a group needs and that is missing or was altered: the group stays unchanged."""

    snapshot: str
    policy: str = ""

    def __str__(self) -> str:
        owner = f"PolicyRollout {self.policy}" if self.policy else "the template"
        return (
            f"ControllerRevision {self.snapshot}, which holds content of {owner}, is missing or was altered; the "
            f"rendered objects stay unchanged. Restore it from a backup, or change {owner}, so that new content is "
            "stored"
        )


@dataclass(frozen=True, slots=True)
class Parts:
    """The snapshots of content: the template's, and each policy's by name; None is no content."""

    template: str | None
    policies: Mapping[str, str | None]

    def having(self, source: RolloutSource, snapshot: str | None) -> Parts:
        """The same with this content of one source."""
        if source.kind == POLICY:
            return replace(self, policies={**self.policies, source.name: snapshot})
        return replace(self, template=snapshot)


@dataclass(frozen=True, slots=True)
class GroupInputs:
    """What decides which content a group is on. ``accepted`` is the snapshot of the accepted template, None while it is
    refused; ``sources`` are all rollouts of the template; ``retained`` are policies that stay although their objects
    are missing."""

    group: str
    accepted: str | None
    revisions: GroupRevisions
    sources: Sequence[RolloutSource]
    retained: Collection[str] = ()

    @property
    def template(self) -> RolloutSource | None:
        """The template, if it has a strategy."""
        return next((source for source in self.sources if source.kind != POLICY), None)

    @property
    def movers(self) -> list[RolloutSource]:
        """The rollouts in progress that include the group; a rollback first, as it ends only with its stamp."""
        movers = [source for source in self.sources if self.group in source.intents]
        return sorted(movers, key=lambda source: source.progress.underway != "Back")


@dataclass(frozen=True, slots=True)
class GroupChoice:
    """The snapshots that a group is on. ``share`` are those of ``percent`` of its users, chosen by ``seed``; ``stable``
    those that it returns to if each rollout in progress rolls back, None if there is none or it is unknown.
    ``settled``: no rollout is in progress, so healthy content is stable; ``back``: a rollback is in progress."""

    base: Parts
    share: Parts | None = None
    percent: int = 100
    seed: str = ""
    operation: Operation | None = None
    settled: bool = True
    back: bool = False
    stable: Parts | None = None


@dataclass(frozen=True, slots=True)
class AssignedShare:
    """The share of the group's users that is on other content, chosen by ``seed``."""

    content: CompiledContent
    percent: int
    seed: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """The content that a group is to be on; the fields are those of :class:`GroupChoice`."""

    content: CompiledContent
    share: AssignedShare | None = None
    operation: Operation | None = None
    settled: bool = True
    back: bool = False
    stable: Components | None = None

    def switch(self, first: str) -> RevisionSwitch:
        """What the RenderedGroup has to record; ``first`` is the user that the share always includes."""
        mine = self.share
        share = UserShare(mine.content.components, mine.percent, first) if mine is not None else None
        return RevisionSwitch(self.content.components, share, self.operation, self.stable)

    def snapshots(self) -> list[str]:
        """All snapshots that it needs."""
        contents = [self.content, *([self.share.content] if self.share else [])]
        return [name for each in contents for name in (each.snapshot, *(policy for _, policy in each.refs))]


@dataclass(frozen=True, slots=True)
class _Choice:
    """One source's content for a group, and for ``percent`` of its users; None is no content."""

    base: str | None
    share: str | None = None
    percent: int = 100

    @property
    def shared(self) -> str | None:
        """The share's content."""
        return self.share if self.percent < 100 else self.base


@dataclass(frozen=True, slots=True)
class _Choices:
    """All sources' choices. ``complete``: each of them has been evaluated."""

    template: _Choice
    policies: Mapping[str, _Choice]
    complete: bool

    @property
    def base(self) -> Parts:
        return Parts(self.template.base, {name: each.base for name, each in self.policies.items()})

    @property
    def shared(self) -> Parts:
        return Parts(self.template.shared, {name: each.shared for name, each in self.policies.items()})

    @property
    def sharing(self) -> tuple[str, int] | None:
        """The first source that moves a share, by name (empty for the template), and its percentage."""
        choices = {"": self.template, **self.policies}
        return next(((name, each.percent) for name, each in choices.items() if each.percent < 100), None)


def choose(inputs: GroupInputs) -> GroupChoice | Undecided | None:
    """Which snapshots the group is to be on; None: the group is not to exist."""
    movers = inputs.movers
    choices = _choices(inputs, movers)
    if not isinstance(choices, _Choices):
        return choices
    share, percent, seed = _share(inputs, choices, movers)
    return GroupChoice(
        base=choices.base,
        share=share,
        percent=percent,
        seed=seed,
        operation=movers[0].operation(inputs.group) if movers else None,
        settled=choices.complete and not movers,
        back=bool(movers) and movers[0].progress.underway == "Back",
        stable=_stable_parts(choices, movers),
    )


def _share(
    inputs: GroupInputs, choices: _Choices, movers: Sequence[RolloutSource]
) -> tuple[Parts | None, int, str]:
    """The share's snapshots, its percentage, and what its users are chosen by."""
    if choices.sharing is None:
        return None, 100, ""
    name, percent = choices.sharing
    uids = (mover.uid for mover in movers if name == (mover.name if mover.kind == POLICY else ""))
    seed = next(uids, None) or str(inputs.revisions.operation.get("uid") or "")
    return choices.shared, percent, seed


def _stable_parts(choices: _Choices, movers: Sequence[RolloutSource]) -> Parts | None:
    if not movers or not choices.complete:
        return None
    stable = choices.base
    for mover in movers:
        stable = stable.having(mover, _snapshot(mover.progress.stable))
    return stable


def with_content(inputs: GroupInputs, source: RolloutSource, snapshot: str | None) -> Parts:
    """The snapshots that the group would be on with this content of one source, and all others unchanged."""
    choices = _choices(inputs, ())
    base = choices.base if isinstance(choices, _Choices) else Parts(None, {})
    return base.having(source, snapshot)


def components(
    group: str, parts: Parts, schema: Schema, specs: Mapping[str, PolicyRolloutSpec | None]
) -> Components | Unreadable | None:
    """The parts that apply to the group, by the template's ``schema`` and the policies' ``specs`` by snapshot, None for
    those that cannot be read. None: the template has no such group."""
    found = schema.groups.get(group)
    if parts.template is None or found is None:
        return None
    refs = []
    for name, snapshot in sorted(parts.policies.items()):
        if snapshot is None:
            continue
        spec = specs[snapshot]
        if spec is None:  # without its content it is unknown whether the policy applies to the group
            return Unreadable(snapshot, name)
        if applies_to(spec, schema.name, found.spec):
            refs.append((name, snapshot))
    return parts.template, tuple(refs)


def _choices(inputs: GroupInputs, movers: Sequence[RolloutSource]) -> _Choices | Undecided | None:
    present = _Present.of(inputs.revisions)
    source = inputs.template
    if inputs.accepted is None and present.base is None and _stable(source) is None:
        return None  # a rollout may have started when the template was valid
    template = _template(inputs, movers, present)
    if isinstance(template, Undecided):
        return UNDECIDED
    policies = present.policies(inputs.retained)
    complete = True
    for source in inputs.sources:
        if source.kind != POLICY:
            continue
        stays = present.policy(source.name)
        if source.progress.phase is None and source.progress.stable is None:
            policies[source.name] = stays or _Choice(None)  # its status may be lost
            complete = False
        else:
            policies[source.name] = _choice(source, source.intents.get(inputs.group), stays)
    return _Choices(template, policies, complete)


def _template(inputs: GroupInputs, movers: Sequence[RolloutSource], present: _Present) -> _Choice | Undecided:
    source, stays = inputs.template, present.template()
    if source is None:
        return _without_strategy(inputs.accepted, movers, stays)
    intent, stable = source.intents.get(inputs.group), source.progress.stable
    if inputs.accepted is not None:
        return UNDECIDED if stable is None else _choice(source, intent, stays)
    if source.progress.underway == "Back" and intent is not None and stable is not None:
        return _choice(source, intent, stays)
    # Only a rollback moves the group of a refused template; one that was never rendered gets the stable content.
    return stays or _Choice(_snapshot(stable))


def _without_strategy(
    accepted: str | None, movers: Sequence[RolloutSource], stays: _Choice | None
) -> _Choice:
    """The choice of a template whose changes do not roll out: they wait for policies' rollouts."""
    if stays is not None and (accepted is None or movers):
        return stays
    return _Choice(accepted)


@dataclass(frozen=True, slots=True)
class _Present:
    """The content that a group, and ``percent`` of its users, is on; ``base`` is None where that is unknown."""

    base: Components | None
    share: Components | None
    percent: int

    @classmethod
    def of(cls, revisions: GroupRevisions) -> _Present:
        current, shared = revisions.current, revisions.shared
        return cls(
            components_of(current) if current else None,
            components_of(shared) if shared else None,
            revisions.percent,
        )

    def template(self) -> _Choice | None:
        """The template's part, unchanged."""
        if self.base is None:
            return None
        return self._unchanged(self.base[0], self.share[0] if self.share else None)

    def policy(self, name: str) -> _Choice | None:
        """A policy's part, unchanged."""
        if self.base is None:
            return None
        return self._unchanged(
            dict(self.base[1]).get(name), dict(self.share[1]).get(name) if self.share else None
        )

    def policies(self, names: Collection[str]) -> dict[str, _Choice]:
        """The parts of those of these policies that the group, or a share of it, is on; unchanged."""
        mine = {name for each in (self.base, self.share) if each for name, _ in each[1]} if names else ()
        return {name: each for name in mine if name in names and (each := self.policy(name)) is not None}

    def _unchanged(self, base: str | None, share: str | None) -> _Choice:
        if self.share is None or share == base:
            return _Choice(base)
        return _Choice(base, share, self.percent)


def _choice(source: RolloutSource, intent: Intent | None, stays: _Choice | None) -> _Choice:
    """``stays`` is this source's part of the content that the group is on, None where that is unknown."""
    if intent is not None and intent.hold and stays is not None:
        return stays
    stable = _stable(source)
    if intent is None or intent.kind == "Stable":
        return _Choice(stable)
    target = _snapshot(source.progress.target)
    return _Choice(stable, target, intent.percent) if intent.percent < 100 else _Choice(target)


def _stable(source: RolloutSource | None) -> str | None:
    return _snapshot(source.progress.stable) if source is not None else None


def _snapshot(content: Content | None) -> str | None:
    return content.snapshot if content is not None else None
