"""A policy's spec where the template has changed since it was written: what of it still applies."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from trimtab.api.config_template import GroupSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import Policy, compile_policy, in_scope
from trimtab.core.schema.template import Schema
from trimtab.core.violations import RejectedError


def applies_to(spec: PolicyRolloutSpec, template: str, group: GroupSpec) -> bool:
    """Whether the policy is for that group of that template."""
    return spec.template_ref.name == template and in_scope(spec, group)


def without_groups(spec: Mapping[str, Any], gone: Container[str]) -> dict[str, Any]:
    """A PolicyRollout's spec, as written, without groups that left the template during its rollout: the rollout skips
    them. Its waves are frozen in status; to refuse the spec would pause it forever while the template's groups wait."""
    made = dict(spec)
    if made.get("groups"):
        made["groups"] = [name for name in made["groups"] if name not in gone]
    if made.get("strategy"):
        made["strategy"] = {name: value for name, value in made["strategy"].items() if name != "waves"}
    return made


def within(spec: PolicyRolloutSpec, schema: Schema) -> PolicyRolloutSpec:
    """The policy without groups that this template does not have: in the others it stays in force."""
    if spec.groups is None:
        return spec
    return spec.model_copy(update={"groups": [group for group in spec.groups if group in schema.groups]})


def fitted(name: str, spec: PolicyRolloutSpec, schema: Schema) -> tuple[Policy | None, frozenset[str]]:
    """The policy without the keys that are not valid in this template, and these keys. None: nothing else is valid."""
    try:
        return compile_policy(name, spec, schema), frozenset()
    except RejectedError as error:
        misfits = frozenset(violation.key for violation in error.violations)
    policy = spec.policy
    known = schema.keys.keys() - misfits
    kept = policy.model_copy(
        update={
            "values": {key: value for key, value in policy.values.items() if key in known},
            "enforced": [entry for entry in policy.enforced if entry.key in known],
            "constraints": [entry for entry in policy.constraints if entry.key in known],
        }
    )
    lenient = within(spec, schema).model_copy(update={"policy": kept, "schema_version": None})
    try:
        return compile_policy(name, lenient, schema), misfits
    except RejectedError:
        return None, misfits
