"""The reflectors that fill the stores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from trimtab.core import naming
from trimtab.core.objects import AnyObject, MetaOnly
from trimtab.core.resolve.preference import PreferenceObject
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.outputs import OutputObject
from trimtab.kube.port import Api
from trimtab.kube.reflector import AnyReflector, Reflector
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    NAMESPACES,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    ROLLOUT_ACTIONS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)

UNWATCHED_SECONDS = 60.0
"""How often the kinds that kopf watches are listed: there are few objects of them, and kopf may miss a deletion."""
MANAGED = f"{naming.LABEL_MANAGED_BY}={naming.MANAGER}"


class Reflectors:
    """One reflector for each kind. Every store is compared with a full list each ``relist_seconds``."""

    def __init__(self, api: Api, cluster: ClusterState, relist_seconds: float) -> None:
        def reflect(
            resource: Resource, item: type[Any], sink: Any, *, watch: bool = True, **options: Any
        ) -> AnyReflector:
            return Reflector(
                api,
                resource,
                item,
                sink,
                version=lambda o: o.metadata.resourceVersion,
                relist_seconds=relist_seconds if watch else min(relist_seconds, UNWATCHED_SECONDS),
                watch=watch,
                **options,
            )

        self._all = [
            reflect(NAMESPACES, MetaOnly, cluster.namespaces),
            reflect(CONFIG_TEMPLATES, AnyObject, cluster.templates, watch=False),  # kopf watches these three
            reflect(POLICY_ROLLOUTS, AnyObject, cluster.rollouts, watch=False),
            reflect(ROLLOUT_ACTIONS, AnyObject, cluster.actions, watch=False),
            reflect(RENDERED_GROUPS, AnyObject, cluster.groups),
            reflect(CONTROLLER_REVISIONS, MetaOnly, cluster.snapshots, selector=MANAGED),
            reflect(
                CONFIG_MAPS, OutputObject, cluster.outputs.sink("ConfigMap"), selector=MANAGED, limit=200
            ),
            reflect(SECRETS, OutputObject, cluster.outputs.sink("Secret"), selector=MANAGED, limit=200),
            reflect(USER_PREFERENCES, PreferenceObject, cluster.preferences),
        ]

    def __iter__(self) -> Iterator[AnyReflector]:
        return iter(self._all)

    def relist(self, resource: Resource) -> None:
        """List the objects of this kind now."""
        for reflector in self._all:
            if reflector.resource == resource:
                reflector.ask()

    def relist_unwatched(self) -> None:
        """List the kinds that kopf watches now: kopf has restarted and may have missed deletions."""
        for reflector in self._all:
            if not reflector.watches:
                reflector.ask()

    async def wait_synced(self) -> None:
        """Wait until every store has been complete once."""
        for reflector in self._all:
            await reflector.synced.wait()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._all:
                tasks.create_task(reflector.run())
