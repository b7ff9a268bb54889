"""A PolicyRollout's policy, compiled against the template that it is for: values, locks and constraints.

The policy with the higher ``priority`` takes precedence; of equal ones, the one whose name is first in the alphabet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trimtab.api.config_template import GroupSpec
from trimtab.api.policy_rollout import Constraint as ConstraintSpec
from trimtab.api.policy_rollout import EnforcedValue, PolicyRolloutSpec
from trimtab.core.policy.constraint import Constraint, compile_constraint
from trimtab.core.schema import patterns
from trimtab.core.schema.key_messages import unknown_key
from trimtab.core.schema.layer import Layer, check_layer, in_clear, too_costly
from trimtab.core.schema.template import Schema
from trimtab.core.selector import selects
from trimtab.core.suggestion import Guess
from trimtab.core.violations import TOO_LARGE, Fault, Notice, RejectedError, Violation


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy. ``values`` are below a user's own, ``enforced`` above; ``reasons`` are why a key is enforced;
    ``groups`` are the template's groups in its scope."""

    name: str
    priority: int
    groups: frozenset[str]
    values: Layer
    enforced: Layer
    reasons: Mapping[str, str]
    constraints: Mapping[str, Constraint]
    notices: tuple[Notice, ...] = ()
    sensitive: frozenset[str] = frozenset()
    """The template's sensitive keys."""

    def touches(self, key: str) -> bool:
        """Whether it sets, enforces or constrains the key."""
        return key in self.values.values or key in self.enforced.values or key in self.constraints


def ordered(policies: Iterable[Policy]) -> list[Policy]:
    """The policies, the one that takes precedence first."""
    return sorted(policies, key=lambda policy: (-policy.priority, policy.name))


def in_scope(spec: PolicyRolloutSpec, group: GroupSpec) -> bool:
    """Whether the policy applies to the group; with neither field it applies to all. ``groups: []`` is not valid in a
    spec; in stored content it is what remains when the template no longer has the groups that it names."""
    if spec.groups is not None:
        return group.name in spec.groups
    return spec.group_selector is None or selects(spec.group_selector, group.labels)


def compile_policy(name: str, spec: PolicyRolloutSpec, schema: Schema) -> Policy:
    """Check a policy against the template's keys and groups, and compile it.

    :raises RejectedError: with every violation found; such a policy must not be rolled out.
    """
    policy = spec.policy
    draft = _Draft(name, schema)
    draft.found += _scope_problems(spec, schema, draft.layer_name)
    values = draft.layer(draft.layer_name, policy.values)
    enforced = draft.enforced(policy.enforced)
    constraints = draft.constraints(policy.constraints)
    draft.check_cost(constraints, (values, enforced))
    draft.check_own(constraints, values, enforced)
    groups = frozenset(group for group, made in schema.groups.items() if in_scope(spec, made.spec))
    if not groups:
        message = f"no group of ConfigTemplate {schema.name} is in its scope"
        draft.notices.append(Notice("groups", "NoGroups", message))
    if draft.found:
        raise RejectedError(draft.found)
    return Policy(
        name=name,
        priority=spec.priority or 0,
        groups=groups,
        values=values,
        enforced=enforced,
        reasons={entry.key: entry.reason for entry in policy.enforced if entry.reason},
        constraints=constraints,
        notices=tuple(dict.fromkeys(draft.notices)),
        sensitive=schema.sensitive,
    )


