"""The desired state: everything that follows from a snapshot of a cluster's objects.

It is the operator's result for these objects once it has nothing left to do. The operator computes it in parts, after a
change only what the change affects; commands that work offline and tests compute the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from trimtab.core import naming, reasons
from trimtab.core.evaluate import membership
from trimtab.core.evaluate.cluster import Cluster, Index
from trimtab.core.evaluate.membership import Membership, PreferenceKey, may_render_into, target_refused
from trimtab.core.evaluate.specs import EvaluatedPolicy, EvaluatedTemplate, Specs
from trimtab.core.evaluate.template import ready_verdict
from trimtab.core.evaluate.user import Outcome, content_unreadable, evaluate_user, no_group
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.objects import target_of
from trimtab.core.render.render import Entries, render_group
from trimtab.core.resolve.content import CompiledContent
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.rollout.assignment import (
    GroupChoice,
    GroupInputs,
    Parts,
    Undecided,
    Unreadable,
    choose,
    components,
)
from trimtab.core.rollout.phase import rollout_verdict
from trimtab.core.rollout.revisions import GroupRevisions, components_of
from trimtab.core.rollout.user_share import is_included
from trimtab.core.status import FALSE, TRUE, Verdict
from trimtab.core.steps import finished

NO_FILES = Entries()


@dataclass(frozen=True, slots=True)
class UserFiles:
    """One user's files, and the preference that holds the user."""

    preference: Preference
    delivery: str
    entries: Entries


@dataclass(frozen=True, slots=True)
class DesiredGroup:
    """One group. ``shared`` is the view of the users in a rollout's share. ``entries`` are those of its own
    objects; while ``verdict`` is False, nothing of the group is written."""

    content: CompiledContent
    view: GroupView
    shared: GroupView | None
    verdict: Verdict
    entries: Entries
    users: Mapping[str, UserFiles]


@dataclass(frozen=True, slots=True)
class DesiredState:
    """``ready`` are the Ready conditions of templates; ``unreadable`` are groups whose content is missing or altered:
    these stay unchanged."""

    templates: Mapping[TemplateKey, EvaluatedTemplate]
    ready: Mapping[TemplateKey, Verdict]
    policies: Mapping[TemplateKey, EvaluatedPolicy]
    groups: Mapping[GroupKey, DesiredGroup]
    unreadable: Mapping[GroupKey, Unreadable]
    preferences: Mapping[PreferenceKey, Outcome]


def desired_state(cluster: Cluster) -> DesiredState:
    """Evaluate all objects: templates and policies, then groups and preferences."""
    specs = Specs(cluster)
    groups = _Groups(cluster, specs)
    ready = {key: _ready(key, template, specs, groups) for key, template in specs.templates.items()}
    return DesiredState(
        specs.templates, ready, specs.policies, groups.desired, groups.unreadable, groups.preferences
    )


def _ready(key: TemplateKey, template: EvaluatedTemplate, specs: Specs, groups: _Groups) -> Verdict:
    """A template's Ready condition."""
    accepted, source = template.accepted, specs.strategy(key)
    if accepted is None:
        return template.verdict
    if source is not None and source.progress.phase != "Succeeded":
        return rollout_verdict(source.progress, template.verdict.notices)
    names = [GroupKey(*key, name) for name in accepted.schema.groups]
    found = [groups.desired.get(name) for name in names]
    pending = any(group is None or group.content.snapshot != accepted.snapshot for group in found)
    return ready_verdict(template.verdict, len(names), groups.failing(names), pending=pending)


