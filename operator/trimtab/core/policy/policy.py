"""A PolicyRollout's policy, compiled against the template that it is for: values, locks and constraints.

Which policy wins: the one with the higher ``priority``; of equal ones, the one whose name comes first in the alphabet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trimtab.api.config_template import GroupSpec
from trimtab.api.policy_rollout import Constraint as ConstraintSpec
from trimtab.api.policy_rollout import EnforcedValue, PolicyRolloutSpec
from trimtab.core.policy.constraint import Constraint, compile_constraint
from trimtab.core.schema import patterns
from trimtab.core.schema.key import Key
from trimtab.core.schema.key_messages import unknown_key
from trimtab.core.schema.template import TOO_LARGE, Layer, Schema, check_layer, in_clear, too_costly
from trimtab.core.selector import selects
from trimtab.core.suggestion import Guess
from trimtab.core.violations import Notice, RejectedError, Violation


@dataclass(frozen=True, slots=True)
class Policy:
    """A compiled policy. ``values`` lies under a user's own, ``enforced`` over it; ``reasons`` say why a key is
    enforced; ``groups`` are those of the template that are in its scope."""

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
    """The policies, whichever wins first."""
    return sorted(policies, key=lambda policy: (-policy.priority, policy.name))


def in_scope(spec: PolicyRolloutSpec, group: GroupSpec) -> bool:
    """Whether the policy is for the group; with neither field it is for all. Nobody may write ``groups: []``, but of
    content that is served already it is what is left when the template has lost the groups that it names."""
    if spec.groups is not None:
        return group.name in spec.groups
    return spec.group_selector is None or selects(spec.group_selector, group.labels)


def compile_policy(name: str, spec: PolicyRolloutSpec, schema: Schema) -> Policy:
    """Check what a policy says against the template's keys and groups, and compile it.

    :raises RejectedError: with every violation found; nothing of such a policy may be rolled out.
    """
    layer = f"policy/{name}"
    said = spec.policy
    found = _about_its_place(spec, schema, layer)
    values, problems, notices = check_layer(schema.keys, layer, said.values, schema.coercion)
    found += problems
    enforced, problems, more = _enforced(said.enforced, schema, name)
    found += problems
    notices += more
    constraints, problems, more = _constraints(said.constraints, schema, name)
    found += problems
    notices += more
    costly = _too_costly(constraints, schema, layer, (values, enforced))
    if costly is not None:
        raise RejectedError([*found, costly])
    for key, constraint in constraints.items():
        if key in enforced.values and not constraint.allows(enforced.values[key]):
            problem = "the value that it enforces breaks its own constraint"
            remedy = "change one of the two"
            found.append(Violation(key, layer, "enforced", problem, remedy=remedy, section="enforced"))
        elif key in values.values and not constraint.allows(values.values[key]):
            message = "its own constraint forbids the value that it sets, which is clamped or dropped"
            notices.append(Notice(key, "OwnConstraint", message))
    groups = frozenset(group for group, made in schema.groups.items() if in_scope(spec, made.spec))
    if not groups:
        notices.append(
            Notice("groups", "NoGroups", f"no group of ConfigTemplate {schema.name} is in its scope")
        )
    if found:
        raise RejectedError(found)
    return Policy(
        name=name,
        priority=spec.priority or 0,
        groups=groups,
        values=values,
        enforced=enforced,
        reasons={entry.key: entry.reason for entry in said.enforced if entry.reason},
        constraints=constraints,
        notices=tuple(dict.fromkeys(notices)),
        sensitive=schema.sensitive,
    )


def _about_its_place(spec: PolicyRolloutSpec, schema: Schema, layer: str) -> list[Violation]:
    """What is wrong before any key is looked at: schemaVersion, groups, nothing said."""
    found = []
    written = spec.schema_version
    if written is not None and written != schema.version:
        problem = (
            f"is written for schemaVersion {written}, and ConfigTemplate {schema.name} is on {schema.version}: "
            "migrations are not supported in this version"
        )
        remedy = (
            f"rewrite the policy and set schemaVersion: {schema.version}"
            if written < schema.version
            else "wait for the template, or write the policy for the schemaVersion that it is on"
        )
        found.append(Violation("spec.schemaVersion", layer, "schemaVersion", problem, remedy=remedy))
    if spec.groups is not None and spec.group_selector is not None:
        problem = "groups and groupSelector are both set"
        found.append(Violation("spec.groups", layer, "groups", problem, remedy="remove one of the two"))
    found += [
        Violation(
            f"groups[{group}]",
            layer,
            "groups",
            f"ConfigTemplate {schema.name} has no group {group}",
            remedy="remove it or correct its name",
            suggestion=Guess(group, schema.groups),
        )
        for group in spec.groups or ()
        if group not in schema.groups
    ]
    said = spec.policy
    if not (said.values or said.enforced or said.constraints or said.flags):
        remedy = "give it values, enforced or constraints, or delete the PolicyRollout"
        found.append(Violation("spec.policy", layer, "policy", "the policy is empty", remedy=remedy))
    return found


def _enforced(
    entries: Sequence[EnforcedValue], schema: Schema, name: str
) -> tuple[Layer, list[Violation], list[Notice]]:
    given = {entry.key: entry.value for entry in entries if entry.value is not None}
    made, found, notices = check_layer(schema.keys, f"enforced/{name}", given, schema.coercion)
    problem, remedy = "is enforced without a value", "give one or remove the entry"
    found += [
        Violation(entry.key, made.name, "enforced", problem, remedy=remedy)
        for entry in entries
        if entry.value is None
    ]
    found += _twice([entry.key for entry in entries], made.name, "enforced")
    return made, found, notices


def _constraints(
    entries: Sequence[ConstraintSpec], schema: Schema, name: str
) -> tuple[dict[str, Constraint], list[Violation], list[Notice]]:
    layer = f"policy/{name}"
    constraints: dict[str, Constraint] = {}
    found = _twice([entry.key for entry in entries], layer, "constraints")
    notices: list[Notice] = []
    budget = patterns.Budget(patterns.POLICY_STATES)
    for entry in entries:
        costly = budget.problem(entry.pattern) or budget.problem(entry.not_pattern)
        if costly:
            problem, remedy = costly
            found.append(Violation(entry.key, layer, TOO_LARGE, f"constraint: {problem}", remedy=remedy))
            break
        key: Key | None = schema.keys.get(entry.key)
        if key is None:
            unknown = unknown_key(schema.keys, entry.key, layer)
            problem = f"constraint: {unknown.problem}"
            found.append(replace(unknown, problem=problem, section="constraints"))
            continue
        made, problems, said = compile_constraint(entry, key, name, schema.coercion)
        found += problems
        notices += said
        if key.sensitive and entry.enum:
            notices.append(in_clear(key.name, layer))
        if made is not None:
            constraints[key.name] = made
    return constraints, found, notices


def _too_costly(
    constraints: Mapping[str, Constraint], schema: Schema, layer: str, layers: Iterable[Layer]
) -> Violation | None:
    """Why the values of groups and policies take too long to check against the constraints' patterns, if they do."""
    lengths = {}
    for name, constraint in constraints.items():
        if constraint.states:
            own = sum(patterns.characters(said.values.get(name)) for said in layers)
            lengths[name] = own + schema.lengths.get(name, 0)
    found = too_costly({name: constraints[name].states for name in lengths}, layer, lengths)
    return replace(found, section="constraints") if found is not None else None


