"""Whether a PolicyRollout is valid: its own spec, together with the other policies, and in each group's document."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.api.unsupported import not_supported
from trimtab.core import reasons
from trimtab.core.model_errors import shape_violations
from trimtab.core.policy.fit import applies_to
from trimtab.core.policy.policy import Policy, compile_policy, contradictions
from trimtab.core.refs import TemplateKey
from trimtab.core.render.render import render_group
from trimtab.core.render.sizes import Total
from trimtab.core.resolve.resolve import document_problems, group_view
from trimtab.core.schema.template import Schema
from trimtab.core.status import Verdict, refused, rejected, unsupported
from trimtab.core.steps import Steps
from trimtab.core.violations import ENOUGH, TOO_LARGE, Fault, RejectedError, Violation

POLICIES_OF_A_GROUP = 200


def read_policy(name: str, spec: Mapping[str, Any], schema: Schema) -> Policy | Verdict:
    """The policy of a spec as written, against the template that it is for; or why it is refused."""
    try:
        read = PolicyRolloutSpec.model_validate(spec)
    except ValidationError as error:
        return rejected(shape_violations(error, spec))
    fields = not_supported(read)
    if fields:
        return unsupported(fields)
    try:
        return compile_policy(name, read, schema)
    except RejectedError as error:
        return rejected(error.violations)


def evaluating_spec(
    name: str, spec: Mapping[str, Any], others: Sequence[Policy], total: Total, *, is_new: bool
) -> Steps[Policy | Verdict]:
    """The policy of a spec as written, if it is valid on its own, in each group's document, and with the others."""
    policy = read_policy(name, spec, total.schema)
    if isinstance(policy, Verdict):
        return policy
    return (yield from _evaluating(policy, others, total, is_new=is_new)) or policy


def _evaluating(
    policy: Policy, others: Sequence[Policy], total: Total, *, is_new: bool
) -> Steps[Verdict | None]:
    """Why the policy is refused together with the ``others`` of its template, if it is. ``total`` limits the size of
    the template's files; a policy that is in force already (not ``is_new``) may exceed the policies of a group."""
    found: list[Violation] = []
    for other in sorted(others, key=lambda policy: policy.name):
        found += contradictions(policy, [other])
        yield
    for name in sorted(policy.groups):
        present = [other for other in others if name in other.groups]
        if len(present) >= POLICIES_OF_A_GROUP and is_new:
            found.append(_too_many(policy, name, len(present)))
            break
        too_large = _add_group(policy, name, present, total, found)
        if too_large or len(found) > ENOUGH:
            break
        yield
    return rejected(list(dict.fromkeys(found))) if found else None


def _add_group(
    policy: Policy, group: str, others: Sequence[Policy], total: Total, found: list[Violation]
) -> bool:
    """Add what is wrong in a group's document; whether the template's files are too large with it."""
    view = group_view(total.schema, group, (*others, policy))
    rendered = render_group(view)
    found += document_problems(view) or rendered.violations
    too_large = total.add(view, rendered.entries)
    if too_large is not None:
        found.append(replace(too_large, layer=f"policy/{policy.name}"))
    return too_large is not None


def scope(
    policy: Policy, schema: Schema, gone: Collection[str], former: Iterable[PolicyRolloutSpec]
) -> dict[str, Mapping[str, str]]:
    """The groups that a rollout of the policy is for, in the template's order, with their labels: those that it
    selects, and those of the ``former`` content that it replaces. If all of its groups are ``gone``, these."""
    groups = {group.name: group.labels for group in schema.spec.groups}
    found = [name for name in groups if name in policy.groups] or sorted(gone)
    found += [g.name for spec in former for g in schema.spec.groups if applies_to(spec, schema.name, g)]
    order = {name: number for number, name in enumerate(groups)}
    names = sorted(dict.fromkeys(found), key=lambda name: order.get(name, len(order)))
    return {name: groups.get(name, {}) for name in names}


def no_template(key: TemplateKey) -> Verdict:
    """The verdict on a policy whose template does not exist."""
    return refused(
        reasons.TEMPLATE_NOT_FOUND,
        Fault(
            f"ConfigTemplate {key} does not exist",
            "create it or correct spec.templateRef: the template of a PolicyRollout is in its own namespace",
        ),
    )


def template_never_valid(key: TemplateKey) -> Verdict:
    """The verdict on a policy whose template has no content yet that it could be evaluated with."""
    return refused(
        reasons.TEMPLATE_NOT_VALID,
        Fault(f"ConfigTemplate {key} has never been valid, so nothing is rendered yet", "see its status"),
    )


def no_scope(spec: PolicyRolloutSpec) -> Verdict:
    """Why a policy is for no group."""
    field, problem, remedy = "spec.groupSelector", "selects no group of the template", "correct it"
    if spec.groups is not None:
        field, problem = "spec.groups", "names no group"
        remedy = "remove the field to select every group, or delete the PolicyRollout to withdraw it"
    elif spec.group_selector is None:
        field, problem, remedy = "spec.templateRef", "names a ConfigTemplate without groups", "add one there"
    return rejected([Violation(field, "policy", "scope", problem, remedy=remedy)])


def _too_many(policy: Policy, group: str, count: int) -> Violation:
    """Why a group can have no further policy: each of its revisions lists all of them in status."""
    problem = f"group {group} has {count} policies, the limit is {POLICIES_OF_A_GROUP}"
    remedy = "merge it into one of them, or delete those that are not needed"
    return Violation(f"groups[{group}]", f"policy/{policy.name}", TOO_LARGE, problem, remedy=remedy)