class _Draft:
    """A policy while it is compiled, with all that was found."""

    def __init__(self, name: str, schema: Schema) -> None:
        self.name, self.schema, self.layer_name = name, schema, f"policy/{name}"
        self.found: list[Violation] = []
        self.notices: list[Notice] = []

    def layer(self, name: str, values: Mapping[str, Any]) -> Layer:
        layer, problems, notices = check_layer(self.schema.keys, name, values, self.schema.coercion)
        self.found += problems
        self.notices += notices
        return layer

    def enforced(self, entries: Sequence[EnforcedValue]) -> Layer:
        name = f"enforced/{self.name}"
        layer = self.layer(name, {entry.key: entry.value for entry in entries if entry.value is not None})
        fault = Fault("is enforced without a value", "set one or remove the entry")
        self.found += [fault.at(entry.key, name, "enforced") for entry in entries if entry.value is None]
        self.found += _duplicates([entry.key for entry in entries], name, "enforced")
        return layer

    def constraints(self, entries: Sequence[ConstraintSpec]) -> dict[str, Constraint]:
        constraints: dict[str, Constraint] = {}
        self.found += _duplicates([entry.key for entry in entries], self.layer_name, "constraints")
        budget = patterns.Budget(patterns.POLICY_STATES)
        for entry in entries:
            if fault := budget.problem(entry.pattern, entry.not_pattern):
                costly = fault._replace(problem=f"constraint: {fault.problem}")
                self.found.append(costly.at(entry.key, self.layer_name, TOO_LARGE))
                break
            made = self._constraint(entry)
            if made is not None:
                constraints[entry.key] = made
        return constraints

    def _constraint(self, entry: ConstraintSpec) -> Constraint | None:
        key = self.schema.keys.get(entry.key)
        if key is None:
            unknown = unknown_key(self.schema.keys, entry.key, self.layer_name)
            problem = f"constraint: {unknown.problem}"
            self.found.append(replace(unknown, problem=problem, section="constraints"))
            return None
        made, problems, notices = compile_constraint(entry, key, self.name, self.schema.coercion)
        self.found += problems
        self.notices += notices
        if key.sensitive and entry.enum:
            self.notices.append(in_clear(key.name, self.layer_name))
        return made

    def check_cost(self, constraints: Mapping[str, Constraint], layers: Iterable[Layer]) -> None:
        """Reject values of groups and policies that take too long to check against the constraints' patterns.

        :raises RejectedError: they do, so that nothing more may be checked.
        """
        states = {name: constraint.states for name, constraint in constraints.items() if constraint.states}
        lengths = {name: self.schema.lengths.get(name, 0) for name in states}
        for layer in layers:
            for name in states:
                lengths[name] += patterns.characters(layer.values.get(name))
        costly = too_costly(states, self.layer_name, lengths)
        if costly is not None:
            raise RejectedError([*self.found, replace(costly, section="constraints")])

    def check_own(self, constraints: Mapping[str, Constraint], values: Layer, enforced: Layer) -> None:
        """Check the policy's values against its own constraints."""
        for key, constraint in constraints.items():
            if key in enforced.values and not constraint.allows(enforced.values[key]):
                fault = Fault("the value that it enforces breaks its own constraint", "change one of the two")
                wrong = fault.at(key, self.layer_name, "enforced")
                self.found.append(replace(wrong, section="enforced"))
            elif key in values.values and not constraint.allows(values.values[key]):
                message = "its own constraint forbids the value that it sets, which is clamped or dropped"
                self.notices.append(Notice(key, "OwnConstraint", message))


def _scope_problems(spec: PolicyRolloutSpec, schema: Schema, layer: str) -> Iterator[Violation]:
    """What is wrong apart from keys: schemaVersion, groups, an empty policy."""
    yield from _version_problems(spec.schema_version, schema, layer)
    if spec.groups is not None and spec.group_selector is not None:
        fault = Fault("groups and groupSelector are both set", "remove one of the two")
        yield fault.at("spec.groups", layer, "groups")
    for group in spec.groups or ():
        if group not in schema.groups:
            problem = f"ConfigTemplate {schema.name} has no group {group}"
            fault = Fault(problem, "remove it or correct its name", Guess(group, schema.groups))
            yield fault.at(f"groups[{group}]", layer, "groups")
    policy = spec.policy
    if not (policy.values or policy.enforced or policy.constraints or policy.flags):
        remedy = "set values, enforced or constraints, or delete the PolicyRollout"
        yield Fault("the policy is empty", remedy).at("spec.policy", layer, "policy")


