"""Typed keys: which values each type takes under which limits, and which declarations make no sense."""

from __future__ import annotations

import time
from typing import Any

import pytest

from trimtab.api.key import KeySpec
from trimtab.core.schema.key import INT64, Key, check, compile_key

LEAST, MOST = INT64


def key(type: str, **limits: Any) -> Key:  # noqa: A002
    made, found = compile_key(KeySpec.model_validate({"name": "a.key", "type": type, **limits}))
    assert made is not None, found
    assert found == []
    return made


def refusal(type: str, **limits: Any) -> str:  # noqa: A002
    """The rule that a declaration breaks."""
    _, found = compile_key(KeySpec.model_validate({"name": "a.key", "type": type, **limits}))
    assert found, "it was accepted"
    assert all(v.key == "a.key" and v.message for v in found)
    return found[0].rule


def broken(made: Key, value: Any) -> str:
    """The rule that a value breaks, or an empty string."""
    got, found = check(made, value, "user")
    assert (got is None) == bool(found)
    return found[0].rule if found else ""


@pytest.mark.parametrize(
    ("type", "limits", "value", "rule"),
    [
        # String
        ("String", {}, "", ""),
        ("String", {}, "é😀\n\0", ""),
        ("String", {}, 1, "type"),
        ("String", {}, True, "type"),
        ("String", {}, ["a"], "type"),
        ("String", {}, {"a": 1}, "type"),
        ("String", {}, None, "type"),
        ("String", {"minLength": 2}, "ab", ""),
        ("String", {"minLength": 2}, "a", "minLength"),
        ("String", {"minLength": 2}, "😀😀", ""),
        ("String", {"maxLength": 2}, "ab", ""),
        ("String", {"maxLength": 2}, "😀😀", ""),
        ("String", {"maxLength": 2}, "abc", "maxLength"),
        ("String", {"maxLength": 0}, "", ""),
        ("String", {"pattern": "^a+$"}, "aa", ""),
        ("String", {"pattern": "^a+$"}, "ab", "pattern"),
        ("String", {"pattern": "^a+$"}, "a\n", "pattern"),
        ("String", {"pattern": "b"}, "abc", ""),
        ("String", {"enum": ["a", "b"]}, "b", ""),
        ("String", {"enum": ["a", "b"]}, "c", "enum"),
        ("String", {"enum": ["a", "b"]}, "", "enum"),
        # Integer: 64 bits, and nothing that merely looks like one
        ("Integer", {}, 0, ""),
        ("Integer", {}, MOST, ""),
        ("Integer", {}, LEAST, ""),
        ("Integer", {}, MOST + 1, "type"),
        ("Integer", {}, LEAST - 1, "type"),
        ("Integer", {}, 10**400, "type"),
        ("Integer", {}, 1.0, "type"),
        ("Integer", {}, True, "type"),
        ("Integer", {}, False, "type"),
        ("Integer", {}, "1", "type"),
        ("Integer", {"minimum": 1}, 1, ""),
        ("Integer", {"minimum": 1}, 0, "minimum"),
        ("Integer", {"minimum": 1.5}, 1, "minimum"),
        ("Integer", {"minimum": -1.5}, -1, ""),
        ("Integer", {"minimum": -1.5}, -2, "minimum"),
        ("Integer", {"maximum": 1.5}, 1, ""),
        ("Integer", {"maximum": 1.5}, 2, "maximum"),
        ("Integer", {"maximum": -1.5}, -1, "maximum"),
        ("Integer", {"minimum": LEAST}, LEAST, ""),
        ("Integer", {"enum": [1, 2]}, 2, ""),
        ("Integer", {"enum": [1, 2]}, 3, "enum"),
        ("Integer", {"enum": [0, 1]}, False, "type"),
        # Number
        ("Number", {}, 0.1, ""),
        ("Number", {}, 1, ""),
        ("Number", {}, -0.0, ""),
        ("Number", {}, 1e308, ""),
        ("Number", {}, float("inf"), "type"),
        ("Number", {}, float("-inf"), "type"),
        ("Number", {}, float("nan"), "type"),
        ("Number", {}, 10**400, "type"),
        ("Number", {}, True, "type"),
        ("Number", {}, "0.1", "type"),
        ("Number", {"minimum": 0.5}, 0.5, ""),
        ("Number", {"minimum": 0.5}, 0.49, "minimum"),
        ("Number", {"maximum": 2}, 2.0, ""),
        ("Number", {"maximum": 2}, 2.01, "maximum"),
        ("Number", {"enum": [1, 2.5]}, 1.0, ""),
        ("Number", {"enum": [1, 2.5]}, 2, "enum"),
        # Boolean
        ("Boolean", {}, True, ""),
        ("Boolean", {}, False, ""),
        ("Boolean", {}, 1, "type"),
        ("Boolean", {}, "true", "type"),
        # Duration
        ("Duration", {}, "5m", ""),
        ("Duration", {}, "0", ""),
        ("Duration", {}, "1h30m", ""),
        ("Duration", {}, "5", "type"),
        ("Duration", {}, "5m\n", "type"),
        ("Duration", {}, 5, "type"),
        ("Duration", {}, "300000h" * 20, "type"),
        ("Duration", {"minimum": "1m"}, "60s", ""),
        ("Duration", {"minimum": "1m"}, "59.999s", "minimum"),
        ("Duration", {"maximum": "1h"}, "60m", ""),
        ("Duration", {"maximum": "1h"}, "1h1ns", "maximum"),
        ("Duration", {"enum": ["1m", "5m"]}, "5m", ""),
        ("Duration", {"enum": ["1m", "5m"]}, "300s", "enum"),
        # StringList
        ("StringList", {}, [], ""),
        ("StringList", {}, ["a", "a"], ""),
        ("StringList", {}, "a", "type"),
        ("StringList", {}, [1], "type"),
        ("StringList", {}, [None], "type"),
        ("StringList", {}, {"a": "b"}, "type"),
        ("StringList", {}, ("a",), "type"),
        ("StringList", {"minItems": 1}, [], "minItems"),
        ("StringList", {"maxItems": 1}, ["a", "b"], "maxItems"),
        ("StringList", {"items": {"pattern": "^a$"}}, ["a", "b"], "pattern"),
        ("StringList", {"items": {"enum": ["a", "b"]}}, ["b", "c"], "enum"),
        ("StringList", {"items": {"maxLength": 1}}, ["a", "bc"], "maxLength"),
        # NumberMap
        ("NumberMap", {}, {}, ""),
        ("NumberMap", {}, {"a": 1, "b": 0.5}, ""),
        ("NumberMap", {}, {"a": "1"}, "type"),
        ("NumberMap", {}, {"a": True}, "type"),
        ("NumberMap", {}, {"a": None}, "type"),
        ("NumberMap", {}, {"a": {"b": 1}}, "type"),
        ("NumberMap", {}, [1], "type"),
        ("NumberMap", {"items": {"minimum": 0, "maximum": 1}}, {"a": 1}, ""),
        ("NumberMap", {"items": {"minimum": 0, "maximum": 1}}, {"a": 1.1}, "maximum"),
        ("NumberMap", {"items": {"minimum": 0, "maximum": 1}}, {"a": -1}, "minimum"),
        ("NumberMap", {"minItems": 1}, {}, "minItems"),
        ("NumberMap", {"maxItems": 1}, {"a": 1, "b": 2}, "maxItems"),
        # StringMap
        ("StringMap", {}, {"a": "b", "é": ""}, ""),
        ("StringMap", {}, {"a": 1}, "type"),
        ("StringMap", {"items": {"minLength": 1}}, {"a": ""}, "minLength"),
    ],
)
def test_a_value_fits_or_names_the_rule_it_breaks(
    type: str,  # noqa: A002
    limits: dict[str, Any],
    value: Any,
    rule: str,
) -> None:
    assert broken(key(type, **limits), value) == rule


