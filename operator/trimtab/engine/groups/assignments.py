"""Loads what decides which content each group is on (core/rollout/assignment.py), and compiles that content."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.content import CompiledContent, Components
from trimtab.core.rollout.assignment import (
    AssignedShare,
    Assignment,
    GroupChoice,
    GroupInputs,
    Parts,
    Undecided,
    Unreadable,
    choose,
    components,
    with_content,
)
from trimtab.core.rollout.source import RolloutSource
from trimtab.core.schema.template import Schema
from trimtab.engine.content.policies import Policies
from trimtab.engine.content.templates import Templates
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.store.rollout_sources import RolloutSources


@dataclass(slots=True)
class Assignments:
    templates: Templates
    policies: Policies
    sources: RolloutSources
    revisions: Revisions
    _compiled: dict[tuple[TemplateKey, Components], CompiledContent] = field(default_factory=dict)

    async def of(self, key: GroupKey) -> Assignment | Undecided | Unreadable | None:
        """The content that the group is to be on; None: the group is not to exist.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        inputs = await self._inputs(key)
        choice = choose(inputs) if inputs is not None else None
        if not isinstance(choice, GroupChoice):
            return choice
        content = await self.compose(key, choice.base)
        if not isinstance(content, CompiledContent):
            return content
        stable = await self._if_readable(key, choice.stable)
        return Assignment(
            content,
            await self._share(key, choice, content),
            choice.operation,
            choice.settled,
            choice.back,
            stable.components if stable is not None else None,
        )

    async def having(
        self, key: GroupKey, source: RolloutSource, snapshot: str | None
    ) -> CompiledContent | None:
        """The content that the group would be on with this content of one source, and all others unchanged.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        inputs = await self._inputs(key)
        parts = with_content(inputs, source, snapshot) if inputs is not None else Parts(None, {})
        return await self._if_readable(key, parts)

    async def compose(self, key: GroupKey, parts: Parts) -> CompiledContent | Unreadable | None:
        """The content of these snapshots, as far as it applies to the group; None: that template has no such group.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        if parts.template is None:
            return None
        schema = await self.templates.load(key.template_key, parts.template)
        if schema is None:
            return Unreadable(parts.template)
        names = {name for name in parts.policies.values() if name is not None and key.group in schema.groups}
        specs = {name: await self.policies.spec(TemplateKey(key.namespace, name)) for name in names}
        found = components(key.group, parts, schema, specs)
        return await self._content(key, schema, found) if isinstance(found, tuple) else found

    def forget(self, key: TemplateKey, needed: Container[str]) -> None:
        """Drop the content of snapshots that are no longer needed, or of a template that was compiled again."""
        self._compiled = {
            (owner, parts): content
            for (owner, parts), content in self._compiled.items()
            if owner != key
            or (self.templates.remembers(key, content) and all(name in needed for _, name in parts[1]))
        }

    async def _inputs(self, key: GroupKey) -> GroupInputs | None:
        """None: there is no such template."""
        judgement = await self.templates.judge(key.template_key)
        if judgement is None:
            return None
        return GroupInputs(
            key.group,
            judgement.accepted.snapshot if judgement.accepted is not None else None,
            self.revisions.of(key),
            self.sources.of(key.template_key),
            frozenset(self._retained(key.namespace)),
        )

    def _retained(self, namespace: str) -> Iterator[str]:
        return (policy.name for policy in self.sources.cluster.kept.policies if policy.namespace == namespace)

    async def _share(self, key: GroupKey, choice: GroupChoice, base: CompiledContent) -> AssignedShare | None:
        content = await self._if_readable(key, choice.share)
        if content is None or content.components == base.components:
            return None
        return AssignedShare(content, choice.percent, choice.seed)

    async def _if_readable(self, key: GroupKey, parts: Parts | None) -> CompiledContent | None:
        content = await self.compose(key, parts) if parts is not None else None
        return content if isinstance(content, CompiledContent) else None

    async def _content(self, key: GroupKey, schema: Schema, found: Components) -> CompiledContent:
        identity = (key.template_key, found)
        known = self._compiled.get(identity)
        if known is not None and known.schema is schema:
            return known
        template, refs = found
        compiled = [
            await self.policies.compiled(name, TemplateKey(key.namespace, snapshot), schema)
            for name, snapshot in refs
        ]
        content = CompiledContent(schema, template, refs, tuple(p for p in compiled if p is not None))
        self._compiled[identity] = content
        return content
