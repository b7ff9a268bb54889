"""Which content each group shall serve: a function of how far its rollouts are, and of nothing that was done before.

Every source (a template with a strategy, a policy) has something to say of a group: its target, what is stable, or to
stay as it is. A template without a strategy says what was accepted last.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from enum import Enum

from trimtab.api.rendered_group import Operation
from trimtab.api.rollout_status import Content
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.content import CompiledContent, Components
from trimtab.core.rollout import Intent
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.revisions import Pointers, components_of
from trimtab.engine.store.rollout_sources import POLICY, RolloutSource, RolloutSources


class Undecided(Enum):
    """Nothing can be said of a group yet: it stays exactly as it is."""

    UNDECIDED = 0


UNDECIDED = Undecided.UNDECIDED


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Content that a group needs and that is not there, or is not what was stored: the group stays as it is."""

    snapshot: str
    policy: str = ""

    def __str__(self) -> str:
        whose = f"PolicyRollout {self.policy}" if self.policy else "the template"
        remedy = f"change {whose}, so that new content is stored"
        return (
            f"ControllerRevision {self.snapshot}, which holds content of {whose}, is missing or was altered; "
            f"what is rendered stays as it is. Restore it from a backup, or {remedy}"
        )


@dataclass(frozen=True, slots=True)
class Share:
    """A share of the group's users who are served something else already. ``seed`` is what they are chosen by."""

    served: CompiledContent
    percent: int
    seed: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a group shall serve. ``settled``: nothing is under way, so what it serves well is stable. ``back``: a
    rollout takes it back to what was served before. ``stable``: what a revision is made of that rests on what is stable
    of each rollout under way; None while nothing is under way, or where it cannot be said."""

    served: CompiledContent
    share: Share | None = None
    operation: Operation | None = None
    settled: bool = True
    back: bool = False
    stable: Components | None = None


@dataclass(frozen=True, slots=True)
class _Choice:
    """One source's word on one group; None is nothing (no policy)."""

    base: str | None
    share: str | None = None
    percent: int = 100

    @property
    def moved(self) -> str | None:
        """What the share is served."""
        return self.share if self.percent < 100 else self.base


@dataclass(frozen=True, slots=True)
class _Present:
    """What a group, and ``percent`` of its users, serve at present; ``now`` is None where nobody knows."""

    now: Components | None
    then: Components | None
    percent: int

    def template(self) -> _Choice | None:
        """The template's part, as it is."""
        return self._stays(lambda components: components[0])

    def policy(self, name: str) -> _Choice | None:
        """A policy's part, as it is."""
        return self._stays(lambda components: dict(components[1]).get(name))

    def policies(self) -> set[str]:
        """The names of the policies that the group, or a share of it, serves."""
        return {name for components in (self.now, self.then) if components for name, _ in components[1]}

    def _stays(self, part: Callable[[Components], str | None]) -> _Choice | None:
        if self.now is None:
            return None
        base = part(self.now)
        share = base if self.then is None else part(self.then)
        return _Choice(base) if share == base else _Choice(base, share, self.percent)


@dataclass(frozen=True, slots=True)
class _Words:
    """What all sources say of one group."""

    template: _Choice
    policies: dict[str, _Choice]
    sure: bool = True
    """Whether every source has been looked at."""


