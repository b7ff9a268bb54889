"""Which preference holds a user, which preferences a group accepts, and where a template may render."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trimtab.api.config_template import GroupSpec
from trimtab.core import naming, reasons
from trimtab.core.objects import MetaOnly
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.resolve.preference import Preference
from trimtab.core.schema.template import Schema
from trimtab.core.selector import selects
from trimtab.core.status import Verdict, refused
from trimtab.core.steps import SOME, Steps, in_order
from trimtab.core.violations import Fault

PreferenceKey = tuple[str, str]
"""Namespace and name."""


class Namespaces(Protocol):
    """The cluster's namespaces."""

    def namespace(self, name: str, /) -> MetaOnly | None:
        """Its labels and annotations; None if it does not exist."""


class Claims(Protocol):
    """All preferences, by the group that they name and by the user that they claim."""

    def members(self, key: GroupKey, /) -> Mapping[PreferenceKey, Preference]:
        """Every preference that names the group."""

    def claimants(self, template: TemplateKey, user: str, /) -> Sequence[Preference]:
        """The preferences that claim a user, the oldest first."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Which preferences one group accepts. ``home`` is the template's namespace; ``over_limit`` are the preferences
    beyond ``maxUsers``."""

    group: GroupSpec
    home: str
    namespaces: Namespaces
    over_limit: Container[PreferenceKey] = frozenset()

    def accepts_from(self, namespace: str) -> bool:
        """Whether the group accepts preferences of the namespace."""
        return accepts_from(self.namespaces, self.group, self.home, namespace)


def accepts_from(namespaces: Namespaces, group: GroupSpec, home: str, namespace: str) -> bool:
    """Whether a group of a template in ``home`` accepts preferences of the namespace."""
    selector = group.preference_namespace_selector
    if selector is None:
        return namespace == home
    found = namespaces.namespace(namespace)
    return found is not None and selects(selector, found.metadata.labels or {})


def accepting_groups(namespaces: Namespaces, schema: Schema, home: str, namespace: str) -> list[str]:
    """The groups that accept preferences of the namespace."""
    return [
        name for name, group in schema.groups.items() if accepts_from(namespaces, group.spec, home, namespace)
    ]


def holder(namespaces: Namespaces, schema: Schema, claimants: Sequence[Preference]) -> Preference | None:
    """The preference that holds a user: the oldest claimant that the group which it names accepts.

    A claimant that its group does not accept holds no user: otherwise any tenant could keep any user from the files.
    """
    if len(claimants) == 1:
        return claimants[0]
    accepted: dict[tuple[str, str], bool] = {}
    for claimant in claimants:
        where = claimant.group, claimant.namespace
        if where not in accepted:
            group = schema.groups.get(claimant.group)
            home = claimant.template.namespace
            accepted[where] = group is not None and accepts_from(
                namespaces, group.spec, home, claimant.namespace
            )
        if accepted[where]:
            return claimant
    return None


def is_effective(
    namespaces: Namespaces,
    schema: Schema,
    preference: Preference,
    claimants: Sequence[Preference],
    over_limit: Container[PreferenceKey],
) -> bool:
    """Whether the preference holds its user in a group that accepts it. ``claimants`` are those of its user."""
    group = schema.groups.get(preference.group)
    return (
        group is not None
        and preference.key not in over_limit
        and accepts_from(namespaces, group.spec, preference.template.namespace, preference.namespace)
        and preference.user not in ("", naming.DEFAULT_USER)
        and holder(namespaces, schema, claimants) is preference
    )


def over_limit(
    namespaces: Namespaces, schema: Schema, key: GroupKey, claims: Claims
) -> Steps[frozenset[PreferenceKey]]:
    """The preferences beyond the group's ``maxUsers``, of which the older ones take precedence.

    It reads all members, so its result is worth keeping while claims and namespaces are unchanged.
    """
    group = schema.groups[key.group].spec
    if group.max_users is None or len(claims.members(key)) <= group.max_users:
        return frozenset()
    entitled = yield from _entitled(namespaces, schema, key, claims)
    beyond = set()
    for number, preference in enumerate((yield from in_order(entitled, key=lambda p: p.age)), 1):
        if number > group.max_users:
            beyond.add(preference.key)
        if number % SOME == 0:
            yield
    return frozenset(beyond)


def _entitled(
    namespaces: Namespaces, schema: Schema, key: GroupKey, claims: Claims
) -> Steps[list[Preference]]:
    """The members that hold their users, whatever the limit."""
    group = schema.groups[key.group].spec
    accepted: dict[str, bool] = {}
    holders: dict[str, PreferenceKey | None] = {"": None, naming.DEFAULT_USER: None}
    entitled = []
    for number, preference in enumerate(list(claims.members(key).values()), 1):
        user, home = preference.user, preference.namespace
        if user not in holders:
            found = holder(namespaces, schema, claims.claimants(key.template_key, user))
            holders[user] = found.key if found is not None else None
        if home not in accepted:
            accepted[home] = accepts_from(namespaces, group, key.namespace, home)
        if holders[user] == preference.key and accepted[home]:
            entitled.append(preference)
        if number % SOME == 0:
            yield
    return entitled


def may_render_into(namespaces: Namespaces, target: str, home: str) -> bool:
    """Whether templates of the namespace ``home`` may render into the namespace ``target``."""
    if target == home:
        return True
    found = namespaces.namespace(target)
    notes = (found.metadata.annotations or {}) if found is not None else {}
    return home in {name.strip() for name in notes.get(naming.ANNOTATION_ALLOW_FROM, "").split(",")}


def target_refused(target: str, home: str) -> Verdict:
    """The verdict on a group of the namespace ``home`` that may not render into ``target``. It does not state whether
    the target exists: the template's author may have no right to know."""
    problem = f"the target namespace {target} does not exist or does not allow templates of namespace {home}"
    remedy = f"annotate it {naming.ANNOTATION_ALLOW_FROM}: {home}. The existing outputs are kept"
    return refused(reasons.TARGET_NOT_ALLOWED, Fault(problem, remedy))