@pytest.mark.parametrize(
    ("type", "value", "kept"),
    [("Number", 1, 1.0), ("Duration", "1h0m0s", "1h0m0s"), ("NumberMap", {"a": 1}, {"a": 1.0})],
)
def test_numbers_are_kept_as_floats_and_durations_as_written(type: str, value: Any, kept: Any) -> None:  # noqa: A002
    got, _ = check(key(type), value, "user")

    assert repr(got) == repr(kept)


@pytest.mark.parametrize(
    ("type", "limits", "rule"),
    [
        ("Boolean", {"enum": [True]}, "enum"),
        ("Boolean", {"minimum": 1}, "minimum"),
        ("String", {"minimum": 1}, "minimum"),
        ("String", {"minItems": 1}, "minItems"),
        ("String", {"items": {"pattern": "a"}}, "items"),
        ("Integer", {"minLength": 1}, "minLength"),
        ("Integer", {"pattern": "a"}, "pattern"),
        ("Number", {"maxItems": 1}, "maxItems"),
        ("Duration", {"pattern": "a"}, "pattern"),
        ("StringList", {"pattern": "a"}, "pattern"),
        ("NumberMap", {"minimum": 1}, "minimum"),
        ("StringList", {"enum": ["a"]}, "enum"),
        ("StringList", {"items": {"minimum": 1}}, "items.minimum"),
        ("NumberMap", {"items": {"pattern": "a"}}, "items.pattern"),
        ("StringMap", {"items": {"maximum": 1}}, "items.maximum"),
    ],
)
def test_a_limit_that_does_not_apply_to_the_type_is_refused(
    type: str,  # noqa: A002
    limits: dict[str, Any],
    rule: str,
) -> None:
    assert refusal(type, **limits) == rule