@dataclass(slots=True)
class Assignments:
    templates: Templates
    policies: Policies
    sources: RolloutSources
    pointers: Pointers
    _served: dict[tuple[TemplateKey, Components], CompiledContent] = field(default_factory=dict)

    async def of(self, key: GroupKey) -> Assignment | Undecided | Unreadable | None:
        """What the group shall serve; None: it should not be.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        sources = self.sources.of(key.template_key)
        movers = [s for s in sources if key.group in s.wanted]
        movers.sort(key=lambda s: s.progress.underway != "Back")  # what goes back needs the stamp to end
        word = await self._words(key, sources, movers)
        if not isinstance(word, _Words):
            return word
        served = await self.build(key, word.template.base, {n: c.base for n, c in word.policies.items()})
        if not isinstance(served, CompiledContent):
            return served
        share = await self._share(key, word, movers, served)
        operation = movers[0].operation(key.group) if movers else None
        back = bool(movers) and movers[0].progress.underway == "Back"
        stable = await self._resting(key, word, movers) if movers and word.sure else None
        return Assignment(
            served, share, operation, settled=word.sure and not movers, back=back, stable=stable
        )

    async def _resting(self, key: GroupKey, word: _Words, movers: list[RolloutSource]) -> Components | None:
        """What the group serves once each rollout under way has gone back to what is stable."""
        template = word.template.base
        policies = {name: choice.base for name, choice in word.policies.items()}
        for mover in movers:
            if mover.kind == POLICY:
                policies[mover.name] = _snapshot(mover.progress.stable)
            else:
                template = _snapshot(mover.progress.stable)
        served = await self.build(key, template, policies)
        return served.components if isinstance(served, CompiledContent) else None

    async def would(
        self, key: GroupKey, source: RolloutSource, snapshot: str | None
    ) -> CompiledContent | None:
        """What the group would serve with this content of one source, and all others as they are.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        word = await self._words(key, self.sources.of(key.template_key), [])
        template, policies = None, {}
        if isinstance(word, _Words):
            template = word.template.base
            policies = {name: choice.base for name, choice in word.policies.items()}
        if source.kind == POLICY:
            policies[source.name] = snapshot
        else:
            template = snapshot
        served = await self.build(key, template, policies)
        return served if isinstance(served, CompiledContent) else None

    async def _words(
        self, key: GroupKey, sources: list[RolloutSource], movers: list[RolloutSource]
    ) -> _Words | Undecided | None:
        """What everybody has to say of the group."""
        judgement = await self.templates.judge(key.template_key)
        if judgement is None:
            return None
        pointer, shared = self.pointers.current(key), self.pointers.shared(key)
        if judgement.accepted is None and pointer is None and self._stable(key.template_key) is None:
            return None  # it may have been begun when the template was valid
        present = _Present(
            components_of(pointer) if pointer else None,
            components_of(shared) if shared else None,
            self.pointers.percent(key),
        )
        template = self._template(key, judgement.accepted, movers, present)
        if isinstance(template, Undecided):
            return UNDECIDED
        policies = self._kept(key, present)
        sure = True
        for source in sources:
            if source.kind != POLICY:
                continue
            stays = present.policy(source.name)
            if source.progress.phase is None and source.progress.stable is None:
                policies[source.name] = stays or _Choice(None)  # its status may be lost
                sure = False
            else:
                policies[source.name] = _choice(source, source.wanted.get(key.group), stays)
        return _Words(template, policies, sure)

    def _kept(self, key: GroupKey, present: _Present) -> dict[str, _Choice]:
        """The policies that stay although their objects are missing."""
        kept = self.sources.cluster.kept.policies
        names = present.policies() if kept else set()
        return {
            name: stays
            for name in names
            if TemplateKey(key.namespace, name) in kept and (stays := present.policy(name)) is not None
        }

    def _template(
        self, key: GroupKey, accepted: CompiledContent | None, movers: list[RolloutSource], present: _Present
    ) -> _Choice | Undecided:
        source, stays = self.sources.template(key.template_key), present.template()
        wanted = source.wanted.get(key.group) if source is not None else None
        if accepted is None:
            back = source is not None and source.progress.underway == "Back" and wanted is not None
            if source is None or not back or source.progress.stable is None:
                # Nothing moves but what goes back; what was stable before it was ever served is served now.
                return stays or _Choice(self._stable(key.template_key))
            return _choice(source, wanted, stays)
        if source is None:
            return stays if movers and stays is not None else _Choice(accepted.snapshot)
        if source.progress.stable is None:
            return UNDECIDED
        return _choice(source, wanted, stays)

    def _stable(self, key: TemplateKey) -> str | None:
        """The snapshot of what the template's rollouts have found to be stable."""
        source = self.sources.template(key)
        return _snapshot(source.progress.stable) if source is not None else None

    async def _share(
        self, key: GroupKey, word: _Words, movers: list[RolloutSource], base: CompiledContent
    ) -> Share | None:
        choices = {"": word.template, **word.policies}
        name = next((name for name, choice in choices.items() if choice.percent < 100), None)
        if name is None:
            return None
        policies = {name: choice.moved for name, choice in word.policies.items()}
        served = await self.build(key, word.template.moved, policies)
        if not isinstance(served, CompiledContent) or served.components == base.components:
            return None
        mover = next((s for s in movers if name == (s.name if s.kind == POLICY else "")), None)
        seed = mover.uid if mover is not None else str(self.pointers.operation(key).get("uid") or "")
        return Share(served, choices[name].percent, seed)

    async def build(
        self, key: GroupKey, template: str | None, policies: dict[str, str | None]
    ) -> CompiledContent | Unreadable | None:
        """The content by its parts, without what is not for this group; None: that template has no such group."""
        if template is None:
            return None
        schema = await self.templates.load(key.template_key, template)
        if schema is None:
            return Unreadable(template)
        group = schema.groups.get(key.group)
        if group is None:
            return None
        refs = []
        for name, snapshot in sorted(policies.items()):
            if snapshot is None:
                continue
            covers = await self.policies.covers(
                TemplateKey(key.namespace, snapshot), key.template, group.spec
            )
            if covers is None:
                return Unreadable(
                    snapshot, name
                )  # not to know what a policy says is no reason to serve the group without it
            if covers:
                refs.append((name, snapshot))
        identity = (key.template_key, (template, tuple(refs)))
        known = self._served.get(identity)
        if known is not None and known.schema is schema:
            return known
        compiled = [
            await self.policies.compiled(name, TemplateKey(key.namespace, snapshot), schema)
            for name, snapshot in refs
        ]
        served = CompiledContent(schema, template, tuple(refs), tuple(p for p in compiled if p is not None))
        self._served[identity] = served
        return served

    def forget(self, key: TemplateKey, needed: Container[str]) -> None:
        """Drop what is of content that nobody needs any more, or of a template that was compiled anew."""
        self._served = {
            (owner, parts): served
            for (owner, parts), served in self._served.items()
            if owner != key
            or (self.templates.remembers(key, served) and all(name in needed for _, name in parts[1]))
        }


def _choice(source: RolloutSource, intent: Intent | None, stays: _Choice | None) -> _Choice:
    """``stays`` is this source's part of what the group serves at present, None where nobody knows."""
    if intent is not None and intent.hold and stays is not None:
        return stays
    stable = _snapshot(source.progress.stable)
    if intent is None or intent.kind == "Stable":
        return _Choice(stable)
    target = _snapshot(source.progress.target)
    return _Choice(stable, target, intent.percent) if intent.percent < 100 else _Choice(target)


def _snapshot(content: Content | None) -> str | None:
    return content.snapshot if content is not None else None
