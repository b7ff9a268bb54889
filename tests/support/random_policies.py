"""Random policies over random templates, and their effects, computed from the policies only."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from support.random_templates import (
    CANARY,
    DURATIONS,
    NUMBERS,
    SMALL,
    TEXT,
    Template,
    secret_of,
    templates,
    values_for,
)
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.durations import nanoseconds
from trimtab.core.policy.policy import Policy, compile_policy, contradictions
from trimtab.core.resolve.resolve import GroupView, document_problems, group_view
from trimtab.core.schema.key import Key, check
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError
from trimtab.kube.port import Body

_WORDS = st.text("abc", max_size=3)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "String": _WORDS | TEXT,
    "Integer": SMALL | st.integers(-(2**63), 2**63 - 1),
    "Number": st.sampled_from([-1.5, 0.0, 0.25, 1.0, 7.5]) | NUMBERS,
    "Boolean": st.booleans(),
    "Duration": DURATIONS,
    "StringList": st.lists(_WORDS, max_size=4),
    "NumberMap": st.dictionaries(_WORDS.filter(bool), st.sampled_from([-1.0, 0.0, 0.5, 2.0]), max_size=4),
    "StringMap": st.dictionaries(_WORDS.filter(bool), _WORDS, max_size=4),
}
_TEXT_LIMITS: list[Body] = [
    {"enum": ["", "a", "ab", "cc"]},
    {"pattern": "^[ab]*$"},
    {"notPattern": "b"},
    {"pattern": "^.{0,2}$", "notPattern": "^a"},
]
_NUMBER_LIMITS: list[Body] = [
    {"minimum": -1},
    {"maximum": 1},
    {"maximum": 0.25},
    {"minimum": -2.5, "maximum": 0.5},
    {"enum": [-1, 0, 2]},
    {"enum": [1, 2, 3], "maximum": 2},
]
_LIMITS: dict[str, list[Body]] = {
    "String": _TEXT_LIMITS,
    "Integer": _NUMBER_LIMITS,
    "Number": _NUMBER_LIMITS,
    "Boolean": [{"enum": [True]}],
    "Duration": [
        {"minimum": "10s"},
        {"maximum": "1m"},
        {"enum": ["5s", "90s"]},
        {"minimum": "1m", "maximum": "1h"},
    ],
    "StringList": [*_TEXT_LIMITS, {"maxItems": 1}, {"maxItems": 2, "notPattern": "c"}],
    "NumberMap": [*_NUMBER_LIMITS, {"maxItems": 1}, {"maxItems": 2, "maximum": 1}],
    "StringMap": [*_TEXT_LIMITS, {"maxItems": 1}],
}
_SECRET_LIMITS: list[Body] = [
    {"enum": [f"{CANARY}1", f"{CANARY}2"]},
    {"pattern": f"^{CANARY}[0-5]"},
    {"notPattern": f"{CANARY}9"},
]


@dataclass(frozen=True)
class Case:
    """A template's group ``g``, policies over it that go together, and what one user set."""

    template: Template
    schema: Schema
    specs: dict[str, Body]
    policies: tuple[Policy, ...]
    values: Body

    @property
    def view(self) -> GroupView:
        return group_view(self.schema, "g", self.policies)

    @property
    def bare(self) -> GroupView:
        """The same without policies."""
        return group_view(self.schema, "g")


