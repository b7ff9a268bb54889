"""Loads what a rollout's spec is evaluated with, stores its content, and caches what was evaluated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.strategy import StrategySpec
from trimtab.core import reasons
from trimtab.core.evaluate.policy import evaluating_spec, no_scope, no_template, scope, template_never_valid
from trimtab.core.policy.fit import without_groups
from trimtab.core.policy.policy import Policy
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.sizes import Total
from trimtab.core.rollout import planned
from trimtab.core.rollout.assignment import Unreadable
from trimtab.core.rollout.recovery import is_lost, recovered, rendered_policy
from trimtab.core.rollout.revisions import most_common
from trimtab.core.rollout.source import TEMPLATE, RolloutSource
from trimtab.core.rollout.spec import (
    EvaluatedSpec,
    effects_basis,
    left_groups,
    other_policies,
    replaced,
    template_content,
    without_samples,
)
from trimtab.core.rollout.strategy import Strategy, compiling_strategy
from trimtab.core.schema.template import Schema
from trimtab.core.status import Verdict, refused, rejected
from trimtab.core.violations import Notice, RejectedError, Violation
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.sealing import NotStoredError, TooLargeError
from trimtab.engine.content.templates import Judgement, Templates
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.rollouts.memory import EvaluatedPolicy, EvaluatedStrategy, RolloutMemories
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.rollout_sources import RolloutSources

Labels = Mapping[str, Mapping[str, str]]
"""Groups' labels by their names."""


