"""Whether a group's revision reaches its users. If it reaches few, that is a failure of the group, not of its users."""

from __future__ import annotations

from collections import Counter

from trimtab.core.evaluate.membership import holder
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.writer import Failure
from trimtab.engine.store.cluster_state import ClusterState


def common_failure(cluster: ClusterState, state: GroupState) -> Failure | None:
    """Of a group with refused users: the failure of most users' entries: a rollout that continued would reach no user.

    Users without any entry yet do not count. The failure of an only user counts if their shard is refused whatever it
    holds: else it is their content, which must not block the rollouts of other groups. Nor must the content of one
    tenant who has most of the users: without the users of the other namespace that has most of the refused, most users
    must be refused as well.
    """
    unwritten, users = state.unwritten, state.files.user_count
    refused = unwritten.refused
    first = min(refused)
    counted = refused - (unwritten.users_missing - unwritten.users_surplus)
    new = len(refused) - len(counted)
    if len(refused) == 1:
        sole = users == 1 and first not in state.files.own and not new
        return unwritten.refusals.of(first) if sole and unwritten.refusals.of_whole(first) else None
    if not (2 * len(counted) > users - new or len(refused) >= users):
        return None
    return None if _is_one_tenant(cluster, state, refused) else unwritten.refusals.of(first)


def _is_one_tenant(cluster: ClusterState, state: GroupState, refused: set[str]) -> bool:
    """Whether most of the refused users are of one other namespace, and most of the others are not refused."""
    homes = Counter(_home(cluster, state, user) for user in refused)
    del homes[state.key.namespace]
    if not homes:
        return False
    tenant = max(homes, key=lambda home: (homes[home], home))
    reached = len(refused) - homes[tenant] or 1  # as many others as are refused, and at least one
    for user in state.files.users():
        if user not in refused and _home(cluster, state, user) != tenant:
            reached -= 1
            if not reached:
                return True
    return False


def _home(cluster: ClusterState, state: GroupState, user: str) -> str:
    """The namespace of the preference that holds the user."""
    claimants = cluster.preferences.claimants(state.key.template_key, user)
    found = holder(cluster, state.view.schema, claimants)
    return found.namespace if found is not None else ""
