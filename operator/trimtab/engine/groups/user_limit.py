"""A group's ``maxUsers``: which preferences exceed it, computed again only after a change."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.api.config_template import GroupSpec
from trimtab.core.evaluate.membership import Membership, over_limit
from trimtab.core.refs import GroupKey
from trimtab.core.resolve.preference import Preference
from trimtab.core.resolve.resolve import GroupView
from trimtab.core.schema.template import Schema
from trimtab.core.steps import SOME, Steps
from trimtab.engine.store.cluster_state import ClusterState


@dataclass(frozen=True, slots=True)
class LimitChange:
    """Which preferences the group accepts now, and those that exceed its limit now or no longer."""

    membership: Membership
    changed: tuple[Preference, ...] = ()


@dataclass(slots=True)
class UserLimit:
    """``exceeding`` are the preferences beyond the limit, by namespace and name."""

    exceeding: frozenset[tuple[str, str]] = frozenset()
    _basis: tuple[Schema, GroupSpec, int, int] | None = None
    """What that was computed from: the content, and the versions of the claims and of the namespaces"""

    def update(self, cluster: ClusterState, key: GroupKey, view: GroupView) -> Steps[LimitChange]:
        """Compute the limit again if claims, namespaces or the group itself have changed."""
        schema, spec, changed = view.schema, view.group.spec, list[Preference]()
        versions = cluster.preferences.version(key.template_key), cluster.admission
        if not self._is_current(schema, spec, versions):
            exceeding = yield from over_limit(cluster, schema, key, cluster.preferences)
            for number, (namespace, name) in enumerate(exceeding ^ self.exceeding, 1):
                preference = cluster.preferences.get(namespace, name)
                if preference is not None:
                    changed.append(preference)
                if number % SOME == 0:
                    yield
            self.exceeding, self._basis = exceeding, (schema, spec, *versions)
        membership = Membership(spec, key.namespace, cluster, self.exceeding)
        return LimitChange(membership, tuple(changed))

    def _is_current(self, schema: Schema, spec: GroupSpec, versions: tuple[int, int]) -> bool:
        """Compared by identity: content that was compiled again counts as changed."""
        basis = self._basis
        return basis is not None and basis[0] is schema and basis[1] is spec and basis[2:] == versions