def _twice(names: Sequence[str], layer: str, section: str) -> list[Violation]:
    return [
        Violation(
            name,
            layer,
            section,
            f"stands {count} times in {section}",
            remedy="leave one of them",
            section=section,
        )
        for name, count in Counter(names).items()
        if count > 1
    ]


def contradictions(judged: Policy, others: Iterable[Policy]) -> list[Violation]:
    """Why ``judged`` cannot be in force together with ``others`` whose scopes share a group with its own.

    The violations are ``judged``'s: a caller passes the newer policy as that and the ones that came before it as
    ``others``, so that the newer one is refused.
    """
    found = []
    for other in sorted(others, key=lambda policy: policy.name):
        if other.name == judged.name or judged.groups.isdisjoint(other.groups):
            continue
        found += _two_values(judged, other)
        found += _sensitive(judged, other)
        found += [
            _violation(
                judged, key, "enforces a value that this constraint forbids", _EITHER, other, "constraints"
            )
            for key, constraint in judged.constraints.items()
            if key not in judged.sensitive
            and key in other.enforced.values
            and not constraint.allows(other.enforced.values[key])
        ]
        found += [
            _violation(judged, key, "has a constraint that forbids the value enforced here", _EITHER, other)
            for key, constraint in other.constraints.items()
            if key not in judged.sensitive
            and key in judged.enforced.values
            and not constraint.allows(judged.enforced.values[key])
        ]
    return found


_EITHER = "change the value or widen the constraint"


def _two_values(judged: Policy, other: Policy) -> list[Violation]:
    if judged.priority != other.priority:
        return []
    problem = f"enforces another value with the same priority {other.priority}"
    remedy = "give one a higher priority or make the values equal"
    return [
        _violation(judged, key, problem, remedy, other)
        for key, value in judged.enforced.values.items()
        if key not in judged.sensitive
        and key in other.enforced.values
        and other.enforced.values[key] != value
    ]


def _sensitive(judged: Policy, other: Policy) -> list[Violation]:
    """Sensitive keys that both decide: refused whatever the values are, as to be refused for one value and not for
    another would tell what the other policy enforces."""
    found = []
    for key in sorted(judged.sensitive):
        enforced = key in judged.enforced.values, key in other.enforced.values
        limited = key in judged.constraints, key in other.constraints
        if all(enforced) and judged.priority == other.priority:
            problem = f"enforces this sensitive key with the same priority {other.priority}"
            remedy = "give one a higher priority"
        elif (enforced[0] and limited[1]) or (enforced[1] and limited[0]):
            problem = "enforces or constrains this sensitive key as well"
            remedy = "let one policy do both, or only one of them"
        else:
            continue
        section = "enforced" if enforced[0] else "constraints"
        found.append(_violation(judged, key, problem, remedy, other, section))
    return found


def _violation(
    judged: Policy, key: str, problem: str, remedy: str, other: Policy, section: str = "enforced"
) -> Violation:
    layer, problem = f"policy/{judged.name}", f"PolicyRollout {other.name} {problem}"
    return Violation(key, layer, "contradiction", problem, remedy=remedy, section=section)