@dataclass(slots=True)
class RolloutSpecs:
    cluster: ClusterState
    templates: Templates
    policies: Policies
    sources: RolloutSources
    revisions: Revisions
    slices: TimeSlices
    memories: RolloutMemories

    async def of(self, key: TemplateKey, source: RolloutSource) -> EvaluatedSpec:
        """The rollout's present spec, evaluated. ``key`` is its template's.

        :raises trimtab.kube.errors.ApiError: its content could not be stored; nothing was decided.
        """
        judgement = await self.templates.judge(key)
        source = self._recovered(key, source)
        if judgement is not None and judgement.accepted is not None:
            source = without_samples(source, judgement.accepted.schema.sensitive)
        evaluate = self._template if source.kind == TEMPLATE else self._policy
        found = await evaluate(key, source, judgement)
        spec = found if isinstance(found, EvaluatedSpec) else _refused(source, found)
        if spec.target is None:
            self._release(key, source)
        return spec

    def _release(self, key: TemplateKey, source: RolloutSource) -> None:
        """A refused spec requires no content: the template's pass deletes what was stored and never rolled out."""
        memory = self.memories.of(source.uid)
        if memory.latest is not None:
            memory.latest = None
            self.cluster.enqueue_template(key)

    def _recovered(self, key: TemplateKey, source: RolloutSource) -> RolloutSource:
        lost = is_lost(source)
        groups = (
            self.revisions.of_template(key)
            if lost
            else {name: self.revisions.of(GroupKey(*key, name)) for name in source.intents}
        )
        policy = rendered_policy(source, groups)
        stored = self.cluster.snapshots.get(TemplateKey(key.namespace, policy)) if policy else None
        return recovered(source, groups, (stored.metadata.creationTimestamp if stored else None) or "")

    # Templates.

    async def _template(
        self, key: TemplateKey, source: RolloutSource, judgement: Judgement | None
    ) -> EvaluatedSpec | Verdict:
        if judgement is None:
            return refused(reasons.TEMPLATE_NOT_FOUND, f"ConfigTemplate {key} is being deleted")
        if judgement.accepted is None:
            return judgement.verdict
        schema, snapshot = judgement.accepted.schema, judgement.accepted.snapshot
        target = template_content(key, snapshot, judgement.generation)
        source, unprotected = self._with_stable(key, source)
        groups: Labels = {group.name: group.labels for group in schema.spec.groups}
        for name in replaced(source.progress, target):
            former = await self.templates.load(key, name)
            there = former.spec.groups if former is not None else ()
            groups = {**{group.name: group.labels for group in there}, **groups}
        strategy = await self._strategy(source, schema.spec.strategy, groups, schema)
        if isinstance(strategy, Verdict):
            return strategy
        stable = source.progress.stable
        basis = effects_basis(groups, stable.hash if stable else "", self._other_policies(key, source))
        return EvaluatedSpec(
            source, target, strategy, scope=tuple(groups), unprotected=unprotected, basis=basis
        )

    def _with_stable(self, key: TemplateKey, source: RolloutSource) -> tuple[RolloutSource, bool]:
        """The source with its stable content, read from its groups if its status names none; and whether there is
        none, as no group is rendered yet."""
        if source.progress.stable is not None:
            return source, False
        groups = self.revisions.of_template(key).values()
        snapshot = most_common(group.stable for group in groups)
        if snapshot is None:
            return source, True
        progress = source.progress.model_copy(update={"stable": template_content(key, snapshot)})
        return replace(source, progress=progress), False

    async def _strategy(
        self, source: RolloutSource, spec: StrategySpec | None, groups: Labels, schema: Schema
    ) -> Strategy | Verdict:
        """The compiled strategy, or why it is refused; the same object while nothing that it depends on changes."""
        memory = self.memories.of(source.uid)
        basis = (spec, groups, tuple(schema.groups))
        known = memory.strategy
        if known is None or known.basis != basis:
            outcome: Strategy | Verdict
            try:
                outcome = await self.slices.run(compiling_strategy(spec, groups, schema.groups))
            except RejectedError as error:
                outcome = rejected(error.violations)
            known = memory.strategy = EvaluatedStrategy(basis, outcome)
        return known.outcome

    # Policies.

    async def _policy(
        self, key: TemplateKey, source: RolloutSource, judgement: Judgement | None
    ) -> EvaluatedSpec | Verdict:
        schema = await self._schema(key, judgement)
        if isinstance(schema, Verdict):
            return schema
        gone = left_groups(source.progress, schema.groups)
        written = without_groups(source.item.spec, gone) if gone else source.item.spec
        others = await self._others(key, source, schema)
        policy = await self._compiled(source, written, schema, others)
        if isinstance(policy, Verdict):
            return policy
        spec = PolicyRolloutSpec.model_validate(written)
        if not policy.groups and not gone:
            return no_scope(spec)
        target = self.policies.content(source.item)
        former = {name: await self._stored(key, name) for name in replaced(source.progress, target)}
        groups = scope(policy, schema, gone, filter(None, former.values()))
        strategy = await self._strategy(source, spec.strategy, groups, schema)
        if isinstance(strategy, Verdict):
            return strategy
        self.memories.of(source.uid).latest = target
        refusal = await self._keep(source, schema)
        if refusal is not None:
            return refusal
        return EvaluatedSpec(
            source,
            target,
            strategy,
            notices=(*policy.notices, *_unreadable(source, former)),
            scope=tuple(groups),
            basis=self._policy_basis(key, source, judgement, groups, others),
        )

    async def _keep(self, source: RolloutSource, schema: Schema) -> EvaluatedSpec | Verdict | None:
        """Store the policy's content; why it cannot be stored, if so."""
        try:
            await self.policies.keep(source.item, schema)
        except TooLargeError as error:
            remedy = "shorten its values or split the policy"
            return rejected([Violation("spec", "policy", "size", str(error), remedy=remedy)])
        except NotStoredError as error:
            return _refused(source, refused(reasons.WRITE_FAILED, str(error)), error.seconds)
        return None

    def _policy_basis(
        self,
        key: TemplateKey,
        source: RolloutSource,
        judgement: Judgement | None,
        groups: Labels,
        others: Sequence[Policy],
    ) -> str:
        accepted = judgement.accepted if judgement is not None else None
        template = accepted.snapshot if accepted is not None else self._current(key)
        near = {policy.name for policy in others if policy.groups & groups.keys()}
        beside = [(name, snapshot) for name, snapshot in self._other_policies(key, source) if name in near]
        return effects_basis(groups, template or "", beside)

    async def _schema(self, key: TemplateKey, judgement: Judgement | None) -> Schema | Verdict:
        """What policies are evaluated against: the template as accepted; as rendered while an edit of it is refused."""
        if judgement is None:
            return no_template(key)
        if judgement.accepted is not None:
            return judgement.accepted.schema
        current = self._current(key)
        schema = await self.templates.load(key, current) if current else None
        return schema or template_never_valid(key)

    def _current(self, key: TemplateKey) -> str | None:
        """The template's snapshot that most of its groups are on."""
        groups = self.revisions.of_template(key).values()
        return most_common(group.current for group in groups)

    async def _compiled(
        self, source: RolloutSource, spec: Mapping[str, object], schema: Schema, others: Sequence[Policy]
    ) -> Policy | Verdict:
        """The policy, if it is valid by itself, in each group's document, and with the others."""
        memory = self.memories.of(source.uid)
        known = memory.policy
        if known is None or not known.is_with(spec, schema, others):
            total = Total(schema, self.templates.max_output)
            is_new = source.progress.stable is None
            steps = evaluating_spec(source.name, spec, others, total, is_new=is_new)
            outcome = await self.slices.run(steps)
            known = memory.policy = EvaluatedPolicy(spec, schema, tuple(others), outcome)
        return known.outcome

    async def _others(self, key: TemplateKey, source: RolloutSource, schema: Schema) -> list[Policy]:
        """The other policies of the template that are in force or being rolled out."""
        names = [
            (name, TemplateKey(key.namespace, snapshot))
            for name, snapshot in self._other_policies(key, source)
        ]
        found = [await self.policies.compiled(name, place, schema) for name, place in names]
        return [policy for policy in found if policy is not None]

    def _other_policies(self, key: TemplateKey, source: RolloutSource) -> list[tuple[str, str]]:
        return other_policies(self.sources.policies(key), source)

    async def _stored(self, key: TemplateKey, snapshot: str) -> PolicyRolloutSpec | None:
        return await self.policies.spec(TemplateKey(key.namespace, snapshot))


def _unreadable(source: RolloutSource, former: Mapping[str, PolicyRolloutSpec | None]) -> Iterator[Notice]:
    for name, spec in former.items():
        if spec is None:
            yield Notice("spec", reasons.CONTENT_UNREADABLE, str(Unreadable(name, source.name)))


def _refused(source: RolloutSource, verdict: Verdict, retry_seconds: float | None = None) -> EvaluatedSpec:
    scope = tuple(planned(source.progress))
    return EvaluatedSpec(source, refusal=verdict, scope=scope, retry_seconds=retry_seconds)
