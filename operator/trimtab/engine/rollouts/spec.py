"""What a rollout's spec comes to: the content that it asks for, or why it is refused."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from trimtab.api.config_template import GroupSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.rollout_status import QUARANTINED, Content, Quarantined, RolloutProgress
from trimtab.api.strategy import StrategySpec
from trimtab.core import reasons
from trimtab.core.policy.policy import Policy, contradictions, without_groups
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.render import render_group
from trimtab.core.render.sizes import Total
from trimtab.core.resolve.resolve import document_problems, group_view
from trimtab.core.rollout import planned
from trimtab.core.rollout.assignment import Unreadable
from trimtab.core.rollout.revisions import GroupRevisions, components_of, most_common
from trimtab.core.rollout.source import POLICY, TEMPLATE, RolloutSource
from trimtab.core.rollout.strategy import Strategy, compiling_strategy
from trimtab.core.schema.template import TOO_LARGE, Schema
from trimtab.core.status import Verdict, refused
from trimtab.core.violations import ENOUGH, Notice, RejectedError, Violation
from trimtab.engine.content.policies import Policies, RefusedError
from trimtab.engine.content.templates import Judgement, Templates
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.rollouts.preview import is_redacted
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.rollout_sources import RolloutSources

POLICIES_OF_A_GROUP = 200


@dataclass(frozen=True, slots=True)
class Case:
    """``source`` is as it was looked at. ``target`` and ``strategy`` are None while it is refused. ``scope`` are the
    groups that it is, or was, for, in the template's order; ``unprotected`` says that nothing is served yet. ``basis``
    is a hash of what its effects follow from besides users: another one is another preview. After ``again`` seconds it
    is looked at again."""

    source: RolloutSource
    target: Content | None = None
    strategy: Strategy | None = None
    refusal: Verdict | None = None
    notices: tuple[Notice, ...] = ()
    scope: tuple[str, ...] = ()
    unprotected: bool = False
    basis: str = ""
    again: float | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """What came of a policy, and by what it was judged."""

    spec: Mapping[str, object]
    schema: Schema
    others: tuple[Policy, ...]
    outcome: Policy | RefusedError

    def by(self, spec: Mapping[str, object], schema: Schema, others: Sequence[Policy]) -> bool:
        """Whether it was judged by exactly that."""
        return (
            self.spec == spec
            and self.schema is schema
            and len(self.others) == len(others)
            and all(one is other for one, other in zip(self.others, others, strict=True))
        )


@dataclass(slots=True)
class Cases:
    cluster: ClusterState
    templates: Templates
    policies: Policies
    sources: RolloutSources
    revisions: Revisions
    slices: TimeSlices
    _judged: dict[str, _Judged] = field(default_factory=dict)
    """By uid."""
    _strategies: dict[str, tuple[object, Strategy | RefusedError]] = field(default_factory=dict)
    """uid -> (what it follows from, what came of it)"""

    async def of(self, key: TemplateKey, source: RolloutSource) -> Case:
        """What the source asks for now.

        :raises trimtab.kube.errors.ApiError: its content could not be kept; nothing was decided.
        """
        judgement = await self.templates.judge(key)
        source = self._recovered(key, source)
        if judgement is not None and judgement.accepted is not None:
            source = _hidden(source, judgement.accepted.schema.sensitive)
        try:
            if source.kind == TEMPLATE:
                return await self._template(key, source, judgement)
            return await self._policy(key, source, judgement)
        except RefusedError as error:
            verdict = refused(error.reason, error.message, error.violations)
            return Case(source, refusal=verdict, scope=tuple(planned(source.progress)), again=error.seconds)

    def _recovered(self, key: TemplateKey, source: RolloutSource) -> RolloutSource:
        """The source with what its status has lost, as far as groups can tell: somebody wiped it, or a strategy was
        taken away and is back. With an epoch that is behind theirs it could move no group any more."""
        progress = source.progress
        lost = progress.phase is None
        groups = self.cluster.groups_of(key) if lost else {GroupKey(*key, name) for name in source.intents}
        mine = {
            group: op
            for group in groups
            if (op := self.revisions.of(group).operation).get("uid") == source.uid
        }
        epoch = max((int(op.get("epoch") or 0) for op in mine.values()), default=0)
        if epoch > (progress.epoch or 0):
            progress = progress.model_copy(update={"epoch": epoch})
        if lost and source.kind == POLICY and progress.stable is None:
            served = self._stable(groups, source.name)
            if served is not None and (mine or self._is_its_own(source, groups, served)):
                progress = progress.model_copy(update={"stable": _policy_content(served)})
        if lost and (quarantine := self._quarantined(key, source, progress.stable)):
            progress = progress.model_copy(update={"quarantine": quarantine})
        return source if progress is source.progress else replace(source, progress=progress)

    def _quarantined(
        self, key: TemplateKey, source: RolloutSource, stable: Content | None
    ) -> list[Quarantined]:
        """What failed before the status was lost, or before the rollout was deleted and recreated."""
        policy = source.name if source.kind == POLICY else None
        found = set[str]().union(
            *(GroupRevisions(item.status).failed(policy) for item in self.cluster.rendered(key))
        )
        contents = (_policy_content(name) if policy else _content(key, name, 0) for name in sorted(found))
        why = "it failed before; Retry lets it start again"
        return [
            Quarantined(hash=content.hash, reason=why)
            for content in contents
            if stable is None or content.hash != stable.hash
        ][-QUARANTINED:]

    def _is_its_own(self, source: RolloutSource, groups: Iterable[GroupKey], snapshot: str) -> bool:
        """Whether it can only be of this very PolicyRollout, and not of one of its name that was deleted: groups that
        others have moved since say no more than the name."""
        movers = (self.revisions.of(group).operation for group in groups)
        if any((mover.get("kind"), mover.get("name")) == (POLICY, source.name) for mover in movers):
            return False
        kept = self.cluster.snapshots.get(TemplateKey(source.key.namespace, snapshot))
        made = kept.metadata.creationTimestamp if kept is not None else None
        return (made or "") >= (source.item.metadata.creationTimestamp or "~")

    def _stable(self, groups: Iterable[GroupKey], policy: str) -> str | None:
        """The snapshot of a policy that went well last in most of the groups that have it."""
        entries = (entry for group in groups if (entry := self.revisions.of(group).stable) is not None)
        found = Counter(dict(components_of(entry)[1]).get(policy) for entry in entries)
        found.pop(None, None)
        return found.most_common(1)[0][0] if found else None

    # Templates.

    async def _template(self, key: TemplateKey, source: RolloutSource, judgement: Judgement | None) -> Case:
        if judgement is None:
            raise RefusedError(reasons.TEMPLATE_NOT_FOUND, f"ConfigTemplate {key} is being deleted")
        if judgement.accepted is None:
            verdict = judgement.verdict
            raise RefusedError(verdict.reason, verdict.message, verdict.violations)
        accepted = judgement.accepted
        target = _content(key, accepted.snapshot, judgement.generation)
        stable = source.progress.stable
        unprotected = False
        if stable is None:
            groups_there = self.revisions.of_template(key).values()
            served = most_common(entry for group in groups_there if (entry := group.stable) is not None)
            unprotected = served is None
            if served is not None:
                stable = _content(key, served, 0)
                progress = source.progress.model_copy(update={"stable": stable})
                source = replace(source, progress=progress)
        groups = _labels(accepted.schema.spec.groups)
        if stable is not None and stable.snapshot:
            for content in _returning(source.progress, target, stable):
                before = await self.templates.load(key, content)
                groups = {**(_labels(before.spec.groups) if before else {}), **groups}
        strategy = await self._strategy(source, accepted.schema.spec.strategy, groups, accepted.schema)
        beside = self._held(key, source)
        basis = _basis(tuple(groups), stable.hash if stable else "", beside)
        return Case(source, target, strategy, None, (), tuple(groups), unprotected, basis)

    def _current(self, key: TemplateKey) -> str | None:
        """The template's snapshot that most of its groups are on."""
        groups = self.revisions.of_template(key).values()
        return most_common(entry for group in groups if (entry := group.current) is not None)

    async def _strategy(
        self,
        source: RolloutSource,
        spec: StrategySpec | None,
        groups: Mapping[str, Mapping[str, str]],
        schema: Schema,
    ) -> Strategy:
        """The compiled strategy; the same as before while nothing that it follows from has changed.

        :raises RefusedError: it is not valid.
        """
        meta = source.item.metadata
        basis = (spec, groups, tuple(schema.groups))
        known = self._strategies.get(meta.uid)
        if known is None or known[0] != basis:
            outcome: Strategy | RefusedError
            try:
                outcome = await self.slices.run(compiling_strategy(spec, groups, schema.groups))
            except RejectedError as error:
                outcome = RefusedError.by(error.violations)
            known = self._strategies[meta.uid] = (basis, outcome)
        if isinstance(known[1], RefusedError):
            raise known[1]
        return known[1]

    # Policies.

    async def _policy(self, key: TemplateKey, source: RolloutSource, judgement: Judgement | None) -> Case:
        if judgement is None:
            raise RefusedError(
                reasons.TEMPLATE_NOT_FOUND,
                f"there is no ConfigTemplate {key}; create it or correct spec.templateRef: the template of a "
                "PolicyRollout is in its own namespace",
            )
        schema = await self._schema(key, judgement)
        item, gone = source.item, set[str]()
        if source.progress.underway is not None:
            gone = set(planned(source.progress)) - schema.groups.keys()
            if gone:
                item = msgspec.structs.replace(item, spec=without_groups(item.spec, gone))
        policy = await self._examined(key, replace(source, item=item), schema)
        spec = PolicyRolloutSpec.model_validate(item.spec)
        scope = _labels(g for g in schema.spec.groups if g.name in policy.groups)
        if not scope and not gone:
            raise RefusedError.by([_no_scope(spec)])
        scope = scope or {name: {} for name in sorted(gone)}  # all have left: it has nothing to do any more
        target = self.policies.content(source.item)
        notices = list(policy.notices)
        for content in _returning(source.progress, target, source.progress.stable):
            place = TemplateKey(key.namespace, content)
            if await self.policies.spec(place) is None:
                notices.append(
                    Notice("spec", reasons.CONTENT_UNREADABLE, str(Unreadable(content, source.name)))
                )
            was = {g.name for g in schema.spec.groups if await self.policies.covers(place, key.name, g)}
            scope |= _labels(g for g in schema.spec.groups if g.name in was)
        order = {name: number for number, name in enumerate(schema.groups)}
        scope = dict(sorted(scope.items(), key=lambda item: order.get(item[0], len(order))))
        strategy = await self._strategy(source, spec.strategy, scope, schema)
        self.sources.latest[source.uid] = target
        await self.policies.keep(source.item, schema)
        template = judgement.accepted.snapshot if judgement.accepted else self._current(key)
        others = await self._others(key, source, schema)
        near = {policy.name for policy in others if policy.groups & scope.keys()}
        beside = ((name, held) for name, held in self._held(key, source) if name in near)
        basis = _basis(tuple(scope), template or "", beside)
        return Case(source, target, strategy, None, tuple(notices), tuple(scope), basis=basis)

    async def _schema(self, key: TemplateKey, judgement: Judgement) -> Schema:
        """What policies are judged against: the template as accepted, or as served while an edit of it is refused."""
        if judgement.accepted is not None:
            return judgement.accepted.schema
        served = self._current(key)
        schema = await self.templates.load(key, served) if served else None
        if schema is None:
            raise RefusedError(
                reasons.TEMPLATE_NOT_SERVED,
                f"ConfigTemplate {key} has never been valid, so nothing is served yet; see its status",
            )
        return schema

    async def _examined(self, key: TemplateKey, source: RolloutSource, schema: Schema) -> Policy:
        """The policy, if it is valid by itself, in each group's document, and beside the others.

        :raises RefusedError: it is not.
        """
        others = await self._others(key, source, schema)
        meta = source.item.metadata
        known = self._judged.get(meta.uid)
        if known is None or not known.by(source.item.spec, schema, others):
            try:
                outcome: Policy | RefusedError = await self._judge(source, schema, others)
            except RefusedError as error:
                outcome = error
            known = self._judged[meta.uid] = _Judged(source.item.spec, schema, tuple(others), outcome)
        if isinstance(known.outcome, RefusedError):
            raise known.outcome
        return known.outcome

    async def _judge(self, source: RolloutSource, schema: Schema, others: list[Policy]) -> Policy:
        policy = self.policies.examine(source.item, schema)
        found: list[Violation] = []
        total = Total(schema, self.templates.max_output)
        async with self.slices.turn() as turn:
            for other in sorted(others, key=lambda policy: policy.name):
                found += contradictions(policy, [other])
                await turn.over()
            for name in sorted(policy.groups):
                beside = [p for p in others if name in p.groups]
                if len(beside) >= POLICIES_OF_A_GROUP and source.progress.stable is None:
                    found.append(_crowded(policy, name, len(beside)))
                    break
                view = group_view(schema, name, (*beside, policy))
                rendered = render_group(view)
                found += document_problems(view) or rendered.violations
                too_large = total.add(view, rendered.entries)
                if too_large is not None:
                    found.append(replace(too_large, layer=f"policy/{policy.name}"))
                if too_large is not None or len(found) > ENOUGH:
                    break
                await turn.over()
        if found:
            raise RefusedError.by(list(dict.fromkeys(found)))
        return policy

    async def _others(self, key: TemplateKey, source: RolloutSource, schema: Schema) -> list[Policy]:
        """The other policies of the template that are in force, or on their way."""
        found = []
        for name, held in self._held(key, source):
            policy = await self.policies.compiled(name, TemplateKey(key.namespace, held), schema)
            if policy is not None:
                found.append(policy)
        return found

    def _held(self, key: TemplateKey, source: RolloutSource) -> Iterator[tuple[str, str]]:
        """Names and snapshots of the other policies."""
        for other in self.sources.policies(key):
            underway = other.progress.underway == "Forward"
            content = other.progress.target if underway else other.progress.stable
            if other.uid != source.uid and content is not None and content.snapshot:
                yield other.name, content.snapshot

    def forget(self) -> None:
        """Drop what was worked out of rollouts that are gone."""
        present = self.sources.present()
        self._judged = {uid: known for uid, known in self._judged.items() if uid in present}
        self._strategies = {uid: known for uid, known in self._strategies.items() if uid in present}

    def reset(self) -> None:
        """Forget everything that was worked out: another process has led meanwhile."""
        self._judged.clear()
        self._strategies.clear()