@pytest.mark.parametrize(
    ("type", "limits", "rule"),
    [
        ("Integer", {"minimum": 2, "maximum": 1}, "minimum"),
        ("Number", {"minimum": 0.2, "maximum": 0.1}, "minimum"),
        ("Duration", {"minimum": "2m", "maximum": "1m"}, "minimum"),
        ("String", {"minLength": 2, "maxLength": 1}, "minLength"),
        ("StringList", {"minItems": 2, "maxItems": 1}, "minItems"),
        ("StringList", {"items": {"minLength": 2, "maxLength": 1}}, "items.minLength"),
        ("NumberMap", {"items": {"minimum": 2, "maximum": 1}}, "items.minimum"),
        ("Integer", {"minimum": "1"}, "minimum"),
        ("Integer", {"maximum": "1m"}, "maximum"),
        ("Duration", {"minimum": 10}, "minimum"),
        ("Duration", {"maximum": "10"}, "maximum"),
        ("String", {"enum": []}, "enum"),
        ("String", {"enum": ["a", 1]}, "enum"),
        ("Integer", {"enum": [1, "2"]}, "enum"),
        ("Integer", {"enum": [True]}, "enum"),
        ("Integer", {"enum": [1, 5], "maximum": 3}, "enum"),
        ("String", {"enum": ["a", "bb"], "maxLength": 1}, "enum"),
        ("String", {"enum": ["a", "b"], "pattern": "^a$"}, "enum"),
        ("Duration", {"enum": ["soon"]}, "enum"),
        ("StringList", {"items": {"enum": [1]}}, "items.enum"),
        ("NumberMap", {"items": {"enum": ["a"]}}, "items.enum"),
        ("String", {"merge": "Merge"}, "merge"),
        ("StringList", {"merge": "Merge"}, "merge"),
        ("NumberMap", {"merge": "Append"}, "merge"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    type: str,  # noqa: A002
    limits: dict[str, Any],
    rule: str,
) -> None:
    assert refusal(type, **limits) == rule


@pytest.mark.parametrize(
    "pattern", ["(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", "(", "[", "a{2,1}", "*", "a{1000}{1000}"]
)
def test_a_pattern_that_rust_cannot_run_in_linear_time_is_refused(pattern: str) -> None:
    assert refusal("String", pattern=pattern) == "pattern"
    assert refusal("StringList", items={"pattern": pattern}) == "items.pattern"


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|aa)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"]
)
def test_a_catastrophic_pattern_on_hostile_text_ends_immediately(pattern: str) -> None:
    made = key("String", pattern=pattern)
    started = time.perf_counter()

    check(made, "a" * 50_000 + "!", "user")
    check(made, "x" * 50_000, "user")

    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("bound", [1e30, -1e30, 2**63, -(2**63) - 1])
def test_bounds_beyond_64_bits_are_no_mistake(bound: float) -> None:
    for limit in ("minimum", "maximum"):
        assert broken(key("Integer", **{limit: bound}), 0) in ("", "type", "minimum", "maximum")


# What is said


