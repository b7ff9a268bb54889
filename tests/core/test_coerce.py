"""Lossless coercion: taken only where the value can be told back exactly."""

from __future__ import annotations

from typing import Any

import pytest

from trimtab.core.schema.coerce import lossless

BIG = 2**63 - 1


@pytest.mark.parametrize(
    ("kind", "given", "taken"),
    [
        ("Integer", "42", 42),
        ("Integer", "-7", -7),
        ("Integer", str(BIG), BIG),
        ("Integer", 42.0, 42),
        ("Integer", -0.0, 0),
        ("Integer", 2.0**53, 2**53),
        ("Number", "0.7", 0.7),
        ("Number", "1e3", 1000.0),
        ("Number", "-.5", -0.5),
        ("Number", "42", 42.0),
        ("Boolean", "true", True),
        ("Boolean", "false", False),
        ("String", 42, "42"),
        ("String", -1, "-1"),
        ("String", True, "true"),
        ("String", False, "false"),
        ("StringList", ["a", 1, True], ["a", "1", "true"]),
        ("NumberMap", {"a": "1", "b": 2}, {"a": 1.0, "b": 2}),
        ("StringMap", {"a": 1, "b": "x"}, {"a": "1", "b": "x"}),
    ],
)
def test_unambiguous_text_is_coerced(kind: str, given: Any, taken: Any) -> None:
    assert lossless(kind, given) == taken
    assert type(lossless(kind, given)) is type(taken)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("Integer", "4.0"),
        ("Integer", "1e3"),
        ("Integer", " 1"),
        ("Integer", "1\n"),
        ("Integer", "0x10"),
        ("Integer", "1_000"),
        ("Integer", "٤"),
        ("Integer", ""),
        ("Integer", str(BIG + 1)),
        ("Integer", "9" * 400),
        ("Integer", 4.5),
        ("Integer", 2.0**60),
        ("Integer", float("nan")),
        ("Integer", float("inf")),
        ("Integer", True),
        ("Number", "inf"),
        ("Number", "nan"),
        ("Number", "1e999"),
        ("Number", "1e-999"),
        ("Number", "0.1000000000000000055"),
        ("Number", "9007199254740993"),
        ("Number", "1,5"),
        ("Number", "1."),
        ("Number", "٤"),
        ("Number", "0.7\n"),
        ("Number", True),
        ("Boolean", "True"),
        ("Boolean", "yes"),
        ("Boolean", "on"),
        ("Boolean", "1"),
        ("Boolean", 1),
        ("Boolean", 0),
        ("String", 1.1),
        ("String", 1.0),
        ("String", None),
        ("String", ["a"]),
        ("Duration", 5),
        ("Duration", "5"),
        ("StringList", "a"),
        ("StringList", ["a", 1.5]),
        ("StringList", [None]),
        ("StringList", [["a"]]),
        ("NumberMap", {"a": "x"}),
        ("NumberMap", {"a": True}),
        ("NumberMap", [1]),
        ("StringMap", {"a": 1.5}),
        ("StringMap", {"a": None}),
    ],
)
def test_what_would_lose_or_guess_something_is_not(kind: str, given: Any) -> None:
    assert lossless(kind, given) is None


def test_the_given_value_stays_unchanged() -> None:
    given = {"a": "1"}

    lossless("NumberMap", given)

    assert given == {"a": "1"}
