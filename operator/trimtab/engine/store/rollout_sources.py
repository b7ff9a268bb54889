"""What rolls out: policies, and templates that have a strategy, with how far each of them is.

Progress is read from status, whose newest version this process has written itself or has just read.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from trimtab.api.rendered_group import Operation
from trimtab.api.rollout_status import Content, RolloutProgress
from trimtab.core.objects import AnyObject
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout import Intent, intents
from trimtab.engine.store.cluster_state import ClusterState, template_of
from trimtab.engine.store.objects import Objects
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, Resource

log = logging.getLogger(__name__)

POLICY: Literal["PolicyRollout"] = "PolicyRollout"
TEMPLATE: Literal["ConfigTemplate"] = "ConfigTemplate"
FIELDS = frozenset(field.alias or name for name, field in RolloutProgress.model_fields.items())
"""The fields of status that are a rollout's."""


@dataclass(frozen=True, slots=True)
class RolloutSource:
    """One rollout as it stands. ``wanted`` is what it has to say of groups, by name."""

    kind: Literal["PolicyRollout", "ConfigTemplate"]
    item: AnyObject
    progress: RolloutProgress
    wanted: Mapping[str, Intent]

    @property
    def name(self) -> str:
        return self.item.metadata.name

    @property
    def uid(self) -> str:
        return self.item.metadata.uid

    @property
    def key(self) -> TemplateKey:
        return self.item.key

    @property
    def resource(self) -> Resource:
        return POLICY_ROLLOUTS if self.kind == POLICY else CONFIG_TEMPLATES

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"

    def operation(self, group: str) -> Operation | None:
        """What it stamps on a group that it plans."""
        intent = self.wanted.get(group)
        if intent is None:
            return None
        back, target = self.progress.underway == "Back", self.progress.target
        quarantined = {each.hash for each in self.progress.quarantine} if back else ()
        failed = target.snapshot if target is not None and target.hash in quarantined else None
        return _operation(self.kind, self.name, self.uid, intent.epoch, back, failed)

    def contents(self) -> Iterator[Content]:
        """All content that it may still serve."""
        for content in (self.progress.stable, self.progress.target, self.progress.previous):
            if content is not None and content.snapshot:
                yield content


@functools.lru_cache(maxsize=256)  # the same for all groups of a rollout
def _operation(
    kind: Literal["PolicyRollout", "ConfigTemplate"],
    name: str,
    uid: str,
    epoch: int,
    back: bool,
    failed: str | None,
) -> Operation:
    return Operation(kind=kind, name=name, uid=uid, epoch=epoch, back=back, failed=failed)


def read_progress(status: dict[str, Any], of: str) -> RolloutProgress:
    """How far status says that it is; a status that somebody wrote by hand counts as none."""
    try:
        return RolloutProgress.model_validate(status)
    except ValidationError as error:
        log.error("the status of %s is not ours: %d errors; it starts anew", of, error.error_count())
        return RolloutProgress()


@dataclass(slots=True)
class RolloutSources:
    """All rollouts, by template."""

    cluster: ClusterState
    _known: dict[str, tuple[str, RolloutSource]] = field(default_factory=dict)
    """uid -> (resourceVersion, source)"""
    asked: dict[str, Content] = field(default_factory=dict)
    """uid -> what a policy has last asked to be stored: it may be long until its status can name it"""
    _by_template: dict[TemplateKey, list[RolloutSource]] = field(default_factory=dict)
    _as_of: int = -1

    def policies(self, key: TemplateKey) -> list[RolloutSource]:
        """The PolicyRollouts of a template, by name."""
        if self._as_of != self.cluster.rollouts.changes:
            self._as_of, self._by_template = self.cluster.rollouts.changes, {}
            for item in sorted(self.cluster.rollouts, key=lambda item: item.metadata.name):
                self._by_template.setdefault(template_of(item), []).append(self._source(POLICY, item))
        return self._by_template.get(key, [])

    def contents(self, namespace: str) -> Iterator[Content]:
        """All content that policies of the namespace may still serve: of a template that they have left, too."""
        for item in self.cluster.rollouts:
            if item.metadata.namespace == namespace:
                yield from self._source(POLICY, item).contents()
                if item.metadata.uid in self.asked:
                    yield self.asked[item.metadata.uid]

    def template(self, key: TemplateKey) -> RolloutSource | None:
        """The template itself, if its changes roll out by a strategy."""
        item = self.cluster.templates.get(key)
        if item is None or item.spec.get("strategy") is None:
            return None
        return self._source(TEMPLATE, item)

    def of(self, key: TemplateKey) -> list[RolloutSource]:
        """Everything that rolls out in a template's groups."""
        template = self.template(key)
        return [*([template] if template else []), *self.policies(key)]

    def present(self) -> set[str]:
        """The uids of everything that may roll out."""
        return {
            item.metadata.uid for store in (self.cluster.rollouts, self.cluster.templates) for item in store
        }

    def keep(self, present: Container[str]) -> None:
        """Forget all but these."""
        self._known = {uid: known for uid, known in self._known.items() if uid in present}
        self.asked = {uid: content for uid, content in self.asked.items() if uid in present}

    def store(self, kind: str) -> Objects[AnyObject]:
        """Where the objects of that kind are."""
        return self.cluster.rollouts if kind == POLICY else self.cluster.templates

    def _source(self, kind: Literal["PolicyRollout", "ConfigTemplate"], item: AnyObject) -> RolloutSource:
        known = self._known.get(item.metadata.uid)
        if known is not None and known[0] == item.metadata.resourceVersion:
            return known[1]
        progress = read_progress(item.status, f"{kind} {item.key}")
        source = RolloutSource(kind, item, progress, intents(progress))
        self._known[item.metadata.uid] = (item.metadata.resourceVersion, source)
        return source