@pytest.mark.parametrize(
    ("type", "limits", "value", "said"),
    [
        ("Integer", {"minimum": 1}, 0, "must be at least 1, got 0; raise it"),
        ("Number", {"maximum": 2}, 3.5, "must be at most 2, got 3.5; lower it"),
        ("Duration", {"maximum": "1h"}, "2h", 'must be at most 1h, got "2h"; lower it'),
        (
            "String",
            {"enum": ["openai", "anthropic"]},
            "OPENAI",
            'must be one of the allowed values: openai, anthropic, got "OPENAI"; choose one of them '
            "(did you mean openai?)",
        ),
        ("Integer", {}, "x", 'must be of type Integer, got "x"; write a whole number, without quotes'),
        ("Integer", {}, None, "null is not a value; remove the key to leave it unset"),
        (
            "String",
            {},
            False,
            "must be of type String, got false; quote it: YAML reads n, no, off and false as false unless quoted",
        ),
        (
            "String",
            {},
            2.5,
            "must be of type String, got 2.5; quote it: YAML reads unquoted digits as a number",
        ),
        ("Duration", {}, "1d", 'is not a Go duration such as 1h30m or 250ms, got "1d"; write 24h'),
        ("Duration", {}, 300, "is not a Go duration such as 1h30m or 250ms, got 300; write 300s or 5m"),
        (
            "StringList",
            {},
            {"a": 1},
            "must be of type StringList, got a map of 1 entry; write a list, for example [one, two]",
        ),
        (
            "StringList",
            {},
            ["a", True],
            "entry 1: must be of type String, got true; quote it: YAML reads y, yes, on and true as true unless quoted",
        ),
        (
            "NumberMap",
            {"items": {"maximum": 1}},
            {"jazz": 2},
            "entry jazz: must be at most 1, got 2; lower it",
        ),
        (
            "String",
            {"maxLength": 3},
            "x" * 100,
            'may have at most 3 characters, got "' + "x" * 56 + "...; shorten it",
        ),
        (
            "Integer",
            {},
            MOST + 1,
            "is out of range for Integer, got 9223372036854775808; make the key a String",
        ),
        (
            "Number",
            {},
            2**53 + 1,
            "9007199254740993 has more digits than a Number holds exactly; shorten it, or make the key an Integer "
            "or a String",
        ),
        ("Boolean", {}, "yes", 'must be of type Boolean, got "yes"; write true or false, without quotes'),
        ("String", {"maxLength": 1}, "a\u200b", 'may have at most 1 character, got "a\\u200b"; shorten it'),
    ],
)
def test_a_message_has_the_problem_the_given_value_and_the_remedy(
    type: str,  # noqa: A002
    limits: dict[str, Any],
    value: Any,
    said: str,
) -> None:
    _, found = check(key(type, **limits), value, "user")

    assert str(found[0]) == f"a.key: {said}"


@pytest.mark.parametrize(
    ("type", "limits", "value"),
    [
        ("String", {"pattern": "^limit$"}, "canary"),
        ("String", {"enum": ["limit"]}, "canary"),
        ("String", {"maxLength": 3}, "canary"),
        ("Integer", {"maximum": 1000}, 424242),
        ("Duration", {"maximum": "1000h"}, "4242h"),
        ("Duration", {}, "canary"),
        ("StringList", {"items": {"pattern": "limit"}}, ["canary"]),
        ("NumberMap", {"items": {"maximum": 1000}}, {"canary": 424242}),
        ("StringMap", {}, {"canary": 424242}),
        ("String", {}, ["canary"]),
    ],
)
def test_a_sensitive_key_s_message_shows_neither_the_value_nor_its_limits(
    type: str,  # noqa: A002
    limits: dict[str, Any],
    value: Any,
) -> None:
    _, found = check(key(type, sensitive=True, **limits), value, "user")

    said = repr(found)
    assert found
    assert not any(text in said for text in ("canary", "4242", "1000", "limit$", "^limit"))


def test_at_most_three_violations_of_one_value_are_reported() -> None:
    _, found = check(key("StringList"), [1] * 100, "user")

    assert len(found) == 3


# Combining


@pytest.mark.parametrize(
    ("type", "merge", "lower", "upper", "combined"),
    [
        ("String", "Replace", "a", "", ""),
        ("Integer", "Replace", 5, 0, 0),
        ("Boolean", "Replace", True, False, False),
        ("StringList", "Replace", ["a"], [], []),
        ("StringList", "Append", ["a"], ["b", "a"], ["a", "b", "a"]),
        ("StringList", "Append", None, ["b"], ["b"]),
        ("NumberMap", "Merge", {"a": 1.0, "b": 1.0}, {"b": 2.0}, {"a": 1.0, "b": 2.0}),
        ("NumberMap", "Replace", {"a": 1.0}, {"b": 2.0}, {"b": 2.0}),
        ("StringMap", "Merge", {"a": "x"}, {}, {"a": "x"}),
    ],
)
def test_a_higher_layer_overrides_a_lower_one_as_merge_specifies(
    type: str,  # noqa: A002
    merge: str,
    lower: Any,
    upper: Any,
    combined: Any,
) -> None:
    assert key(type, merge=merge).combine(lower, upper) == combined


def test_combining_changes_neither_layer() -> None:
    lower: dict[str, float] = {"a": 1.0}
    upper: dict[str, float] = {"b": 1.0}

    key("NumberMap", merge="Merge").combine(lower, upper)

    assert (lower, upper) == ({"a": 1.0}, {"b": 1.0})


@pytest.mark.parametrize(("kind", "value"), [("StringMap", {"": "a"}), ("NumberMap", {"": 1})])
def test_an_entry_without_a_name_is_reported(kind: str, value: Any) -> None:
    made, _ = compile_key(KeySpec.model_validate({"name": "k", "type": kind}))
    assert made is not None
    [found] = check(made, value, "user")[1]
    assert (found.rule, found.problem) == ("type", "has an entry without a name")
