"""Whether a ConfigTemplate is valid: its own spec, next to the other templates, and together with its policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.unsupported import not_supported
from trimtab.core import naming, reasons
from trimtab.core.evaluate.membership import Namespaces, may_render_into
from trimtab.core.model_errors import shape_violations
from trimtab.core.objects import AnyObject
from trimtab.core.policy.fit import within
from trimtab.core.policy.policy import Policy, compile_policy
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.render import render_group
from trimtab.core.render.sizes import DEFAULT_OUTPUT, Total
from trimtab.core.resolve.resolve import document_problems, group_view
from trimtab.core.rollout.strategy import compiling_strategy
from trimtab.core.schema.template import Schema, compiling
from trimtab.core.status import TRUE, UNKNOWN, Verdict, refused, rejected, unsupported
from trimtab.core.steps import Steps
from trimtab.core.text import plural
from trimtab.core.violations import ENOUGH, Fault, Notice, RejectedError, Violation

PolicySpecs = Sequence[tuple[str, PolicyRolloutSpec]]
"""Policies by name."""


@dataclass(frozen=True, slots=True)
class ValidTemplate:
    """A template whose own spec is valid, and what its author should know of it."""

    schema: Schema
    notices: tuple[Notice, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict until its groups are rendered."""
        message = "accepted; its outputs are being written"
        return Verdict(UNKNOWN, reasons.PROGRESSING, message, (), self.notices)


def reading_template(
    key: TemplateKey, written: Mapping[str, Any], max_output: int = DEFAULT_OUTPUT
) -> Steps[ValidTemplate | Verdict]:
    """The template of a spec as written, or why it is refused. ``max_output`` limits the bytes of its files."""
    try:
        spec = ConfigTemplateSpec.model_validate(written)
    except ValidationError as error:
        return rejected(shape_violations(error, written))
    fields = not_supported(spec)
    if fields:
        return unsupported(fields)
    try:
        schema = yield from compiling(key.name, spec, key.namespace)
        notices = yield from validating_groups(schema, (), max_output)
        if spec.strategy is not None:
            yield from compiling_strategy(spec.strategy, {group.name: group.labels for group in spec.groups})
    except RejectedError as error:
        return rejected(error.violations)
    return ValidTemplate(schema, notices)


def validating_groups(
    schema: Schema, policies: Sequence[Policy] = (), max_output: int = DEFAULT_OUTPUT
) -> Steps[tuple[Notice, ...]]:
    """Render every group's document once, under the policies; its notices. One group is one step.

    :raises RejectedError: a group's document cannot be rendered, or all of them together are too large.
    """
    found: list[Violation] = []
    notices = dict.fromkeys(schema.notices)
    total = Total(schema, max_output)
    for name in schema.groups:
        view = group_view(schema, name, [policy for policy in policies if name in policy.groups])
        rendered = render_group(view)
        found += document_problems(view) if policies else ()
        found += rendered.violations
        notices |= dict.fromkeys(rendered.notices)
        too_large = total.add(view, rendered.entries)
        if too_large is not None:
            found.append(too_large)
        if too_large is not None or len(found) > ENOUGH:
            break
        yield
    if found:
        raise RejectedError(found)
    return tuple(notices)


def evaluating_with_policies(
    schema: Schema, policies: PolicySpecs, max_output: int = DEFAULT_OUTPUT
) -> Steps[Verdict | None]:
    """Why the template is refused together with the policies in force, if it is."""
    if not policies:
        return None
    compiled = []
    try:
        for name, spec in policies:
            compiled.append(compile_policy(name, within(spec, schema), schema))
            yield
        yield from validating_groups(schema, compiled, max_output)
    except RejectedError as error:
        return rejected(error.violations)
    return None


# Collisions of names.


@dataclass(frozen=True, slots=True)
class Contender:
    """One of two templates that would render objects of the same name. ``accepted``: its spec is accepted;
    ``rendered``: one of its groups has a revision, by a status that only the operator writes."""

    item: AnyObject
    accepted: bool
    rendered: bool

    @property
    def rank(self) -> tuple[bool, str, str]:
        """Lower takes precedence: the template that is rendered already, then the older one."""
        return not self.rendered, self.item.metadata.creationTimestamp or "", self.item.metadata.uid


def contested_names(namespaces: Namespaces, one: AnyObject, other: AnyObject) -> list[tuple[str, str]]:
    """Namespaces and names of the groups' objects that both templates would render."""
    if one.key == other.key or not _may_collide(one.metadata.name, other.metadata.name):
        return []
    return sorted(_object_names(namespaces, one) & _object_names(namespaces, other))


def takes_precedence(
    rival: Contender, over: Contender, namespace: str, owners: AbstractSet[TemplateKey]
) -> bool:
    """Whether the rival keeps a contested name in a namespace. ``owners`` are the templates that have rendered objects
    of that name, and keep it. Otherwise a namespace's own template takes precedence, then the accepted one, then the
    one of lower rank."""
    mine, theirs = over.item.key, rival.item.key
    if owners and owners <= {mine, theirs}:
        return mine not in owners
    if mine.namespace != theirs.namespace and namespace in (mine.namespace, theirs.namespace):
        return namespace == theirs.namespace
    return rival.accepted or rival.rank < over.rank


def collision(item: AnyObject, rival: AnyObject, place: tuple[str, str]) -> Verdict:
    """The verdict on a template whose name for an object another one has. It names a rival only in the same namespace:
    the author may not know the others."""
    known = rival.metadata.namespace == item.metadata.namespace
    owner = f"template {rival.key}" if known else "a template of another namespace"
    return refused(reasons.NAME_COLLISION, Fault(f"{owner} renders {'/'.join(place)} as well", "rename one"))


def _may_collide(one: str, other: str) -> bool:
    """Whether templates of these names may render objects of one name, ``<template>-<group>``."""
    return one == other or one.startswith(f"{other}-") or other.startswith(f"{one}-")


def _object_names(namespaces: Namespaces, item: AnyObject) -> set[tuple[str, str]]:
    """The places of its groups' objects. A target namespace that does not allow the template has none of them."""
    key = item.key
    found = set()
    for group, target in _targets(item):
        name = naming.group_object(key.name, group)
        found.add((key.namespace, name))
        if target and may_render_into(namespaces, target, key.namespace):
            found.add((target, name))
    return found


def _targets(item: AnyObject) -> Iterator[tuple[str, str | None]]:
    """The groups, and their target namespaces, of a spec that may be malformed."""
    for group in item.spec.get("groups") or ():
        if isinstance(group, dict):
            yield group.get("name", ""), group.get("targetNamespace")


# Ready.


def ready_verdict(
    verdict: Verdict, groups: int, failing: Mapping[GroupKey, Verdict], *, pending: bool, blocked: str = ""
) -> Verdict:
    """The verdict on an accepted template by the outcomes of its ``groups``. ``pending``: some have none yet, or are on
    other content; ``blocked`` is what these wait for."""
    if failing:
        group = min(failing)
        found = failing[group]
        fault = found.fault._replace(problem=f"group {group.group}: {found.fault.problem}")
        return refused(found.reason, fault, notices=verdict.notices)
    if pending:
        return replace(verdict, message=f"accepted; {blocked}") if blocked else verdict
    return Verdict(TRUE, reasons.RENDERED, f"{plural(groups, 'group')} rendered", (), verdict.notices)
