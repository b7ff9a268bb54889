# ruff: noqa: E501 - tables of what is written
"""Manifests are read, and taken or refused, as a real kubectl and API server do."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_crds import Namespace, served  # noqa: F401

from trimtab.cli.errors import Failure
from trimtab.cli.files.documents import read
from trimtab.cli.files.manifests import load
from trimtab.cli.files.scalars import MalformedError, number
from trimtab.cli.files.schema import parse
from trimtab.cli.output import as_yaml

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("crds")]

PREFERENCE = """\
apiVersion: trimtab.dev/v1alpha1
kind: UserPreference
metadata: {{name: u{0}}}
spec:
  templateRef: {{name: app}}
  group: free
  values:
    v: {1}
"""
SCALARS = """y n yes No on OFF true ~ 0 -1 +1 0o17 017 089 0x1F 0b101 -0b1 0b-1 1_000 1__0 1_ _1 +_1 ._5 .5 .5_0 5. 1e3
1.5e-7 1e400 -1e400 1234e567 12e4 .1e400 1:30 2001-01-01 2001-12-14t21:59:43.10-05:00 = 0.1 -0.0 1.0 1e21 1e20
9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551616 9007199254740993
4611686018427387904.0 0xFFFFFFFFFFFFFFFF 0777777777777777777777777 0x 0o8 0_7 1.2.3 12a .e5 . + -.5 1_0.5_0 .1_ 0x1p4 5m
"y" '0o17' !!str&nbsp;1 !!float&nbsp;1 !!binary&nbsp;aGk= !!timestamp&nbsp;2001-01-01 !!bool&nbsp;yes !!int&nbsp;"5" nan inf |+&nbsp;
[y,&nbsp;1.0] {a:&nbsp;{b:&nbsp;no}} [2,&nbsp;null] "\\u2028\\ufeff" """.replace("\n", " ").split()
REFUSED = [
    "!!int x",
    "!!bool 2",
    "!!float x",
    ".inf",
    "-.INF",
    ".nan",
    "{a: *x}",
    "&a [*a]",
    '"\\ud800"',
    "[",
    "a: b: c",
    "\t- x",
    "@x",
    '"\\/"',
    "!!binary aGk= aGk=",
]


@pytest.fixture
def namespace(served: Any) -> Iterator[Namespace]:  # noqa: F811
    name = f"reading-{secrets.token_hex(4)}"
    served.kubectl("create", "namespace", name)
    yield Namespace(served, name)
    served.kubectl("delete", "namespace", name, "--wait=false")


def _number(value: Any) -> Any:
    """Beyond 64 bits a float, whichever way it is printed."""
    return number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _taken(namespace: Namespace, text: str) -> list[Any] | None:
    """The objects as the API server would keep them; None if kubectl or it refuses them."""
    try:
        run = namespace.cluster.kubectl(
            "-n",
            namespace.name,
            "create",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
            "-o",
            "json",
            input=text,
        )
    except subprocess.CalledProcessError:
        return None
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(run.stdout.rstrip()):
        one, at = decoder.raw_decode(run.stdout, at)
        found += one["items"] if one["kind"] == "List" else [one]
        at += len(run.stdout[at:]) - len(run.stdout[at:].lstrip())
    return found


def test_scalars_mean_what_the_api_server_keeps(namespace: Namespace) -> None:
    written = [scalar.replace("&nbsp;", " ") for scalar in SCALARS]
    text = "---\n".join(PREFERENCE.format(n, scalar) for n, scalar in enumerate(written))

    kept = _taken(namespace, text)

    assert kept is not None
    ours = [document.value["spec"]["values"].get("v") for document in read(text)]
    theirs = [_number(item["spec"].get("values", {}).get("v")) for item in kept]
    assert list(zip(written, ours, strict=True)) == list(zip(written, theirs, strict=True))


@pytest.mark.parametrize("scalar", REFUSED)
def test_what_kubectl_cannot_read_is_refused(namespace: Namespace, scalar: str) -> None:
    text = PREFERENCE.format(0, scalar)
    assert _taken(namespace, text) is None
    try:
        found = [document for document in read(text) if not document.flaws]
    except MalformedError:
        found = []
    assert found == []


STREAMS = [
    "{0}{1}",
    "{0}\n{1}\n{0}",
    "{0}\n---\n{1}",
    "\ufeff{0}---\n\ufeff{1}",
    "--- # a\n{0}\n---   \n{1}",
    "%YAML 1.1\n---\n{0}",
    "--- {0}",
    "{0}\r\n---\r\n{1}",
    "\ufeff{0}{1}",
    "{0}\n\ufeff{1}",
    "{0}\n\ufeff---\n{1}",
]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("form", ["json", "yaml"])
def test_streams_hold_the_same_documents(namespace: Namespace, stream: str, form: str) -> None:
    bodies = [next(iter(read(PREFERENCE.format(n, 1)))).value for n in range(2)]
    texts = [json.dumps(b) if form == "json" else as_yaml(b) for b in bodies]
    text = stream.replace("{0}", texts[0]).replace("{1}", texts[1])
    names = [body["metadata"]["name"] for body in _taken(namespace, text) or ()]
    try:
        ours = [document.value["metadata"]["name"] for document in read(text) if not document.flaws]
    except MalformedError:
        ours = []
    if form == "yaml" and stream.removeprefix("\ufeff") in STREAMS[:2]:
        names = []  # kubectl takes the last of equal keys

    assert ours == names


LABEL: list[Any] = ["a", "", "a b", "-a", "a" * 63, "a" * 64, 1, True, None, "é"]
CHANGES: list[tuple[str, Any]] = [
    *(("metadata.labels", {"k": value}) for value in LABEL),
    *(("metadata.labels", {key: "v"}) for key in ("a/b", "A/b", "a/b/c", "", "a" * 64, "x.io/", "a b")),
    *(("metadata.annotations", {key: "v"}) for key in ("A/b", "a/b/c", "a_b", "", "é")),
    ("metadata.annotations", {"a": 1}), ("metadata.annotations", {"a": "x" * 262_143}), ("metadata.annotations", {"a": "x" * 262_144}),
    *(("metadata.name", name) for name in ("A", "a.b", "a_b", "a" * 63, "a" * 64, "a" * 254, "", 1, None, "-a", "a-")),
    ("metadata.namspace", "x"), ("metadata.uid", 1), ("metadata.generation", "x"), ("metadata.creationTimestamp", None),
    ("metadata.creationTimestamp", "yesterday"), ("metadata.creationTimestamp", "2020-01-01T00:00:00Z"), ("metadata.finalizers", ["a b"]),
    ("metadata.finalizers", ["x.io/a"]), ("metadata.ownerReferences", [{"name": "x"}]), ("metadata.labels", []), ("metadata", []),
    *(("metadata.creationTimestamp", f"2020-{rest}") for rest in ("02-30T00:00:00Z", "01-01t00:00:00z", "01-01T24:00:00Z", "01-01T0:00:00,5+24:00")),
    *(("metadata.generateName", name) for name in ("a-", "-", "A", "a.-", "a" * 254, 1)), ("metadata", {"generateName": "a-"}),
    ("metadata.managedFields", [1]), ("metadata.managedFields", [{"bogus": 1}]), ("metadata.managedFields", [{"time": "x"}]),
    *(("metadata.ownerReferences", [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u", **more}])
      for more in ({}, {"name": ""}, {"apiVersion": "a/b/c"}, {"apiVersion": "a/"}, {"kind": "Event"}, {"controller": 1})),
    ("metadata.ownerReferences", [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": uid, "controller": True} for uid in "uv"]),
    ("Spec", {}), ("data", {}), ("spec", None), ("spec", []), ("spec.keys", None), ("spec.keys", {}), ("spec.groups", [None]),
    ("spec.groups", [{"name": "a", "max_users": 1}]), ("spec.groups", [{"name": "a", "maxUsers": 1.5}]),
    *(("spec.groups", [{"name": "a", "maxUsers": number}]) for number in (0, -1, 1, 2**31 - 1, 2**31, 2**63, "1", True, None, 1.0)),
    *(("spec.keys", [{"name": name, "type": "String"}]) for name in ("a", "a.b", "a.", "1a", "a-b", "a" * 128, "a" * 129, "a\n", "é", 1)),
    *(("spec.keys", [{"name": "a", "type": kind}]) for kind in ("string", "Integer", None, 1, "")),
    *(("spec.keys", [{"name": "a", "type": "Number", field: value}]) for field in ("minimum", "default", "enum", "maxLength", "pattern", "sensitive", "set_by", "Default")
      for value in (1, "x", None, -1)),
    ("spec.outputs", [{"name": "o", "format": "yaml"}]), ("spec.outputs", [{"name": "o", "format": "JSON", "include": ["a", "a"]}]),
    ("spec.migrations", [{"from": 1, "steps": [{}]}]), ("spec.groups", [{"name": "a", "labels": {"a": None}, "values": {"a": None}}]),
    ("spec.strategy", {"waves": [{"name": "w", "groups": ["a", "a"]}]}),
    ("spec.strategy", {"waves": [{"name": "w", "groups": ["a"], "groupSelector": {}}]}), ("spec.strategy", {"waves": []}), ("spec.strategy", {}),
    ("spec.strategy", {"gates": [{"name": "g"}]}),
]  # fmt: skip
TEMPLATE = {
    "apiVersion": "trimtab.dev/v1alpha1", "kind": "ConfigTemplate", "metadata": {"name": "app"},
    "spec": {"keys": [{"name": "a", "type": "String"}], "groups": [{"name": "free"}], "outputs": [{"name": "o", "format": "JSON", "fileName": "a.json"}]},
}  # fmt: skip


def _changed(path: str, value: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(TEMPLATE))
    *above, last = path.split(".")
    node = body
    for part in above:
        node = node[part]
    node[last] = value
    return body


def _verdict(text: str, folder: Path) -> bool:
    """Whether the CLI would send this to an API server."""
    file = folder / "x.json"
    file.write_text(text, encoding="utf-8")
    try:
        found = load([str(file)], "default")
    except Failure:
        return False
    return not found.flaws and bool(found.objects) and not any(parse(each)[1] for each in found.objects)


def test_manifests_are_accepted_and_refused_as_by_the_api_server(
    namespace: Namespace, tmp_path: Path
) -> None:
    differ = []
    for path, value in CHANGES:
        text = json.dumps(_changed(path, value))
        theirs, ours = _taken(namespace, text) is not None, _verdict(text, tmp_path)
        if ours is not theirs:
            differ.append((path, value if len(str(value)) < 200 else "long", f"ours {ours}, theirs {theirs}"))
    assert differ == []


def test_every_text_that_the_cli_prints_means_itself_to_kubectl(namespace: Namespace) -> None:
    texts = [scalar.replace("&nbsp;", " ") for scalar in SCALARS]
    texts += [
        "",
        " a",
        "a ",
        "a: b",
        "a #b",
        "- a",
        "a\nb\n",
        "\n",
        "a\n\n",
        " a\nb",
        "a\tb",
        "\x7f\x85\u2028\ufeff\ufffe",
        "\u202ea\nb",
        "\U0010ffff",
        "é",
        "#",
        "<<",
        "---",
        "...",
        "{{x}}",
    ]
    data = {f"k{n}": text for n, text in enumerate(texts)} | {
        text[:200]: "v" for text in texts if text.isalnum() and text.isascii()
    }
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": data}

    kept = _taken(namespace, as_yaml(body))

    assert kept is not None
    assert kept[0]["data"] == data