def _basis(scope: tuple[str, ...], template: str, beside: Iterable[tuple[str, str]]) -> str:
    """What of the rest of the world a rollout's effects follow from: all of these are names, or hashes with a key."""
    return hashlib.sha256(repr((scope, template, sorted(beside))).encode()).hexdigest()[:16]


def _crowded(policy: Policy, group: str, count: int) -> Violation:
    """Why a group can have no further policy: each of its revisions names all of them, and a status has its limits."""
    problem = f"group {group} has {count} policies already, the limit is {POLICIES_OF_A_GROUP}"
    remedy = "put what it says into one of them, or delete those that are not needed"
    return Violation(f"groups[{group}]", f"policy/{policy.name}", TOO_LARGE, problem, remedy=remedy)


def _no_scope(spec: PolicyRolloutSpec) -> Violation:
    """Why a policy is for no group."""
    field, message = "spec.groupSelector", "selects no group of the template; correct it"
    if spec.groups is not None:
        field = "spec.groups"
        message = "names no group: leave it out for every group, or delete the PolicyRollout to withdraw it"
    elif spec.group_selector is None:
        field, message = "spec.templateRef", "names a ConfigTemplate that has no groups; add one there"
    return Violation(field, "policy", "scope", message)


def _labels(groups: Iterable[GroupSpec]) -> dict[str, dict[str, str]]:
    return {group.name: group.labels for group in groups}


def _hidden(source: RolloutSource, sensitive: Container[str]) -> RolloutSource:
    """The source without samples of what has become sensitive since its preview was made."""
    preview = source.progress.preview
    samples = preview.samples if preview is not None else []
    kept = [sample for sample in samples if sample.key not in sensitive or is_redacted(sample)]
    if preview is None or len(kept) == len(samples):
        return source
    preview = preview.model_copy(update={"samples": kept})
    return replace(source, progress=source.progress.model_copy(update={"preview": preview}))


def _returning(progress: RolloutProgress, target: Content, stable: Content | None) -> Iterator[str]:
    """The snapshots whose groups are in the scope as well: of what is served, or of what an Undo would return to."""
    served = stable is not None and stable.hash == target.hash
    for content in (progress.previous if served else None, stable):
        if content is not None and content.snapshot:
            yield content.snapshot


def _policy_content(snapshot: str) -> Content:
    return Content(hash=snapshot.rpartition("-")[2], snapshot=snapshot)


def _content(key: TemplateKey, snapshot: str, generation: int) -> Content:
    return Content(
        hash=snapshot.removeprefix(f"{key.name}-"), snapshot=snapshot, generation=generation or None
    )
