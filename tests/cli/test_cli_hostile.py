"""Whatever a file contains, a command responds with a message: no traceback, one of the documented exit codes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from support.cli_manifests import TEMPLATE, Call, preference
from trimtab.cli.files.documents import read
from trimtab.cli.files.helm import is_template
from trimtab.cli.files.scalars import MalformedError
from trimtab.cli.output import as_json, as_yaml, plain

STATUS: dict[str, Any] = {
    "accepted": {"generation": 1, "group": "free", "values": {"session.minutes": 9}},
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": ""}
    ],
    "violations": [{"key": "a", "rule": "b", "message": "c"}],
}
OBJECTS: list[dict[str, Any]] = [
    yaml.safe_load(TEMPLATE),
    yaml.safe_load(preference("ann", "{agent.temperature: 1, plugins: [b]}")) | {"status": STATUS},
    yaml.safe_load(preference("bob", group="pro")),
    {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team", "labels": {"a": "b"}, "annotations": {}},
    },
]
JUNK: list[Any] = [
    None, True, 0, -1, 2**70, 1e300, 0.5, "", "x", "\x00", "\u202e", "a.b", "é" * 300, "x" * 70, [], {}, [[]],
    {"a": {}}, [None], {"": ""}, {"a": None}, ["a", "a"], "1h", "users-1", "_default", "free", "*", "a.*",
    {"name": "free"}, [{"name": "x"}], "trimtab.dev/v1alpha1", "ConfigTemplate", "UserPreference",
]  # fmt: skip
FIELDS = "name values spec schemaVersion group namespace uid generation creationTimestamp labels status enum include"


@pytest.mark.parametrize(
    "braces", ["{{" * 300_000, "{{/*\n" * 100_000, "{{/*" * 200_000 + "*/", "# c\n" * 500_000 + "{{ x }}"]
)
def test_braces_that_do_not_close_cost_no_search_from_each_of_them(braces: str) -> None:
    assert is_template(f"a: [\n{braces}\n", MalformedError("line 9999999: x")) is False


@pytest.mark.parametrize("seed", range(60))
def test_no_object_however_wrong_ends_in_a_traceback(trimtab: Call, seed: int) -> None:
    chance = random.Random(seed)
    text = "\n---\n".join(json.dumps(body) for body in _mutated(chance))
    for args in (["validate"], ["render"], ["explain", "app", "ann"]):
        answer = trimtab(*args, "-f", "-", "-n", "team", stdin=text)
        assert answer.code in (0, 1, 2)
        assert answer.code == 0 or answer.err or answer.out


def _mutated(chance: random.Random) -> list[Any]:
    objects: Any = copy.deepcopy(OBJECTS)
    for _ in range(chance.choice([1, 1, 2, 4])):
        *parents, last = chance.choice([path for path in _paths(objects) if path])
        node = objects
        for part in parents:
            node = node[part]
        if chance.random() < 0.6:
            node[last] = copy.deepcopy(chance.choice(JUNK))
        elif isinstance(node, dict):
            node[chance.choice(FIELDS.split())] = copy.deepcopy(chance.choice(JUNK))
        else:
            node.append(copy.deepcopy(chance.choice([*node, *JUNK])))
    return list(objects)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for part, below in inner:
        yield from _paths(below, (*path, part))


HOSTILE = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from('\x00\x1b\x7f\x85\x9b\u202e\u2066\u200f\u200b\ufeff\n\r"\\ '),
    )
)


@given(st.dictionaries(HOSTILE, HOSTILE), st.sampled_from([None, 2]))
def test_what_programs_get_reads_back_and_plays_with_no_terminal(
    content: dict[str, str], indent: int | None
) -> None:
    text, document = as_json(content, indent), as_yaml(content)

    assert json.loads(text) == content
    assert yaml.safe_load(document) == content
    assert [found.value for found in read(document)] == [content]
    assert (plain(text), plain(document)) == (text, document)


PLAIN_TRAPS = st.from_regex(r"[-+.0-9_oxbeEyYnN~=<:]{1,9}", fullmatch=True)


@given(st.lists(st.one_of(PLAIN_TRAPS, HOSTILE)), PLAIN_TRAPS)
def test_no_text_that_is_printed_is_read_as_another_value(texts: list[str], key: str) -> None:
    content = {key: texts, "nested": [{key: text} for text in texts]}
    assert [found.value for found in read(as_yaml(content))] == [content]


def test_letters_of_all_tongues_stay_readable() -> None:
    assert as_json({"a": "Zoë ä 日本"}) == '{"a": "Zoë ä 日本"}'
