"""Loads what a rollout's preview is computed from (core/rollout/preview.py), group by group."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from trimtab.api.rollout_status import Content, Preview
from trimtab.core.refs import GroupKey
from trimtab.core.rollout.assignment import Assignment
from trimtab.core.rollout.preview import GroupChange, PreviewBuilder
from trimtab.core.rollout.source import TEMPLATE, RolloutSource
from trimtab.engine.groups.assignments import Assignments
from trimtab.engine.scheduling.failures import fault
from trimtab.engine.scheduling.time_slices import TimeSlices
from trimtab.engine.store.cluster_state import ClusterState

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Previews:
    cluster: ClusterState
    assignments: Assignments
    slices: TimeSlices

    async def of(self, source: RolloutSource, target: Content, groups: Iterable[str]) -> Preview:
        """What the rollout would change in these groups.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        template = source.key.name if source.kind == TEMPLATE else source.item.spec["templateRef"]["name"]
        builder = PreviewBuilder()
        for name in groups:
            key = GroupKey(source.key.namespace, template, name)
            now = await self.assignments.of(key)
            then = await self.assignments.having(key, source, target.snapshot)
            change = GroupChange(
                key.namespace,
                name,
                now.content.view(name) if isinstance(now, Assignment) else None,
                then.view(name) if then is not None else None,
            )
            members = list(self.cluster.preferences.members(key).values())
            for each in await self.slices.run(builder.add(change, members)):
                named = {"preference": "/".join(each.preference.key)}
                log.error("Could not resolve a preference: %s", fault(each.error), extra=named)
        return builder.preview(target.hash)
