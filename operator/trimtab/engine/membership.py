"""Who may be in a group, and where its outputs may go: what namespaces and limits have to say."""

from __future__ import annotations

from collections.abc import Container, Sequence

from trimtab.api.config_template import GroupSpec
from trimtab.core import naming
from trimtab.core.schema import Schema
from trimtab.core.selector import selects
from trimtab.engine import users
from trimtab.engine.group_state import GroupState
from trimtab.engine.preferences import Preference
from trimtab.engine.world import Dirt, World, lets_in


def membership(world: World, state: GroupState, dirt: Dirt) -> users.Rules:
    """The rules of one pass. Whoever gets a place, or loses one, for others' sake becomes dirty."""
    spec = state.view.group.spec
    members = world.preferences.members(state.key)
    admitted: dict[str, bool] = {}

    def admits(namespace: str) -> bool:
        if namespace not in admitted:
            admitted[namespace] = _admits(world, state.view.group.spec, state.key.namespace, namespace)
        return admitted[namespace]

    over: frozenset[tuple[str, str]] = frozenset()
    if spec.max_users is not None and len(members) > spec.max_users:
        schema = state.view.schema
        entitled = [p for p in members.values() if admits(p.namespace) and _holds(world, schema, p)]
        over = frozenset(p.key for p in sorted(entitled, key=lambda p: p.age)[spec.max_users :])
    for namespace, name in over ^ state.over_limit:
        preference = world.preferences.get(namespace, name)
        if preference is not None:
            dirt.users.setdefault(namespace, {})[preference.user] = None
    state.over_limit = over
    return users.Rules(admits=admits, full=lambda preference: preference.key in over)


def holder(world: World, schema: Schema, claimants: Sequence[Preference]) -> Preference | None:
    """Of those who claim a user, the oldest first, the one who holds it: the first who may be in the group it names.

    Whoever may not join claims nobody, or any tenant could keep any user from being served.
    """
    if len(claimants) == 1:
        return claimants[0]
    for claimant in claimants:
        group = schema.groups.get(claimant.group)
        home = claimant.template.namespace
        if group is not None and _admits(world, group.spec, home, claimant.namespace):
            return claimant
    return None


def reaches(world: World, schema: Schema, preference: Preference, over: Container[tuple[str, str]]) -> bool:
    """Whether what its group serves reaches the preference's user; ``over`` are those beyond the group's limit."""
    group = schema.groups.get(preference.group)
    return (
        group is not None
        and preference.key not in over
        and _admits(world, group.spec, preference.template.namespace, preference.namespace)
        and _holds(world, schema, preference)
    )


def _holds(world: World, schema: Schema, preference: Preference) -> bool:
    claimants = world.preferences.claimants(preference.template, preference.user)
    return holder(world, schema, claimants) is preference and preference.user not in ("", naming.DEFAULT_USER)


def offered(world: World, schema: Schema, home: str, namespace: str) -> list[str]:
    """The groups that take preferences from the namespace."""
    return [name for name, group in schema.groups.items() if _admits(world, group.spec, home, namespace)]


def _admits(world: World, group: GroupSpec, home: str, namespace: str) -> bool:
    selector = group.preference_namespace_selector
    if selector is None:
        return namespace == home
    found = world.namespace(namespace)
    return found is not None and selects(selector, found.metadata.labels or {})


def barred_from(world: World, state: GroupState) -> str | None:
    """Why the target namespace may not be written to, or None."""
    return bars(world, state.target, state.key.namespace)


def bars(world: World, target: str, home: str) -> str | None:
    """Why templates of the namespace ``home`` may not write to the namespace ``target``, or None."""
    if target == home:
        return None
    wanted = f"{naming.ANNOTATION_ALLOW_FROM}: {home}"
    if lets_in(world, target, home):
        return None
    return (  # not which of the two: authors of templates may not know which namespaces there are
        f"the target namespace {target} does not exist or does not let templates of {home} in; "
        f"annotate it {wanted}. What was rendered before stays"
    )
