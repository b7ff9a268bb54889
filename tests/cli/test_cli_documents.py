"""Text is read as kubectl reads it, and what kubectl would silently drop is reported."""

from __future__ import annotations

import time
from typing import Any

import pytest

from trimtab.cli.files.composer import MAX_DEPTH
from trimtab.cli.files.documents import read
from trimtab.cli.files.scalars import MalformedError


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
        ("._5", "._5"),
        (".5_0", 0.5),
        ("1234e567", "1234e567"),
        ("9" * 5000, "9" * 5000),
        ("0b-1", -1),
        ("0x", "0x"),
        ("4611686018427387904.0", 4611686018427388000),
        ("!!binary aGk=", "hi"),
        ("!!float 1", 1),
        ("!!timestamp 2001-01-01", "2001-01-01"),
    ],
)
def test_a_scalar_has_the_type_that_kubectl_reads(written: str, meant: Any) -> None:
    assert _same(_value(f"a: {written}")["a"], meant)


def test_json_numbers_are_as_the_api_server_keeps_them() -> None:
    found = _value('{"a": 2.0, "b": 0.5, "c": 9223372036854775807, "d": 9223372036854775808}')
    assert [type(v) for v in found.values()] == [int, float, int, float]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' is there twice"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        ("a: {0x1: x}", "line 1: the key '0x1' is not text"),
        ("apiVersion: v1\nkind: A\napiVersion: v1\nkind: B\n", "line 3: a second object begins here"),
        ("on: x", "line 1: the key 'on' is not text"),
        ("? ~\n: x", "line 1: the key '~' is not text"),
        ('a: 1\nb: "x\\/y"\n', "line 2: kubectl rejects \\/ in YAML; write /"),
        ('---\n{"a": "\\\\\\/"}\n', "line 2: kubectl rejects \\/ in YAML"),
    ],
)
def test_what_a_loader_would_swallow_is_a_flaw(text: str, flaw: str) -> None:
    (document,) = read(text)
    (found,) = document.flaws
    assert flaw in f"line {found.spot.line}: {found.fault}"


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
        ("a: !!python/object:os.system x", "the tag"),
        ("a: !!binary x", "base64"),
        ("a: !!binary aGVs bG8=", "base64"),
        ("a: 1\n\ufeffb: 2\n", "line 2: begins with a byte order mark"),
        ("a: [1,\n\ufeff2]\n---\nb: 1\n", "line 2: begins with a byte order mark"),
        ("a: 1\n---\nb: 1\n\ufeff", "line 4: begins with a byte order mark"),
        ("---\n\ufeffa: 1\n", "line 2: begins with a byte order mark"),
        ("a: 1\n---\n\t\n", "line 3, column 1: found character that cannot start any token"),
        ("a: !!float 18446744073709551615", "line 1: the tag !!float does not fit"),
        ("a: .inf", "not a number in JSON"),
        ('{"a": 1e999}', "a number is too large"),
        ("a: !!int x", "the tag !!int does not fit"),
        ("--- {a: 1}", "line 1: nothing may follow ---"),
        (
            "a: 1\n...\nb: 2\n---\nc: 3",
            "line 3, column 1: did not find expected <document start>; put a line of ---",
        ),
        ('a: 1\nb: "x\nc: 2\nd: 3\n', "line 2, column 4: a quote begins here and does not end"),
        ("a: 1\nb: 'x\nc: y's\n", "the quote that begins at line 2, column 4 may not be closed"),
        ('{"a":1}{"b":2}{"c"}', "in a stream of JSON objects"),
        ('{"a": ' + "9" * 5000 + "}", "5000 digits"),
        ('{"a": "\\ud800"}', "surrogate"),
        ('a: "\\ud800"', "line 1"),
        ("<<: x", "<< requires a mapping"),
        ("[" * 100_000, f"more than {MAX_DEPTH} levels"),
        ("a: " + "[" * 300 + "]" * 300, f"more than {MAX_DEPTH} levels"),
        ('{"a":' * 300 + "1" + "}" * 300, f"more than {MAX_DEPTH} levels"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, f"more than {MAX_DEPTH} levels"),
    ],
)
def test_unreadable_text_is_reported_with_its_location(text: str, said: str) -> None:
    with pytest.raises(MalformedError, match=r".") as caught:
        list(read(text))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "level", ["a{0}: &a{0} [{1}]\n", "a{0}: &a{0} {{<<: [{1}]}}\n"], ids=["aliases", "merges"]
)
def test_aliases_that_multiply_are_refused_immediately(level: str) -> None:
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
    assert [(d.index, d.line, d.value) for d in found] == [(3, 5, {"a": 1}), (4, 8, {"b": 2})]


def test_an_anchor_is_not_valid_in_the_next_document() -> None:
    with pytest.raises(MalformedError, match="no anchor"):
        list(read("a: &a 1\n---\nb: *a\n"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a":1}\n{"a":2}{"a":3}', [{"a": 1}, {"a": 2}, {"a": 3}]),
        ('{"a":1}\n---\na: 2\n', [{"a": 1}, {"a": 2}]),
        ("\ufeffa: 1\n--- # more\n\ufeffb: y\n", [{"a": 1}, {"b": True}]),
        ("---\n---\n\ufeffa: 1\n", [{"a": 1}]),
        ('{"a": NaN}', [{"a": "NaN"}]),
        ('\ufeff{"a":1}{"a":2}', [{"a": 1}, {"a": 2}]),
        ('{"a":"\\/"}{"a":"\\/"}', [{"a": "/"}, {"a": "/"}]),
        ("a: '\\/'\nb: \\/\nc: \"\\\\/\"\nd: /\n", [{"a": "\\/", "b": "\\/", "c": "\\/", "d": "/"}]),
        ("a: !!binary |\n  aGVs\n  bG8=\n", [{"a": "hello"}]),
        ("a: |+\n  x", [{"a": "x\n"}]),
        ("a: {z: 3, <<: {z: 2}}", [{"a": {"z": 2}}]),
    ],
)
def test_a_stream_is_cut_as_kubectl_cuts_it(text: str, values: list[Any]) -> None:
    assert [document.value for document in read(text)] == values


def test_every_key_and_value_has_its_place() -> None:
    (document,) = read("# c\na:\n  b: 1\n  c: [x, {d: 2}]\n")
    assert document.spot(("a", "b")) == (3, 3, 3, 6, "")
    assert document.spot(("a", "c", 1, "d")) == (4, 11, 4, 14, "")
    assert document.spot(("a", "gone", "deeper")) == document.spot(("a",)) == (2, 1, 3, 3, "")
    assert document.spot(("gone",)) == (2, 1, 2, 1, "")
