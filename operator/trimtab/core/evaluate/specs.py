"""All templates and policies of a cluster, evaluated with one another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.rollout_status import Content, RolloutProgress
from trimtab.core import naming
from trimtab.core.evaluate.cluster import Cluster, Contents
from trimtab.core.evaluate.policy import evaluating_spec, no_scope, no_template, scope, template_never_valid
from trimtab.core.evaluate.template import (
    Contender,
    collision,
    contested_names,
    evaluating_with_policies,
    reading_template,
    takes_precedence,
)
from trimtab.core.objects import AnyObject, rendered_group_key, template_of
from trimtab.core.policy.fit import fitted, without_groups
from trimtab.core.policy.policy import Policy
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.sizes import Total
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.rollout import intents
from trimtab.core.rollout.revisions import GroupRevisions, most_common
from trimtab.core.rollout.source import POLICY, TEMPLATE, Kind, RolloutSource
from trimtab.core.rollout.spec import left_groups, other_policies, policy_content, replaced, template_content
from trimtab.core.rollout.strategy import compile_strategy
from trimtab.core.schema.template import Schema
from trimtab.core.status import Verdict, rejected
from trimtab.core.steps import finished
from trimtab.core.violations import Notice, RejectedError


@dataclass(frozen=True, slots=True)
class EvaluatedTemplate:
    """``verdict`` is on its spec; ``accepted`` is None while this is refused."""

    verdict: Verdict
    accepted: CompiledContent | None = None


@dataclass(frozen=True, slots=True)
class EvaluatedPolicy:
    """``refusal`` is why its spec is refused, if it is; ``target`` is its content, for the groups of its ``scope``."""

    refusal: Verdict | None = None
    notices: tuple[Notice, ...] = ()
    target: Content | None = None
    scope: tuple[str, ...] = ()


class Specs:
    """The evaluated templates, the oldest first, then policies. ``contents`` grows by the content of their specs."""

    def __init__(self, cluster: Cluster) -> None:
        self.contents = Contents(cluster.contents)
        self.revisions: dict[GroupKey, GroupRevisions] = {}
        for item in cluster.groups:
            key = rendered_group_key(item)
            if item.metadata.name == naming.group_object(key.template, key.group):
                self.revisions[key] = GroupRevisions(item.status)
        self.templates: dict[TemplateKey, EvaluatedTemplate] = {}
        self.policies: dict[TemplateKey, EvaluatedPolicy] = {}
        self._cluster = cluster
        self._finished = cluster.rollouts == "Finished"
        self._sources: dict[TemplateKey, dict[str, RolloutSource]] = {}
        """By uid; the template, then its policies by name"""
        for item in cluster.templates:
            if item.spec.get("strategy") is not None:
                self._add_source(TEMPLATE, item, item.key)
        for item in sorted(cluster.policies, key=lambda item: item.metadata.name):
            self._add_source(POLICY, item, template_of(item))
        self._evaluate()

    def sources(self, key: TemplateKey) -> list[RolloutSource]:
        """The rollouts of a template."""
        return list(self._sources.get(key, {}).values())

    def strategy(self, key: TemplateKey) -> RolloutSource | None:
        """The template itself, if it has a strategy."""
        return next((source for source in self.sources(key) if source.kind == TEMPLATE), None)

    def revisions_of(self, key: TemplateKey) -> list[GroupRevisions]:
        """The revisions of a template's groups."""
        return [revisions for group, revisions in self.revisions.items() if group.template_key == key]

    def compiled(
        self, key: TemplateKey, refs: Iterable[tuple[str, str | None]], schema: Schema
    ) -> list[Policy]:
        """The policies of these names and snapshots, as far as they are valid for the template."""
        found = []
        for name, snapshot in refs:
            spec = self.contents.policy(key.namespace, snapshot or "")
            if spec is not None and spec.template_ref.name == schema.name:
                policy, _ = fitted(name, spec, schema)
                found += [policy] if policy is not None else []
        return found

    def _evaluate(self) -> None:
        for item in sorted(self._cluster.templates, key=lambda item: self._contender(item).rank):
            self.templates[item.key] = template = self._template(item)
            if template.accepted is not None:
                snapshot = template.accepted.snapshot
                self.contents.add_template(item.key, snapshot, template.accepted.schema)
                self._finish(item, item.key, template_content(item.key, snapshot))
        for item in sorted(self._cluster.policies, key=_age):
            self.policies[item.key] = policy = self._policy(item, template_of(item))
            if policy.target is not None:
                self._finish(item, template_of(item), policy.target)

    def _add_source(self, kind: Kind, item: AnyObject, template: TemplateKey) -> None:
        progress = RolloutProgress()
        if not self._finished:
            with contextlib.suppress(ValidationError):  # another client wrote it
                progress = RolloutProgress.model_validate(item.status)
        source = RolloutSource(kind, item, progress, intents(progress))
        self._sources.setdefault(template, {})[source.uid] = source

    def _finish(self, item: AnyObject, template: TemplateKey, content: Content) -> None:
        """If rollouts count as finished, the content is in force."""
        source = self._sources.get(template, {}).get(item.metadata.uid)
        if source is not None and self._finished:
            if source.kind == POLICY:
                self.contents.add_policy(item.metadata.namespace, content.snapshot or "", item)
            progress = RolloutProgress(phase="Succeeded", stable=content)
            self._sources[template][source.uid] = replace(source, progress=progress)

    # Templates.

    def _template(self, item: AnyObject) -> EvaluatedTemplate:
        read = finished(reading_template(item.key, item.spec))
        if isinstance(read, Verdict):
            return EvaluatedTemplate(read)
        taken = self._collision(item)
        if taken is not None:
            return EvaluatedTemplate(taken)
        name = self.contents.name(item, item.metadata.name)
        if item.status.get("snapshot") != name:  # else it was accepted: a policy may have rolled back since
            refusal = finished(evaluating_with_policies(read.schema, self._policies_in_force(item.key)))
            if refusal is not None:
                return EvaluatedTemplate(refusal)
        return EvaluatedTemplate(read.verdict, CompiledContent(read.schema, name))

    def _collision(self, item: AnyObject) -> Verdict | None:
        for rival in self._cluster.templates:
            for place in contested_names(self._cluster, item, rival):
                contenders = self._contender(rival), self._contender(item)
                if takes_precedence(*contenders, place[0], frozenset()):
                    return collision(item, rival, place)
        return None

    def _contender(self, item: AnyObject) -> Contender:
        known = self.templates.get(item.key)
        rendered = any(group.current for group in self.revisions_of(item.key))
        return Contender(item, known is not None and known.accepted is not None, rendered)

    def _policies_in_force(self, key: TemplateKey) -> list[tuple[str, PolicyRolloutSpec]]:
        found = []
        for source in self.sources(key):
            stable = source.progress.stable
            if source.kind == POLICY and stable is not None and stable.snapshot:
                spec = self.contents.policy(key.namespace, stable.snapshot)
                if spec is not None and spec.template_ref.name == key.name:
                    found.append((source.name, spec))
        return found

    # Policies.

    def _policy(self, item: AnyObject, key: TemplateKey) -> EvaluatedPolicy:
        source, schema = self._sources[key][item.metadata.uid], self._policy_schema(key)
        if isinstance(schema, Verdict):
            return EvaluatedPolicy(schema)
        progress, written = source.progress, dict(item.spec)
        gone = left_groups(progress, schema.groups)
        if gone:
            written = without_groups(written, gone)
        others = self.compiled(key, other_policies(self.sources(key), source), schema)
        is_new = progress.stable is None
        policy = finished(evaluating_spec(source.name, written, others, Total(schema), is_new=is_new))
        if isinstance(policy, Verdict):
            return EvaluatedPolicy(policy)
        spec = PolicyRolloutSpec.model_validate(written)
        if not policy.groups and not gone:
            return EvaluatedPolicy(no_scope(spec))
        target = policy_content(self.contents.name(item, naming.policy_stem(item.metadata.name)))
        groups = scope(policy, schema, gone, self._former(key, source, target))
        try:
            compile_strategy(spec.strategy, groups, schema.groups)
        except RejectedError as error:
            return EvaluatedPolicy(rejected(error.violations))
        return EvaluatedPolicy(None, policy.notices, target, tuple(groups))

    def _former(self, key: TemplateKey, source: RolloutSource, target: Content) -> list[PolicyRolloutSpec]:
        """The policy's content that the target replaces."""
        names = replaced(source.progress, target)
        found = (self.contents.policy(key.namespace, name) for name in names)
        return [spec for spec in found if spec is not None]

    def _policy_schema(self, key: TemplateKey) -> Schema | Verdict:
        template = self.templates.get(key)
        if template is None:
            return no_template(key)
        if template.accepted is not None:
            return template.accepted.schema
        current = most_common(group.current for group in self.revisions_of(key))
        return (self.contents.schema(key, current) if current else None) or template_never_valid(key)


def _age(item: AnyObject) -> tuple[str, str]:
    return item.metadata.creationTimestamp or "", item.metadata.uid
