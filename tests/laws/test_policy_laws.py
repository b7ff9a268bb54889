"""Laws of policies: what they guarantee to their authors, and to every user under them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from support.random_policies import Case, breaks, policy_bodies, policy_cases
from support.random_templates import CANARY, JSON, TEXT, Template, templates
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import Policy, compile_policy, contradictions
from trimtab.core.render.render import render_group, render_user
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.resolve import document_problems, group_view, trace
from trimtab.core.schema.key import check
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError, Violation
from trimtab.kube.port import Body


@given(policy_cases())
def test_no_value_violates_any_constraint(case: Case) -> None:
    view = case.view
    for document in (view.values, view.resolve(case.values).values):
        for body in case.specs.values():
            for constraint in body["policy"]["constraints"]:
                name = constraint["key"]
                assert name not in document or not breaks(
                    constraint, case.template.kinds[name], document[name]
                )


@given(policy_cases())
def test_all_users_get_the_enforced_value(case: Case) -> None:
    view = case.view
    for document in (view.values, view.resolve(case.values).values):
        locked: set[str] = set()
        for _, body in sorted(case.specs.items(), key=lambda entry: (-entry[1]["priority"], entry[0])):
            for entry in body["policy"]["enforced"]:
                if entry["key"] not in locked:
                    assert document[entry["key"]] == entry["value"]
            locked |= {entry["key"] for entry in body["policy"]["enforced"]}
        assert view.locks.keys() == locked


@given(policy_cases())
def test_policies_add_no_violation_and_take_none_away_but_of_what_is_required(case: Case) -> None:
    bare, under = case.bare.resolve(case.values), case.view.resolve(case.values)

    kept = tuple(v for v in bare.violations if v in under.violations)
    assert under.violations == kept
    assert {v.rule for v in bare.violations if v not in kept} <= {"required"}


@given(policy_cases())
def test_a_user_who_is_refused_or_in_conflict_has_the_groups_document(case: Case) -> None:
    view = case.view
    made = view.resolve(case.values)

    if made.violations or "PolicyConflict" in {notice.reason for notice in made.notices}:
        assert (made.values, made.own) == (view.values, {})


@given(policy_cases())
def test_a_document_under_policies_holds_only_keys_of_the_template_within_their_limits(case: Case) -> None:
    view = case.view
    for document in (view.values, view.resolve(case.values).values):
        for name, value in document.items():
            assert check(view.schema.keys[name], value, "user") == (value, [])
    assert list(view.values) == [name for name in view.schema.keys if name in view.values]


@given(policy_cases(), st.randoms())
def test_the_order_in_which_policies_are_given_does_not_matter(case: Case, chance: Any) -> None:
    shuffled = list(case.policies)
    chance.shuffle(shuffled)

    other = group_view(case.schema, "g", shuffled)

    assert other.values == case.view.values
    assert other.resolve(case.values) == case.view.resolve(case.values)
    assert trace(other, {}) == trace(case.view, {})


@given(policy_cases())
def test_the_fast_path_and_the_slow_path_agree_under_policies(case: Case) -> None:
    view = case.view
    made = view.resolve(case.values)

    assert made == view._slowly(case.values)
    assert made == view.resolve(msgspec.json.encode(case.values))
    assert made == replace(view, special=frozenset(view.schema.keys)).resolve(case.values)


@given(policy_cases())
def test_every_value_has_a_provenance_whose_replay_gives_the_value(case: Case) -> None:
    view = case.view
    made = view.resolve(case.values)

    for own, document in (({}, view.values), (made.own, made.values)):
        for name, told in trace(view, own).items():
            key = view.schema.keys[name]
            assert told.value == document.get(name)
            assert (told.layer == "unset") == (name not in document)
            replayed = None
            layers = [] if told.layer == "unset" else [*reversed(told.shadowed)]
            for _, value in layers:
                replayed = value if told.locked_by else key.combine(replayed, value)
            if told.layer != "unset" and not told.locked_by:
                top = _layer(case, told.layer, name, own)
                assert told.before == key.combine(replayed, top)
            assert (told.value == told.before) or told.effect
            assert (told.effect == "Dropped") == bool(told.dropped)
            assert bool(told.effect) == bool(told.effect_by)
            set_by = {layer for layer, _ in (*told.shadowed, *told.dropped)} | {told.layer}
            assert ("user" in set_by) == (name in own)
            assert told.locked_by in ("", told.layer.removeprefix("enforced/"))


def _layer(case: Case, layer: str, name: str, own: Any) -> Any:
    layers = {made.name: made.values for made in case.view.layers} | {"user": own}
    return layers[layer][name]


@given(policy_cases())
def test_a_user_gets_a_notice_of_each_value_that_is_not_in_effect(case: Case) -> None:
    view = case.view
    made = view.resolve(case.values)
    told = {notice.key for notice in made.notices if notice.reason in ("Locked", "Clamped", "Dropped")}

    for name, value in made.own.items():
        if name in view.locks or view.schema.keys[name].merge == "Replace":
            assert (name in told) == (made.values.get(name) != value)


@given(policy_cases(hostile=False))
def test_a_number_is_clamped_to_the_nearest_that_is_allowed(case: Case) -> None:
    view = case.view
    made = view.resolve(case.values)
    for name, told in trace(view, made.own).items():
        key = view.schema.keys[name]
        if told.effect != "Clamped" or key.type not in ("Integer", "Number") or abs(told.before) > 100:  # type: ignore[arg-type]
            continue
        constraints = [c for b in case.specs.values() for c in b["policy"]["constraints"] if c["key"] == name]
        for step in range(-400, 401):
            probe = step if key.type == "Integer" else step / 4
            if not check(key, probe, "user")[1] and not any(breaks(c, key.type, probe) for c in constraints):
                assert abs(probe - told.before) >= abs(told.value - told.before)  # type: ignore[operator]


@given(policy_cases(sensitive=True), st.booleans())
def test_no_sensitive_value_of_a_policy_is_in_a_configmap_or_a_message(case: Case, per_user: bool) -> None:
    view = case.view
    made = view.resolve(case.values)
    group, user = render_group(view), render_user(view, made, per_user=per_user)

    assert CANARY not in repr((made.violations, made.notices, group.notices, user.notices))
    assert CANARY not in repr([policy.notices for policy in case.policies])
    assert CANARY not in repr((group.entries.config, user.entries.config))
    if per_user:
        assert CANARY not in repr(user.entries)


@st.composite
def _two(draw: st.DrawFn) -> tuple[Template, Body, Body]:
    template = draw(templates(sensitive=True))
    return template, draw(policy_bodies(template)), draw(policy_bodies(template))


@given(_two())
def test_no_sensitive_value_is_in_what_is_wrong_with_a_policy(case: tuple[Template, Body, Body]) -> None:
    template, *bodies = case
    schema = compile_template("app", ConfigTemplateSpec.model_validate(template.spec))
    judged = [_judged(f"p{number}", body, schema) for number, body in enumerate(bodies)]
    assert CANARY not in repr([found for _, found in judged])

    made = [policy for policy, _ in judged if policy is not None]
    if len(made) == 2:
        one, two = contradictions(made[0], made), contradictions(made[1], made)
        assert CANARY not in repr((one, two))
        assert len(one) == len(two)
        assert CANARY not in repr(document_problems(group_view(schema, "g", made)))


def _judged(name: str, body: Body, schema: Schema) -> tuple[Policy | None, tuple[Violation, ...]]:
    try:
        return compile_policy(name, PolicyRolloutSpec.model_validate(body), schema), ()
    except RejectedError as error:
        return None, error.violations


@given(_two())
def test_a_policy_s_snapshot_is_joined_to_what_was_split_and_its_public_part_holds_nothing_sensitive(
    case: tuple[Template, Body, Body],
) -> None:
    template, body, _ = case
    sensitive = {key["name"] for key in template.spec["keys"] if key.get("sensitive")}

    public, taken = snapshot.split_policy(body, sensitive)

    assert CANARY not in repr(public)
    assert len({"/".join(path) for path, _ in taken}) == len(taken)
    assert snapshot.join_policy(public, taken) == body
    assert snapshot.join_policy(public, msgspec.json.decode(msgspec.json.encode(taken))) == body


@given(
    templates(),
    st.dictionaries(TEXT, JSON, max_size=3),
    st.data(),
)
def test_every_policy_is_compiled_or_refused_with_reasons(
    template: Template, values: Body, data: Any
) -> None:
    schema = compile_template("app", ConfigTemplateSpec.model_validate(template.spec))
    names = st.sampled_from([*template.kinds, "nope"])
    limits = st.fixed_dictionaries(
        {"key": names},
        optional={
            "minimum": JSON,
            "maximum": st.integers() | TEXT | st.floats(),
            "enum": st.lists(JSON, max_size=3),
            "pattern": TEXT | st.sampled_from(["(", "(?=x)", "\\1", "a{99999}"]),
            "notPattern": TEXT,
            "maxItems": st.integers(-1, 5),
        },
    )
    body = {
        "templateRef": {"name": "app"},
        "schemaVersion": data.draw(st.sampled_from([None, 1, 2])),
        "groups": data.draw(st.none() | st.lists(st.sampled_from(["g", "x"]), max_size=2)),
        "policy": {
            "values": values | {name: data.draw(JSON) for name in data.draw(st.lists(names, max_size=2))},
            "enforced": data.draw(st.lists(st.fixed_dictionaries({"key": names, "value": JSON}), max_size=3)),
            "constraints": data.draw(st.lists(limits, max_size=3)),
        },
    }
    try:
        PolicyRolloutSpec.model_validate(body)
    except ValueError:
        return  # pydantic's own refusal of the shape
    policy, found = _judged("p", body, schema)
    assert (policy is None) == bool(found)

    for violation in found:
        str(violation).encode("utf-8", "surrogatepass")
        assert violation.layer in ("policy/p", "enforced/p")
    if policy is not None:
        view = group_view(schema, "g", [policy])
        view.resolve({})
        document_problems(view)
        trace(view, {})