def _version_problems(written: int | None, schema: Schema, layer: str) -> Iterator[Violation]:
    current = schema.version
    if written is None or written == current:
        return
    problem = (
        f"is written for schemaVersion {written}, and ConfigTemplate {schema.name} is on {current}: migrations "
        "are not built in this version"
    )
    remedy = f"rewrite the policy and set schemaVersion: {current}"
    if written > current:
        remedy = "wait for the template, or write the policy for the schemaVersion that it is on"
    yield Fault(problem, remedy).at("spec.schemaVersion", layer, "schemaVersion")


def _duplicates(names: Sequence[str], layer: str, section: str) -> Iterator[Violation]:
    for name, count in Counter(names).items():
        if count > 1:
            fault = Fault(f"is {count} times in {section}", "remove the duplicates")
            yield replace(fault.at(name, layer, section), section=section)


_EITHER = "change the value or widen the constraint"


def contradictions(policy: Policy, others: Iterable[Policy]) -> list[Violation]:
    """Why ``policy`` cannot be in effect together with ``others`` whose scopes share a group with its own.

    The violations are ``policy``'s: a caller passes the newer policy and, as ``others``, the ones that were there
    before, so that the newer one is rejected.
    """
    found: list[Violation] = []
    for other in sorted(others, key=lambda other: other.name):
        if other.name != policy.name and not policy.groups.isdisjoint(other.groups):
            found += _two_values(policy, other)
            found += _sensitive(policy, other)
            for key in _forbidden(policy.constraints, other.enforced, policy.sensitive):
                problem = "enforces a value that this constraint forbids"
                found.append(_violation(policy, other, key, Fault(problem, _EITHER), "constraints"))
            for key in _forbidden(other.constraints, policy.enforced, policy.sensitive):
                problem = "has a constraint that forbids the value enforced here"
                found.append(_violation(policy, other, key, Fault(problem, _EITHER)))
    return found


def _forbidden(
    constraints: Mapping[str, Constraint], enforced: Layer, sensitive: Container[str]
) -> Iterator[str]:
    """The keys that are not sensitive and whose enforced value a constraint forbids."""
    for key, constraint in constraints.items():
        if key not in sensitive and key in enforced.values and not constraint.allows(enforced.values[key]):
            yield key


def _two_values(policy: Policy, other: Policy) -> Iterator[Violation]:
    if policy.priority != other.priority:
        return
    problem = f"enforces another value with the same priority {other.priority}"
    fault = Fault(problem, "give one a higher priority or make the values equal")
    theirs = other.enforced.values
    for key, value in policy.enforced.values.items():
        if key not in policy.sensitive and key in theirs and theirs[key] != value:
            yield _violation(policy, other, key, fault)


def _sensitive(policy: Policy, other: Policy) -> Iterator[Violation]:
    """Sensitive keys that both decide: rejected whatever the values are, as a rejection that depended on the value
    would reveal what the other policy enforces."""
    for key in sorted(policy.sensitive):
        enforced = key in policy.enforced.values, key in other.enforced.values
        limited = key in policy.constraints, key in other.constraints
        if all(enforced) and policy.priority == other.priority:
            problem = f"enforces this sensitive key with the same priority {other.priority}"
            fault = Fault(problem, "give one a higher priority")
        elif (enforced[0] and limited[1]) or (enforced[1] and limited[0]):
            problem = "enforces or constrains this sensitive key as well"
            fault = Fault(problem, "do both in one policy, or only one of them")
        else:
            continue
        yield _violation(policy, other, key, fault, "enforced" if enforced[0] else "constraints")


def _violation(policy: Policy, other: Policy, key: str, fault: Fault, section: str = "enforced") -> Violation:
    fault = fault._replace(problem=f"PolicyRollout {other.name} {fault.problem}")
    return replace(fault.at(key, f"policy/{policy.name}", "contradiction"), section=section)