@st.composite
def policy_bodies(draw: st.DrawFn, template: Template) -> Body:
    """What a PolicyRollout may say, valid or not."""
    secret = {key["name"] for key in template.spec["keys"] if key.get("sensitive")}
    names = st.lists(st.sampled_from(sorted(template.kinds)), unique=True, min_size=1, max_size=4)

    def value(name: str) -> Any:
        kind = template.kinds[name]
        return draw(secret_of(kind) if name in secret else _VALUES[kind])

    def limits(name: str) -> Body:
        return draw(st.sampled_from(_SECRET_LIMITS if name in secret else _LIMITS[template.kinds[name]]))

    action = st.sampled_from([{}, {"onViolation": "Clamp"}, {"onViolation": "Drop"}])
    return {
        "templateRef": {"name": "app"},
        "priority": draw(st.sampled_from([-1, 0, 0, 5])),
        "policy": {
            "values": {name: value(name) for name in draw(names)},
            "enforced": [{"key": n, "value": value(n), "reason": "SEC-12"} for n in draw(names)[:2]],
            "constraints": [{"key": n, "reason": "COST-7", **limits(n), **draw(action)} for n in draw(names)],
        },
    }


@st.composite
def policy_cases(draw: st.DrawFn, *, sensitive: bool = False, hostile: bool = True) -> Case:
    template = draw(templates(sensitive=sensitive))
    schema = compile_template("app", ConfigTemplateSpec.model_validate(template.spec))
    specs: dict[str, Body] = {}
    policies: list[Policy] = []
    for name in draw(st.lists(st.sampled_from("abcd"), unique=True, min_size=1, max_size=3)):
        body, policy = mended(name, draw(policy_bodies(template)), schema, policies)
        if policy is not None and not document_problems(group_view(schema, "g", [*policies, policy])):
            specs[name] = body
            policies.append(policy)
    given = draw(values_for(template)) if hostile and draw(st.integers(0, 3)) == 0 else {}
    for name in sorted({name for policy in policies for name in _ruled(policy)}):
        key = schema.keys[name]
        if key.set_by == "User" and not key.sensitive and draw(st.integers(0, 3)):
            given[name] = draw(_VALUES[key.type].filter(partial(_fits, key)))
    return Case(template, schema, specs, tuple(policies), given)


def _ruled(policy: Policy) -> set[str]:
    return {*policy.constraints, *policy.enforced.values, *policy.values.values}


def _fits(key: Key, value: Any) -> bool:
    return not check(key, value, "user")[1]


def mended(name: str, body: Body, schema: Schema, others: list[Policy]) -> tuple[Body, Policy | None]:
    """The same without the keys for which it is refused; None if nothing is left of it."""
    for _ in range(10):
        try:
            policy = compile_policy(name, PolicyRolloutSpec.model_validate(body), schema)
            violations = contradictions(policy, others)
            if not violations:
                return body, policy
        except RejectedError as error:
            violations = list(error.violations)
        wrong = {violation.key for violation in violations}
        if "spec.policy" in wrong:
            break
        said = body["policy"]
        kept: Body = {"values": {n: v for n, v in said["values"].items() if n not in wrong}}
        for section in ("enforced", "constraints"):
            kept[section] = [entry for entry in said[section] if entry["key"] not in wrong]
        body = {**body, "policy": kept}
    return body, None


def breaks(constraint: Body, kind: str, value: Any) -> bool:
    """Whether a value breaks a constraint, by its words: an oracle that shares nothing with the core."""
    if isinstance(value, list | dict):
        items = value if isinstance(value, list) else list(value.values())
        inner = {"StringList": "String", "StringMap": "String", "NumberMap": "Number"}[kind]
        return len(items) > constraint.get("maxItems", len(items)) or any(
            breaks(constraint, inner, item) for item in items
        )

    def size(limit: Any) -> Any:
        return nanoseconds(str(limit)) if kind == "Duration" else limit

    return (
        ("minimum" in constraint and size(value) < size(constraint["minimum"]))
        or ("maximum" in constraint and size(value) > size(constraint["maximum"]))
        or ("enum" in constraint and value not in constraint["enum"])
        or ("pattern" in constraint and not re.search(_python(constraint["pattern"]), value))
        or ("notPattern" in constraint and bool(re.search(_python(constraint["notPattern"]), value)))
    )


def _python(pattern: str) -> str:
    """Rust's ``$`` is the very end of the text, and its ``.`` no newline, as Python's."""
    return pattern.replace("$", r"\Z")
