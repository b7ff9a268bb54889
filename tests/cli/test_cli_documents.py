"""Text is read as kubectl reads it, and what kubectl would silently swallow is said."""

from __future__ import annotations

import time
from typing import Any

import pytest

from trimtab.cli.documents import MAX_DEPTH, read
from trimtab.cli.scalars import MalformedError


def _value(text: str) -> Any:
    (document,) = read(text)
    return document.value


def _same(found: Any, wanted: Any) -> bool:
    return found == wanted and type(found) is type(wanted)


@pytest.mark.parametrize(
    ("written", "meant"),
    [  # as `kubectl create --dry-run=client -o json` of Kubernetes 1.37 answers
        ("y", True),
        ("n", False),
        ("on", True),
        ("Off", False),
        ("true", True),
        ("1:30", "1:30"),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("089", 89),
        ("1_000", 1000),
        ("+5", 5),
        ("1e3", 1000),
        ("2.0", 2),
        ("1.", 1),
        (".5", 0.5),
        ("-0.0", 0),
        ("1e21", 1e21),
        ("99999999999999999999", 1e20),
        ("2001-01-01", "2001-01-01"),
        ('"2.0"', "2.0"),
        ("=", "="),
        ("~", None),
        ("", None),
        ("!!str 1", "1"),
        ("hello", "hello"),
        ("'y'", "y"),
    ],
)
def test_a_scalar_is_what_kubectl_takes_it_for(written: str, meant: Any) -> None:
    assert _same(_value(f"a: {written}")["a"], meant)


def test_json_numbers_are_as_the_api_server_keeps_them() -> None:
    found = _value('{"a": 2.0, "b": 0.5, "c": 9223372036854775807, "d": 9223372036854775808}')
    assert [type(v) for v in found.values()] == [int, float, int, float]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there twice"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        ("a: {1: x}", "line 1: the key '1' is not text"),
        ("on: x", "line 1: the key 'on' is not text"),
        ("? ~\n: x", "line 1: the key '~' is not text"),
    ],
)
def test_what_a_loader_would_swallow_is_a_flaw(text: str, flaw: str) -> None:
    (document,) = read(text)
    assert len(document.flaws) == 1
    assert flaw in document.flaws[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: b: c", "line 1, column 5"),
        ("ok: 1\n\tx: 1", "line 2"),
        ("a: 1\nb: \x00", "line 2: the character U+0000"),
        ("a: \x1b", "U+001B"),
        ("a: *x", "line 1: there is no anchor &x"),
        ("a: &a {b: *a}", "refers to itself"),
        ("? [a]\n: b", "cannot be a key"),
        ("a: &k [x]\n*k : v", "cannot be a key"),
        ("a: !!python/object:os.system {}", "the tag"),
        ("a: !!binary aGk=", "the tag"),
        ("a: .inf", "no number that JSON can hold"),
        ('{"a": NaN}', "no JSON number"),
        ('{"a": 1e999}', "no number that JSON can hold"),
        ("a: " + "9" * 5000, "5000 digits"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('a: "\\ud800"', "line 1"),
        ("<<: x", "<< takes a mapping"),
        ("[" * 100_000, f"more than {MAX_DEPTH} levels"),
        ("a: " + "[" * 300 + "]" * 300, f"more than {MAX_DEPTH} levels"),
        ('{"a":' * 300 + "1" + "}" * 300, f"more than {MAX_DEPTH} levels"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, f"more than {MAX_DEPTH} levels"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(MalformedError, match=r".") as caught:
        list(read(text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "level", ["a{0}: &a{0} [{1}]\n", "a{0}: &a{0} {{<<: [{1}]}}\n"], ids=["aliases", "merges"]
)
def test_aliases_that_multiply_are_refused_at_once(level: str) -> None:
    text = "a0: &a0 {k: v}\n" + "".join(level.format(i, ", ".join([f"*a{i - 1}"] * 9)) for i in range(1, 30))
    started = time.process_time()
    with pytest.raises(MalformedError, match="aliases make the document larger"):
        list(read(text))
    assert time.process_time() - started < 2


def test_aliases_and_merges_within_reason_are_written_out() -> None:
    found = _value("a: &a {x: 1, z: 2}\nb: {<<: *a, z: 3}\nc: {<<: [*a, {z: 4, w: 5}]}\nd: [*a, *a]")
    assert found["b"] == {"x": 1, "z": 3}
    assert found["c"] == {"x": 1, "z": 2, "w": 5}
    assert found["d"] == [{"x": 1, "z": 2}] * 2


def test_documents_are_counted_and_empty_ones_are_none() -> None:
    found = list(read("---\n---\n# a comment\n---\na: 1\n...\n---\nb: 2\n"))
    assert [(d.index, d.line, d.value) for d in found] == [(3, 4, {"a": 1}), (4, 7, {"b": 2})]


def test_an_anchor_of_one_document_is_none_of_the_next() -> None:
    with pytest.raises(MalformedError, match="no anchor"):
        list(read("a: &a 1\n---\nb: *a\n"))
