"""Messages: bounded work for suggestions, no two alike, nothing invisible, no words of Python."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core import suggestion as nearness
from trimtab.core.resolve.resolve import group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.status import conditions, refused, violation_fields
from trimtab.core.text import invisible, visible
from trimtab.core.violations import REPORTED, RejectedError, Violation, bounded, summary

_PYTHON = re.compile(
    r"\b(dict|dictionary|NoneType|None|instance|str|tuple|KeySpec|True|False|valid string|object at)\b"
)


def template(keys: list[dict[str, Any]], **spec: Any) -> ConfigTemplateSpec:
    return ConfigTemplateSpec.model_validate({"keys": keys, "groups": [{"name": "g"}], "outputs": [], **spec})


@pytest.mark.parametrize("length", [30, 2000])
def test_suggestions_cost_no_more_than_the_violations_that_are_shown(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []
    real = nearness.nearest

    def counting(word: str, known: Any) -> str:
        compared.append(len(word[: nearness.LENGTH]) * len(list(known)))
        return real(word, known)

    monkeypatch.setattr(nearness, "nearest", counting)
    keys = [
        {"name": f"service{i}.timeoutMillis", "type": "String", "enum": ["on" * 40, "off"]}
        for i in range(300)
    ]
    view = group_view(compile_template("t", template(keys)), "g")
    unknown = {f"{i}.srvice.timeoutMilis".ljust(length, "x"): 1 for i in range(700)}
    wrong = {key["name"]: "onn" * 20 for key in keys}

    found = view.resolve({**unknown, **wrong}).violations
    verdict = refused("Invalid", summary(found), found)
    violation_fields(verdict.violations)

    assert len(found) == 1000
    assert len(compared) <= REPORTED + 3
    assert sum(compared) <= (REPORTED + 3) * nearness.LENGTH * 300


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5), st.just([1, "a"]),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
_TYPES = ("String", "Integer", "Number", "Boolean", "Duration", "StringList", "NumberMap", "StringMap")


@given(
    st.dictionaries(st.sampled_from(["a", "b.c", "d", "e", "e\u200b", "E"]), _VALUES, max_size=6),
    st.sampled_from(_TYPES),
)
def test_different_violations_never_print_the_same_line_nor_python_nor_invisible_text(
    values: dict[str, Any], kind: str
) -> None:
    keys = [{"name": name, "type": kind} for name in ("a", "b.c", "d")]
    profiles = [{"name": "p", "values": values}]
    groups = [{"name": "g", "values": values}, {"name": "h", "values": values, "profile": "p"}]
    try:
        compile_template("t", template(keys, groups=groups, profiles=profiles))
    except RejectedError as error:
        lines = [str(violation) for violation in error.violations]
        assert len(lines) == len(set(lines))
        assert not any(map(invisible, lines))
        mine = [re.sub(r"got (\".*\"|[^;]*)", "", line) for line in lines]
        assert not any(map(_PYTHON.search, mine)), mine


@given(st.text())
def test_what_is_shown_has_no_invisible_character_and_escaping_it_again_changes_nothing(text: str) -> None:
    assert not invisible(visible(text))
    assert visible(visible(text)) == visible(text)


def test_the_last_of_many_violations_counts_the_others() -> None:
    found = tuple(Violation(str(n), "user", "type", "is wrong") for n in range(50))

    assert str(bounded(found)[-1]) == "*: and 31 more violations"


@given(st.text(max_size=40))
def test_a_condition_shows_nothing_invisible(text: str) -> None:
    made = conditions(refused("WriteFailed", f"webhook said {text}"), 1, "", ())
    assert all(invisible(condition["message"]) == "" for condition in made)
