"""Conditions are CEL over one number: what may be written, what it means, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.cel import NUMBER, Condition, Dialect, can_pass, compile_cel


@pytest.mark.parametrize(
    ("text", "result", "holds"),
    [
        ("result < 0.01", 0.005, True),
        ("result < 0.01", 0.01, False),
        ("result < 1", 0.5, True),  # an int beside a double, by value
        ("result < 1", 1.0, False),
        ("1 > result", 0.5, True),
        ("result == 1", 1.0, True),
        ("result != 1u", 1.0, False),
        ("result <= 9007199254740993", 2.0**53, True),
        ("result >= 0 && result <= 1", 0.5, True),
        ("result < 0.1 || result > 0.9", 0.5, False),
        ("!(result > 3)", 2.0, True),
        ("-result < 0", 2.0, True),
        ("result * 100.0 < 5.0", 0.01, True),
        ("(result > 1 ? 1 : 0) == 1", 2.0, True),
        ("int(result) % 2 == 0", 4.7, True),
        ("result\n  < 1 // one in a second", 0.5, True),
        ("result < 1", math.inf, False),
        ("result < 1", -math.inf, True),
        ("result == 0.0 || 1.0 / result < 2.0", 0.0, True),
    ],
)
def test_a_condition_evaluates_as_cel_specifies(text: str, result: float, holds: bool) -> None:
    assert Condition.compile(text).holds(result) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("result <", "column 9: it ends too early"),
        ("result << 1", "column 9: '<' is not expected here"),
        ("result < 0,01", "column 11: ',' is not expected here"),
        ("result > 0.1\n&& resul < 1", "line 2, column 4: 'resul' is not known here; there is result"),
        ("result + 1 < 3", "column 8: '+' does not take (double, int); write both with a decimal point"),
        ("result < '1'", "column 8: '<' does not take (double, string)"),
        ("result", "it gives a double, not true or false"),
        ("result ? true : false", "column 8: '? :' does not take (double, bool, bool)"),
        ("result[0] < 1", "column 7: '[ ]' is not known here"),
        ("size(result) < 1", "'size' is not known here"),
        ("[result].all(r, r < 1.0)", "'r' is not known here"),
        ("[1].map(x, x + x) == [2]", "'x' is not known here"),
        ("'aa'.matches('(a+)+$')", "'matches' is not known here"),
        ("'a' + 'b' == 'ab'", "'+' does not take (string, string)"),
        ("dyn(result) == 'x'", "'dyn' is not known here"),
        ("timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z')", "'timestamp' is not known"),
        ("(" * 40 + "result < 1" + ")" * 40, "nested too deeply"),
        ("result < 1 &&" * 100 + "true", "at most 1024"),
        ("\ud800 < 1", "surrogate pair"),
        ("\x00", "column 1"),
    ],
)
def test_an_invalid_condition_is_refused_with_a_message_and_its_position(text: str, said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Condition.compile(text)

    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize(
    ("text", "mentions"),
    [
        ("result < 1", True),
        ("1 < 2", False),
        ("true || result < 1", True),
        ("true", False),
        ("1 < 2 // result", False),
        ("'result' != 'x' || result < 1.0", True),
    ],
)
def test_a_condition_knows_whether_the_number_can_matter(text: str, mentions: bool) -> None:
    try:
        condition = Condition.compile(text)
    except ValueError:
        assert "'" in text  # text is not compared at all
    else:
        assert condition.mentions_result is mentions


@pytest.mark.parametrize("text", ["1 / 0 == 1", "int(result) / 0 == 1", "double('x') < result"])
def test_what_cannot_be_evaluated_is_an_error_and_not_a_result(text: str) -> None:
    condition = Condition.compile(text)

    with pytest.raises(ValueError):
        condition.holds(1.0)


def test_the_hardest_condition_that_is_accepted_is_soon_evaluated() -> None:
    """Without macros the work is bounded by the text: no count of steps needs to be asserted for it to end."""
    for text in (
        "result < 1.0 && " * 63 + "true",
        "||".join(["(result<1?true:false)"] * 42),
        "-" * 1000 + "result < 1",
        "!" * 1000 + "true",
        "result < " + "1" * 15 + "." + "0" * 990,
    ):
        assert Condition.compile(text).holds(0.5) in (True, False)


def test_equal_conditions_are_equal() -> None:
    assert Condition.compile("result < 1") == Condition.compile("result < 1")
    assert Condition.compile("result < 1") != Condition.compile("result < 2")


def test_a_dialect_allows_what_it_names_and_nothing_else() -> None:
    texts = Dialect(
        summary="name",
        variables=(("name", "string"), ("tags", "list<string>")),
        functions=("startsWith", "_==_", "_||_", "!_"),
        macros=("exists",),
    )

    assert compile_cel("name.startsWith('a')", texts).evaluate({"name": "abc", "tags": []}) is True
    assert compile_cel("tags.exists(t, t == name)", texts).evaluate({"name": "a", "tags": ["b", "a"]}) is True
    for text in (
        "name + 'x' == 'ax'",
        "tags.map(t, t) == tags",
        "tags.all(t, t == name)",
        "name.matches('a')",
    ):
        with pytest.raises(ValueError):
            compile_cel(text, texts)


def test_a_program_declares_its_return_type() -> None:
    assert compile_cel("result + 1.0", NUMBER).returns == "DOUBLE"
    assert compile_cel("result + 1.0", NUMBER).evaluate({"result": 2.0}) == 3.0


@pytest.mark.parametrize(
    ("success", "failure"),
    [
        ("false && result < 1.0", None),
        ("result < 0.0 && result > 1.0", None),
        ("result < 1 && result > 1", None),
        ("result != result", None),
        ("result < -1.0 && -result < 1.0", None),
        ("!(result < 1e3 || result >= 0x3E8)", None),
        ("result < 1.0 ? false : result < 1u", None),
        ("result > 1.0", "result > 0.5"),
        ("result == 0.5", "result <= 0.5 && result >= 0.5"),
    ],
)
def test_what_holds_of_no_number_cannot_pass(success: str, failure: str | None) -> None:
    assert not can_pass(Condition.compile(success), None if failure is None else Condition.compile(failure))


@pytest.mark.parametrize(
    ("success", "failure"),
    [
        ("result < 0.01", None),
        ("result == 0.1", None),
        ("result > 1 && result < 1.0000000000000005", None),
        ("result > 1.7976931348623157e308", None),
        ("-result > 3.0", None),
        ("-result >= result", None),
        ("result < 5.0", "result > 3.0"),
        ("result * 0.0 > 1.0", None),  # it never does, but whoever reckons is believed
        ("result - 1.0 > 4.0", None),
        ("(result)-1.0 > 4.0", None),
        ("int(result) % 7 == 6", None),
        ("1 / 0 == 1 || result < 1.0", None),
    ],
)
def test_what_may_hold_of_a_number_may_pass(success: str, failure: str | None) -> None:
    assert can_pass(Condition.compile(success), None if failure is None else Condition.compile(failure))


OPERAND = st.one_of(
    st.sampled_from(["result", "-result", "(result)"]),
    st.floats(allow_nan=False, allow_infinity=False, width=16).map(lambda number: f"{number!r}"),
    st.integers(-3, 3).map(str),
)
COMPARISON = st.builds(
    lambda one, sign, other: f"({one} {sign} {other})",
    OPERAND,
    st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    OPERAND,
)
LOGIC = st.recursive(
    COMPARISON,
    lambda inner: st.one_of(
        st.builds(lambda a, o, b: f"({a} {o} {b})", inner, st.sampled_from(["&&", "||"]), inner),
        inner.map(lambda a: f"!{a}"),
        st.builds(lambda a, b, c: f"({a} ? {b} : {c})", inner, inner, inner),
    ),
    max_leaves=5,
)


@given(
    LOGIC, LOGIC, st.lists(st.one_of(st.floats(allow_nan=False), st.integers(-4, 4).map(float)), min_size=9)
)
def test_a_condition_that_is_true_of_some_number_is_never_reported_as_never_true(
    success: str, failure: str, results: list[float]
) -> None:
    one, other = Condition.compile(success), Condition.compile(failure)

    if any(one.holds(result) for result in results):
        assert can_pass(one)
    if any(one.holds(result) and not other.holds(result) for result in results):
        assert can_pass(one, other)
