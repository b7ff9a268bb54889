"""All rollouts by template. Progress is read from status, whose newest version this process has written or read."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from trimtab.api.rollout_status import Content, RolloutProgress
from trimtab.core.objects import AnyObject, template_of
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout import intents
from trimtab.core.rollout.source import POLICY, TEMPLATE, Kind, RolloutSource
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.objects import Objects
from trimtab.kube.resources import CONFIG_TEMPLATES, POLICY_ROLLOUTS, Resource

log = logging.getLogger(__name__)


def resource_of(kind: str) -> Resource:
    """The resource of a kind that rolls out."""
    return POLICY_ROLLOUTS if kind == POLICY else CONFIG_TEMPLATES


def read_progress(status: dict[str, Any], of: str) -> RolloutProgress:
    """The progress in a status; none if another client wrote something else there."""
    try:
        return RolloutProgress.model_validate(status)
    except ValidationError as error:
        log.error("Ignoring the invalid status of %s: %d validation errors", of, error.error_count())
        return RolloutProgress()


@dataclass(slots=True)
class RolloutSources:
    cluster: ClusterState
    _known: dict[str, tuple[str, RolloutSource]] = field(default_factory=dict)
    """uid -> (resourceVersion, source)"""
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
        """All content that groups may get from policies of the namespace, also of a template that a policy left."""
        for item in self.cluster.rollouts:
            if item.metadata.namespace == namespace:
                yield from self._source(POLICY, item).contents()

    def template(self, key: TemplateKey) -> RolloutSource | None:
        """The template itself, if it has a strategy."""
        item = self.cluster.templates.get(key)
        if item is None or item.spec.get("strategy") is None:
            return None
        return self._source(TEMPLATE, item)

    def of(self, key: TemplateKey) -> list[RolloutSource]:
        """All rollouts of a template's groups: the template first, then policies by name."""
        template = self.template(key)
        return [*([template] if template else []), *self.policies(key)]

    def present(self) -> set[str]:
        """The uids of all objects that may roll out."""
        return {
            item.metadata.uid for store in (self.cluster.rollouts, self.cluster.templates) for item in store
        }

    def keep(self, present: Container[str]) -> None:
        """Forget all but these."""
        self._known = {uid: known for uid, known in self._known.items() if uid in present}

    def store(self, kind: str) -> Objects[AnyObject]:
        """The store of the objects of that kind."""
        return self.cluster.rollouts if kind == POLICY else self.cluster.templates

    def _source(self, kind: Kind, item: AnyObject) -> RolloutSource:
        known = self._known.get(item.metadata.uid)
        if known is not None and known[0] == item.metadata.resourceVersion:
            return known[1]
        progress = read_progress(item.status, f"{kind} {item.key}")
        source = RolloutSource(kind, item, progress, intents(progress))
        self._known[item.metadata.uid] = (item.metadata.resourceVersion, source)
        return source
