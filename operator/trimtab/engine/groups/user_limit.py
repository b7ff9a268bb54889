"""A group's ``maxUsers``: which preferences are beyond it, computed again only after a change."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.core.evaluate.membership import Membership, over_limit
from trimtab.core.resolve.preference import Preference
from trimtab.core.steps import SOME, Steps
from trimtab.engine.groups.state import GroupState, LimitBasis
from trimtab.engine.store.cluster_state import ClusterState


@dataclass(frozen=True, slots=True)
class LimitChange:
    """The group's rules from now on, and the preferences that are beyond its limit now or no longer."""

    membership: Membership
    changed: tuple[Preference, ...] = ()


def update_limit(cluster: ClusterState, state: GroupState) -> Steps[LimitChange]:
    """Compute the limit again if claims, namespaces or the group itself have changed."""
    schema, key, spec = state.view.schema, state.key, state.view.group.spec
    version = cluster.preferences.version(key.template_key), cluster.admission
    basis, changed = LimitBasis(schema, spec, version), list[Preference]()
    if not basis.same(state.limit_basis):
        beyond = yield from over_limit(cluster, schema, key, cluster.preferences)
        for number, (namespace, name) in enumerate(beyond ^ state.over_limit, 1):
            preference = cluster.preferences.get(namespace, name)
            if preference is not None:
                changed.append(preference)
            if number % SOME == 0:
                yield
        state.over_limit, state.limit_basis = beyond, basis
    membership = Membership(spec, key.namespace, cluster, state.over_limit)
    return LimitChange(membership, tuple(changed))
