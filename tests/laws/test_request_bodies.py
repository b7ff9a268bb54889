"""A request body is the same for readers of JSON and of YAML."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab.kube.bodies import LONGEST_KEY, as_json, as_yaml

CORNERS = [
    *map(chr, range(0x20)), *map(chr, range(0x7E, 0xA1)), "\xad", "\u2028", "\u2029", "\ud7ff", "\ue000", "\ufdd0",
    "\ufeff", "\ufffd", "\ufffe", "\uffff", "\U00010000", "\U0001fffe", "\U0001ffff", "\U00100000", "\U0010fffe",
    "\U0010ffff",
]  # fmt: skip
TEXTS = st.one_of(
    st.text(st.sampled_from([*CORNERS, *' \\"?:,{}[]&*#|<%@`a'])), st.text(st.characters(codec="utf-8"))
)
LONG = st.builds(lambda text, times: (text + ":") * times, TEXTS, st.integers(0, LONGEST_KEY))
BODIES = st.dictionaries(
    st.one_of(TEXTS, LONG),
    st.one_of(TEXTS, st.lists(TEXTS, max_size=3), st.dictionaries(LONG, TEXTS, max_size=2)),
    max_size=3,
)
EVERY = {a + b + " ": " " + a + b for a in CORNERS for b in CORNERS}


@example(body=EVERY)
@example(body={"\\" * 1023 + "\x7f": {"k" * 1021: '":' * 600, "k" * 1022: ""}})
@given(body=BODIES)
def test_an_applied_body_is_the_same_for_readers_of_yaml_and_of_json(body: dict[str, Any]) -> None:
    assert yaml.load(as_yaml(body), Loader=yaml.SafeLoader) == body
    assert json.loads(as_json(body)) == body


def test_a_body_of_short_keys_is_json() -> None:
    assert json.loads(as_yaml(EVERY)) == EVERY


def test_half_of_a_surrogate_pair_is_refused() -> None:
    for encode in (as_json, as_yaml):
        with pytest.raises(UnicodeEncodeError):
            encode({"key": "\ud800"})
