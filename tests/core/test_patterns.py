"""What a pattern may cost: told before anything is compiled or matched."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from trimtab.api.config_template import ConfigTemplateSpec, KeySpec
from trimtab.api.policy_rollout import PolicyRolloutSpec
from trimtab.core.policy.policy import compile_policy
from trimtab.core.resolve.resolve import group_view
from trimtab.core.schema import patterns
from trimtab.core.schema.key import check, compile_key
from trimtab.core.schema.patterns import matcher
from trimtab.core.schema.template import Schema, compile_template
from trimtab.core.violations import RejectedError, Violation

HUGE = "(?:(?:(?:[a-z]?){30}){30}){30}[A-Z]"
LARGE = "(?:(?:[a-z]?){30}){30}[A-Z]"


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [
        ("", 0, 2),
        ("^[0-9a-f]{32}$", 32, 40),
        ("^[a-z]+$", 2, 10),
        ("a{3}", 3, 10),
        ("(a{10}){10}", 100, 150),
        ("((a?){30}){30}", 900, 5_000),
        (LARGE, 900, 3_000),
        (HUGE, 27_000, 100_000),
        ("a{2,}", 2, 10),
        ("(?:a|b|c){20}", 60, 200),
        ("a{0}", 0, 5),
        (r"\w{100}", 3_000, 10_000),
        (r"\p{Greek}{100}", 3_000, 10_000),
        (r"[\w]{100}", 3_000, 10_000),
        (r"\.{20}", 20, 30),
        (r"\{20}", 1, 10),
        ("[{]20}", 1, 10),
        ("[]{9}a]{20}", 20, 60),
        ("[[a]{9}b]{20}", 20, 60),
        ("[[:alpha:]]{20}", 20, 60),
        ("[[:^alpha:]]{20}", 20, 60),
        ("[[:]](?:a{9}){9}|[x:]", 81, 200),
        ("[[:no:]](?:a{9}){9}", 81, 200),
        ("(?:a{0000000030}){0000000030}", 900, 2_000),
        ("(?i)abc{20}", 20, 100),
        ("(?i)[a-z\u00c0-\u00ff]{30}", 60, 5_000),
        ("(?i)" + "[!-\uffff]" * 60, 30_000, 60_000),
        (r"(?i)" + r"[\S]" * 60, 30_000, 60_000),
        ("(?i)" + "[" * 200 + r"\PL" + "]" * 200, 60_000, 200_000),
        ("(?P<name>a{5}){5}", 25, 60),
        ("(?<name>a{5}){5}", 25, 60),
        ("((((", 0, 20),
        ("a{99999999}{99999999}", 1_000_000, 10_000_000),
    ],
)
def test_states_are_estimated_within_bounds(pattern: str, least: int, most: int) -> None:
    assert least <= patterns.states(pattern) <= most


def test_the_estimate_reads_each_character_once() -> None:
    assert patterns.states("(" * 500 + "a" + "{999}" * 100 + ")" * 500) > patterns.MAX_STATES


@pytest.mark.parametrize("flags", ["(?x)a # (((", "(?ix:a b)", "(?i-x)a"])
def test_a_pattern_with_comments_is_refused(flags: str) -> None:
    assert "flag x" in (patterns.problem(flags, None) or ("",))[0]


def key(**fields: Any) -> KeySpec:
    return KeySpec.model_validate({"name": "k", "type": "String", **fields})


def refusals(spec: KeySpec) -> list[Violation]:
    return compile_key(spec)[1]


def test_a_pattern_of_too_many_states_is_refused_with_its_size_and_the_limit() -> None:
    [found] = refusals(key(pattern=HUGE))

    assert found.rule == "pattern"
    for word in ("54,002", "6,000", "simplify", HUGE[:20]):
        assert word in found.message


def test_a_sensitive_keys_pattern_is_not_shown() -> None:
    [found] = refusals(key(pattern=HUGE, sensitive=True))
    assert HUGE[:20] not in found.message


def test_an_items_pattern_is_validated_as_a_keys() -> None:
    [found] = refusals(key(type="StringList", items={"pattern": HUGE}))
    assert found.rule == "items.pattern"


def test_a_max_length_that_the_pattern_cannot_check_is_refused_with_the_one_that_it_can() -> None:
    most = patterns.longest(LARGE)

    [found] = refusals(key(pattern=LARGE, maxLength=most + 1))

    assert f"{most:,}" in found.message
    assert not refusals(key(pattern=LARGE, maxLength=most))


@pytest.mark.parametrize("kind", ["String", "StringList", "StringMap"])
def test_without_max_length_a_text_is_as_long_as_its_pattern_can_check(kind: str) -> None:
    fields = {"pattern": LARGE} if kind == "String" else {"items": {"pattern": LARGE}}
    made, _ = compile_key(key(type=kind, **fields))
    assert made is not None
    text = "a" * patterns.longest(LARGE) + "A"
    value: Any = {"String": text, "StringList": [text], "StringMap": {"a": text}}[kind]

    [found] = check(made, value, "user")[1]

    assert found.rule == "maxLength"
    assert f"{patterns.longest(LARGE)} characters" in found.message


def test_an_enum_of_much_text_with_a_large_pattern_is_refused() -> None:
    [found] = refusals(key(pattern=LARGE, enum=["a" * 4000]))
    assert found.rule == "enum"


def schema(*keys: dict[str, Any], values: dict[str, Any] | None = None) -> Schema:
    spec = {"keys": list(keys), "groups": [{"name": "g", "values": values or {}}]}
    return compile_template("t", ConfigTemplateSpec.model_validate(spec))


MANY = [{"name": f"k{n}", "type": "String", "pattern": f"^{LARGE}$", "default": "A"} for n in range(50)]
MUCH = {f"k{n}": "a" * 500 + "A" for n in range(50)}


def test_the_values_of_one_user_have_a_budget_together() -> None:
    view = group_view(schema(*MANY), "g")

    resolution = view.resolve(MUCH)

    assert [v.rule for v in resolution.violations] == ["tooLarge"]
    assert f"{patterns.TOTAL_STEPS:,}" in resolution.violations[0].message
    few = {name: MUCH[name] for name in list(MUCH)[:5]}
    assert not view.resolve(few).violations


def test_the_values_of_a_group_have_the_same_budget() -> None:
    with pytest.raises(RejectedError) as refused:
        schema(*MANY, values=MUCH)
    assert [v.rule for v in refused.value.violations] == ["tooLarge"]


def policy(*constraints: dict[str, Any], values: dict[str, Any] | None = None) -> PolicyRolloutSpec:
    said = {"constraints": list(constraints), "values": values or {}}
    return PolicyRolloutSpec.model_validate({"templateRef": {"name": "t"}, "policy": said})


FREE = [{"name": f"k{n}", "type": "String", "default": "A"} for n in range(50)]


@pytest.mark.parametrize("field", ["pattern", "notPattern"])
def test_a_policys_pattern_of_too_many_states_is_refused(field: str) -> None:
    with pytest.raises(RejectedError) as refused:
        compile_policy("p", policy({"key": "k0", field: HUGE}), schema(*FREE))
    assert [v.rule for v in refused.value.violations] == [field]


@pytest.mark.parametrize("field", ["pattern", "notPattern"])
def test_a_text_that_is_too_long_for_a_policys_pattern_is_dropped(field: str) -> None:
    made = schema(*FREE)
    view = group_view(made, "g", [compile_policy("p", policy({"key": "k0", field: LARGE}), made)])

    resolution = view.resolve({"k0": "a" * (patterns.longest(LARGE) + 1)})

    assert not resolution.violations
    assert "Dropped" in [notice.reason for notice in resolution.notices]


def test_a_user_whose_values_a_policys_patterns_cannot_check_in_time_gets_the_groups_document() -> None:
    made = schema(*FREE)
    limits = [{"key": f"k{n}", "pattern": LARGE, "onViolation": "Drop"} for n in range(50)]
    view = group_view(made, "g", [compile_policy("p", policy(*limits), made)])

    resolution = view.resolve(MUCH)

    assert not resolution.violations
    assert "PolicyConflict" in [notice.reason for notice in resolution.notices]
    assert dict(resolution.values) == dict(view.values)


def test_a_policy_whose_patterns_cannot_check_the_groups_values_in_time_is_rejected() -> None:
    limits = [{"key": f"k{n}", "pattern": LARGE} for n in range(50)]
    with pytest.raises(RejectedError) as refused:
        compile_policy("p", policy(*limits), schema(*FREE, values=MUCH))
    assert [v.rule for v in refused.value.violations] == ["tooLarge"]


UNICODE = r"\w{110}"


def test_the_patterns_of_a_template_have_a_budget_together() -> None:
    keys = [{"name": f"k{n}", "type": "String", "pattern": f"{UNICODE}{n}"} for n in range(30)]
    with pytest.raises(RejectedError) as refused:
        schema(*keys)
    [found] = refused.value.violations
    assert (found.key, found.rule) == ("k10", "tooLarge")
    assert f"{patterns.TEMPLATE_STATES:,}" in found.message


def test_the_patterns_of_items_are_counted_too() -> None:
    keys = [{"name": f"k{n}", "type": "StringMap", "items": {"pattern": f"{UNICODE}{n}"}} for n in range(30)]
    with pytest.raises(RejectedError):
        schema(*keys)


def test_a_pattern_that_many_keys_share_counts_and_compiles_once() -> None:
    made = schema(*({"name": f"k{n}", "type": "String", "pattern": UNICODE} for n in range(300)))

    assert matcher(UNICODE) is matcher(UNICODE)
    assert not group_view(made, "g").resolve({"k7": "a" * 110}).violations
    assert [v.rule for v in group_view(made, "g").resolve({"k7": "a"}).violations] == ["pattern"]


def test_a_compiled_pattern_goes_with_what_uses_it() -> None:
    made = [matcher("only[ ]here")]
    known = weakref.ref(made[0])
    made.clear()
    gc.collect()
    assert known() is None


@pytest.mark.parametrize("field", ["pattern", "notPattern"])
def test_the_patterns_of_a_policy_have_a_budget_together(field: str) -> None:
    limits = [{"key": f"k{n}", field: f"{UNICODE}{n}"} for n in range(5)]
    with pytest.raises(RejectedError) as refused:
        compile_policy("p", policy(*limits), schema(*FREE))
    [found] = refused.value.violations
    assert (found.key, found.rule) == ("k2", "tooLarge")
    assert f"{patterns.POLICY_STATES:,}" in found.message