class _Groups:
    """The desired groups, and the outcomes of all preferences."""

    def __init__(self, cluster: Cluster, specs: Specs) -> None:
        self.desired: dict[GroupKey, DesiredGroup] = {}
        self.unreadable: dict[GroupKey, Unreadable] = {}
        self.preferences: dict[PreferenceKey, Outcome] = {}
        self._cluster, self._specs = cluster, specs
        self._index = Index(cluster.preferences)
        for key in dict.fromkeys(self._group_keys()):
            self._group(key)

    def failing(self, names: Iterable[GroupKey]) -> dict[GroupKey, Verdict]:
        """Those of the groups that are not rendered, and why."""
        found = {}
        for name in names:
            if name in self.unreadable:
                found[name] = Verdict(FALSE, reasons.CONTENT_UNREADABLE, str(self.unreadable[name]))
            elif name in self.desired and self.desired[name].verdict.ready == FALSE:
                found[name] = self.desired[name].verdict
        return found

    def _group_keys(self) -> Iterator[GroupKey]:
        for key, template in self._specs.templates.items():
            source = self._specs.strategy(key)
            names = [content.snapshot or "" for content in (source.contents() if source is not None else ())]
            schemas = [self._specs.contents.schema(key, name) for name in names]
            accepted = template.accepted.schema if template.accepted is not None else None
            for schema in (accepted, *schemas):
                yield from (GroupKey(*key, name) for name in (schema.groups if schema is not None else ()))
        yield from sorted({*self._specs.revisions, *self._index.groups()})

    def _group(self, key: GroupKey) -> None:
        choice = self._choice(key)
        content = self._composed(key, choice.base) if isinstance(choice, GroupChoice) else None
        if isinstance(choice, GroupChoice) and isinstance(content, CompiledContent):
            self.desired[key] = self._desired(key, choice, content)
            return
        if isinstance(content, Unreadable):
            self.unreadable[key] = content
        for preference in self._index.members(key).values():
            if isinstance(content, Unreadable):
                name = naming.group_object(key.template, key.group)
                verdict = content_unreadable(key.group, str(key.template_key), f"{key.namespace}/{name}")
            else:
                verdict = self._without_group(key, preference)
            self.preferences[preference.key] = Outcome(verdict, None)

    def _choice(self, key: GroupKey) -> GroupChoice | Undecided | None:
        template = self._specs.templates.get(key.template_key)
        if template is None:
            return None
        revisions = self._specs.revisions.get(key, GroupRevisions({}))
        if self._cluster.rollouts == "Pinned" and revisions.current is not None:
            snapshot, policies = components_of(revisions.current)
            return GroupChoice(Parts(snapshot, dict(policies)))
        accepted = template.accepted.snapshot if template.accepted is not None else None
        return choose(GroupInputs(key.group, accepted, revisions, self._specs.sources(key.template_key)))

    def _composed(self, key: GroupKey, parts: Parts) -> CompiledContent | Unreadable | None:
        if parts.template is None:
            return None
        schema = self._specs.contents.schema(key.template_key, parts.template)
        if schema is None:
            return Unreadable(parts.template)
        names = {name for name in parts.policies.values() if name is not None}
        specs = {name: self._specs.contents.policy(key.namespace, name) for name in names}
        found = components(key.group, parts, schema, specs)
        if not isinstance(found, tuple):
            return found
        template, refs = found
        return CompiledContent(
            schema, template, refs, tuple(self._specs.compiled(key.template_key, refs, schema))
        )

    def _desired(self, key: GroupKey, choice: GroupChoice, content: CompiledContent) -> DesiredGroup:
        view = content.view(key.group)
        other = self._composed(key, choice.share) if choice.share is not None else None
        shared = other.view(key.group) if isinstance(other, CompiledContent) else None
        verdict = Verdict(TRUE, reasons.RENDERED, "rendered")
        target = target_of(key, view)
        if not may_render_into(self._cluster, target, key.namespace):
            verdict = target_refused(target, key.namespace)
        group = DesiredGroup(content, view, shared, verdict, render_group(view).entries, {})
        return replace(group, users=dict(self._users(key, choice, group)))

    def _users(
        self, key: GroupKey, choice: GroupChoice, group: DesiredGroup
    ) -> Iterator[tuple[str, UserFiles]]:
        schema, members = group.content.schema, self._index.members(key)
        beyond = finished(membership.over_limit(self._cluster, schema, key, self._index))
        rules = Membership(group.view.group.spec, key.namespace, self._cluster, beyond)
        first = (
            str(self._specs.revisions[key].share.get("first") or "") if key in self._specs.revisions else ""
        )
        for preference in members.values():
            user, view = preference.user, self._view(choice, group, preference.user, first)
            claimants = self._index.claimants(key.template_key, user)
            holder = membership.holder(self._cluster, schema, claimants)
            outcome = finished(evaluate_user(view, preference, holder or preference, rules, rendered=False))
            if holder is preference and not outcome.outside:
                yield user, UserFiles(preference, view.schema.user_delivery, outcome.entries or NO_FILES)
            if group.verdict.ready == FALSE:
                outcome = outcome.blocked(group.verdict.reason, group.verdict.message)
            self.preferences[preference.key] = outcome

    def _view(self, choice: GroupChoice, group: DesiredGroup, user: str, first: str) -> GroupView:
        if group.shared is None:
            return group.view
        position = self._cluster.position(choice.seed, user)
        return group.shared if is_included(user, position, choice.percent, first) else group.view

    def _without_group(self, key: GroupKey, preference: Preference) -> Verdict:
        template = self._specs.templates.get(key.template_key)
        schema = template.accepted.schema if template is not None and template.accepted is not None else None
        rendered = bool(self._specs.revisions_of(key.template_key))
        offered = (
            membership.accepting_groups(self._cluster, schema, key.namespace, preference.namespace)
            if schema is not None
            else []
        )
        return no_group(
            preference,
            template=template is not None,
            served=schema is not None or rendered,
            groups=schema.groups if schema is not None else (),
            offered=offered,
        )
