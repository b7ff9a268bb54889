"""Whether a group's revision reaches its users, or so few that it is the group's matter and no user's own."""

from __future__ import annotations

from collections import Counter

from trimtab.core.evaluate.membership import holder
from trimtab.core.render.entries import GROUP
from trimtab.engine.groups.state import GroupState
from trimtab.engine.groups.writer import Failure
from trimtab.engine.store.cluster_state import ClusterState


def common_failure(cluster: ClusterState, state: GroupState) -> Failure | None:
    """By what most users' entries cannot be written: a rollout that went on would have reached nobody.

    Who has no entry at all yet is not among those it reaches. An only user counts where their shard is refused whatever
    it holds: else it is their content, which must not hold up other groups' rollouts. Nor must that of one tenant who
    has most of the users: without those of the other namespace that has most of the refused, most are refused as well.
    """
    refused = state.refusals.users().keys() - {GROUP}
    if not refused:
        return None
    first = min(refused)
    lacking: set[str] = set().union(*state.lacking.values())
    somewhere: set[str] = set().union(*state.surplus.values())
    missed = refused - (lacking - somewhere)
    new = len(refused) - len(missed)
    if len(refused) == 1:
        sole = state.user_count == 1 and first not in state.own and not new
        return state.refusals.of(first) if sole and state.refusals.of_whole(first) else None
    if not (2 * len(missed) > state.user_count - new or len(refused) >= state.user_count):
        return None
    return None if _is_one_tenants(cluster, state, refused) else state.refusals.of(first)


def _is_one_tenants(cluster: ClusterState, state: GroupState, refused: set[str]) -> bool:
    homes = Counter(_home(cluster, state, user) for user in refused)
    del homes[state.key.namespace]
    if not homes:
        return False
    tenant = max(homes, key=lambda home: (homes[home], home))
    reached = len(refused) - homes[tenant] or 1  # as many others as are missed, and one at least
    for user in state.users():
        if user not in refused and _home(cluster, state, user) != tenant:
            reached -= 1
            if not reached:
                return True
    return False


def _home(cluster: ClusterState, state: GroupState, user: str) -> str:
    """The namespace of the preference that holds the user."""
    claimants = cluster.preferences.claimants(state.key.template_key, user)
    held = holder(cluster, state.view.schema, claimants)
    return held.namespace if held is not None else ""
