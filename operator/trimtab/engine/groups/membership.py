"""Who may be in a group, and where its outputs may go: what namespaces and limits have to say."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from trimtab.api.config_template import GroupSpec
from trimtab.core import naming
from trimtab.core.schema.template import Schema
from trimtab.core.selector import selects
from trimtab.core.steps import SOME, Steps, in_order
from trimtab.engine.groups import users
from trimtab.engine.groups.state import GroupState, LimitBasis
from trimtab.engine.store.cluster_state import ClusterState, Dirt, lets_in
from trimtab.engine.store.preferences import Preference


def membership(cluster: ClusterState, state: GroupState, dirt: Dirt) -> Steps[users.Rules]:
    """The rules of one pass. Whoever gets a place, or loses one, for others' sake becomes dirty.

    Who is beyond the limit is worked out again only if claims, admission or the group itself have changed.
    """
    spec = state.view.group.spec
    admitted: dict[str, bool] = {}

    def admits(namespace: str) -> bool:
        if namespace not in admitted:
            admitted[namespace] = _admits(cluster, spec, state.key.namespace, namespace)
        return admitted[namespace]

    version = cluster.preferences.version(state.key.template_key), cluster.admission
    basis = LimitBasis(state.view.schema, spec, version)
    if not basis.same(state.limit_basis):
        over = yield from _over_limit(cluster, state, admits)
        for number, (namespace, name) in enumerate(over ^ state.over_limit, 1):
            preference = cluster.preferences.get(namespace, name)
            if preference is not None:
                dirt.users.setdefault(namespace, {})[preference.user] = None
            if number % SOME == 0:
                yield
        state.over_limit, state.limit_basis = over, basis
    over_now = state.over_limit
    return users.Rules(admits=admits, full=lambda preference: preference.key in over_now)


def _over_limit(
    cluster: ClusterState, state: GroupState, admits: Callable[[str], bool]
) -> Steps[frozenset[tuple[str, str]]]:
    """Who is beyond the group's limit. It looks at all members: only when one of them has changed."""
    limit = state.view.group.spec.max_users
    members = cluster.preferences.members(state.key)
    if limit is None or len(members) <= limit:
        return frozenset()
    schema = state.view.schema
    holders: dict[str, tuple[str, str] | None] = {"": None, naming.DEFAULT_USER: None}
    entitled = []
    for number, preference in enumerate(list(members.values()), 1):
        user = preference.user
        if user not in holders:
            found = holder(cluster, schema, cluster.preferences.claimants(state.key.template_key, user))
            holders[user] = found.key if found is not None else None
        if holders[user] == preference.key and admits(preference.namespace):
            entitled.append(preference)
        if number % SOME == 0:
            yield
    over = set()
    for number, preference in enumerate((yield from in_order(entitled, key=lambda p: p.age)), 1):
        if number > limit:
            over.add(preference.key)
        if number % SOME == 0:
            yield
    return frozenset(over)


def holder(cluster: ClusterState, schema: Schema, claimants: Sequence[Preference]) -> Preference | None:
    """Of those who claim a user, the oldest first, the one who holds it: the first who may be in the group it names.

    Whoever may not join claims nobody, or any tenant could keep any user from being served.
    """
    if len(claimants) == 1:
        return claimants[0]
    asked: dict[tuple[str, str], bool] = {}
    for claimant in claimants:
        where = claimant.group, claimant.namespace
        if where not in asked:
            group = schema.groups.get(claimant.group)
            home = claimant.template.namespace
            asked[where] = group is not None and _admits(cluster, group.spec, home, claimant.namespace)
        if asked[where]:
            return claimant
    return None


def reaches(
    cluster: ClusterState, schema: Schema, preference: Preference, over: Container[tuple[str, str]]
) -> bool:
    """Whether what its group serves reaches the preference's user; ``over`` are those beyond the group's limit."""
    group = schema.groups.get(preference.group)
    return (
        group is not None
        and preference.key not in over
        and _admits(cluster, group.spec, preference.template.namespace, preference.namespace)
        and _holds(cluster, schema, preference)
    )


def _holds(cluster: ClusterState, schema: Schema, preference: Preference) -> bool:
    claimants = cluster.preferences.claimants(preference.template, preference.user)
    return holder(cluster, schema, claimants) is preference and preference.user not in (
        "",
        naming.DEFAULT_USER,
    )


def offered(cluster: ClusterState, schema: Schema, home: str, namespace: str) -> list[str]:
    """The groups that take preferences from the namespace."""
    return [name for name, group in schema.groups.items() if _admits(cluster, group.spec, home, namespace)]


def _admits(cluster: ClusterState, group: GroupSpec, home: str, namespace: str) -> bool:
    selector = group.preference_namespace_selector
    if selector is None:
        return namespace == home
    found = cluster.namespace(namespace)
    return found is not None and selects(selector, found.metadata.labels or {})


def barred_from(cluster: ClusterState, state: GroupState) -> str | None:
    """Why the target namespace may not be written to, or None."""
    return bars(cluster, state.target, state.key.namespace)


def bars(cluster: ClusterState, target: str, home: str) -> str | None:
    """Why templates of the namespace ``home`` may not write to the namespace ``target``, or None."""
    if target == home:
        return None
    wanted = f"{naming.ANNOTATION_ALLOW_FROM}: {home}"
    if lets_in(cluster, target, home):
        return None
    return (  # not which of the two: authors of templates may not know which namespaces there are
        f"the target namespace {target} does not exist or does not let templates of {home} in; "
        f"annotate it {wanted}. What was rendered before stays"
    )
