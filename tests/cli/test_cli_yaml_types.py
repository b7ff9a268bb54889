"""Text that YAML reads as another type is refused in a file, where a key requires text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cli_manifests import Call, Write
from trimtab.cli.files.documents import read
from trimtab.cli.files.scalars import is_exact

KEYS = """
  - {name: text, type: String}
  - {name: list, type: StringList}
  - {name: map, type: StringMap}
  - {name: number, type: Number}
  - {name: whole, type: Integer}
  - {name: pin, type: String, sensitive: true, setBy: Group}
"""
HEAD = "apiVersion: trimtab.dev/v1alpha1\nkind: "
OUTPUTS = "\n  outputs: [{name: o, format: JSON, fileName: a.json, include: [text]}]\n"


def template(values: str = "{}", profile: str = "{}", more: str = "") -> str:
    head = f"{HEAD}ConfigTemplate\nmetadata: {{name: app, namespace: team}}\nspec:\n  keys:{KEYS}{more}"
    groups = f"  groups: [{{name: free, profile: hot, values: {values}}}]"
    return f"{head}  profiles: [{{name: hot, values: {profile}}}]\n{groups}{OUTPUTS}"


def of(kind: str, spec: str) -> str:
    return f"{HEAD}{kind}\nmetadata: {{name: ann, namespace: team}}\nspec: {{templateRef: {{name: app}}, {spec}}}\n"


@pytest.mark.parametrize(
    ("written", "taken"),
    [("07030", "3608"), ("2.0", "2"), ("no", "false"), ("On", "true"), ("12345e2", "1234500"), ("1_000", "1000"),
     ("0x1F", "31"), ("+5", "5"), ("0o17", "15"), ("Y", "true"), ("-0", "0")],
)  # fmt: skip
def test_text_that_yaml_changes_is_refused_with_its_place(
    trimtab: Call, write: Write, written: str, taken: str
) -> None:
    path = write(template(f"{{text: {written}, list: [a, {written}], map: {{b: {written}}}}}"))
    answer = trimtab("validate", "-o", "json", "-f", path)
    found = json.loads(answer.out)["objects"][0]
    assert answer.code == 1
    assert [(v["key"], v["layer"]) for v in found["violations"]] == [
        (k, "group/free") for k in ("text", "list", "map")
    ]

    for violation in found["violations"]:
        assert violation["message"] == f"YAML reads {written} as {taken}; quote it"
        column = violation["column"] - 1
        assert path_line(path, violation["line"])[column:].startswith(
            (f"text: {written}", written, f"b: {written}")
        )
    assert not found["warnings"]


def test_a_misread_value_is_reported_once_in_the_order_of_lines(trimtab: Call, write: Write) -> None:
    more = "  - {name: code, type: String, pattern: '^0'}\n"
    values = "{whole: x,\n    list: [no, 2.0],\n    code: 07030,\n    number: y}"
    path = write(template(values, more=more))

    answer = trimtab("validate", path)

    told = [line.split(": error: ") for line in answer.out.splitlines() if ": error: " in line]
    lines = [int(place.split(":")[1]) for place, _ in told]
    assert lines == sorted(lines)
    assert [said.partition(" -> ")[0] for _, said in told] == [
        'group/free: whole: must be of type Integer, got "x"',
        "group/free: list: YAML reads no as false",
        "group/free: list: YAML reads 2.0 as 2",
        "group/free: code: YAML reads 07030 as 3608",
        "group/free: number: must be of type Number, got true",
    ]


@pytest.mark.parametrize("written", ["~", "Null", "NULL"])
def test_text_that_yaml_reads_as_nothing_is_refused(trimtab: Call, write: Write, written: str) -> None:
    preference = of("UserPreference", f"group: free, values: {{text: {written}, number: {written}}}")

    answer = trimtab(
        "validate", write(template(more="  - {name: more, type: String, default: ~}\n"), preference)
    )

    assert answer.code == 1
    assert answer.out.count("error:") == 1
    assert f"text: YAML reads {written} as null -> quote it, or remove the key" in answer.out


def path_line(path: str, line: int) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()[line - 1]


@pytest.mark.parametrize(
    "written", ["1234", "-7", "true", '"07030"', "'no'", "2024-01-01", "1.2.3", "_1", "off-peak"]
)
def test_text_that_yaml_does_not_convert_is_accepted(trimtab: Call, write: Write, written: str) -> None:
    assert trimtab("validate", "-f", write(template(f"{{text: {written}}}"))).code == 0


@pytest.mark.parametrize(
    "layer", ["default", "profile/hot", "user", "policy/ann", "enforced/ann", "constraint"]
)
def test_every_layer_is_checked(trimtab: Call, write: Write, layer: str) -> None:
    documents = {
        "default": [template(more="  - {name: more, type: String, default: 07}\n")],
        "profile/hot": [template(profile="{text: 07}")],
        "user": [template(), of("UserPreference", "group: free, values: {text: 07}")],
        "policy/ann": [template(), of("PolicyRollout", "policy: {values: {text: 07}}")],
        "enforced/ann": [template(), of("PolicyRollout", "policy: {enforced: [{key: text, value: 07}]}")],
        "constraint": [
            template(),
            of("PolicyRollout", "policy: {constraints: [{key: text, enum: [a, 07]}]}"),
        ],
    }[layer]
    answer = trimtab("validate", "-f", write(*documents))

    assert answer.code == 1
    assert "YAML reads 07 as 7 -> quote it" in answer.out


@pytest.mark.parametrize(
    ("key", "written", "refused"),
    [("number", "0.1000000000000000055511151231257827", True), ("number", "9007199254740993.0", True),
     ("number", "1.50", False), ("number", "1e3", False), ("whole", "9007199254740993", False),
     ("whole", "0x1F", False), ("number", "0.1", False)],
)  # fmt: skip
def test_a_number_keeps_every_digit_or_is_refused(
    trimtab: Call, write: Write, key: str, written: str, refused: bool
) -> None:
    answer = trimtab("validate", "-f", write(template(f"{{{key}: {written}}}")))
    assert (answer.code, f"YAML reads {written} as" in answer.out) == (int(refused), refused)


@pytest.mark.parametrize("field", ["minimum", "maximum"])
def test_limits_are_checked_too(trimtab: Call, write: Write, field: str) -> None:
    digits = "0.1000000000000000055511151231257827"
    key = f"  - {{name: more, type: Number, {field}: {digits}}}\n"
    limit = of("PolicyRollout", f"policy: {{constraints: [{{key: number, {field}: {digits}}}]}}")
    answer = trimtab("validate", "-f", write(template(more=key), limit))
    assert answer.code == 1
    assert answer.out.count(f"YAML reads {digits} as 0.1 -> ") == 2


def test_a_sensitive_value_is_not_shown(trimtab: Call, write: Write) -> None:
    answer = trimtab("validate", "-f", write(template("{pin: 047110}")))
    assert answer.code == 1
    assert "047110" not in answer.out + answer.err
    assert "20040" not in answer.out + answer.err


def test_json_streams_are_checked_too(trimtab: Call, write: Write) -> None:
    preference = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "UserPreference",
                  "metadata": {"name": "ann", "namespace": "team"},
                  "spec": {"templateRef": {"name": "app"}, "group": "free", "values": {"text": 1}}}  # fmt: skip
    text = json.dumps(preference).replace('"text": 1', '"text": 3.0')
    answer = trimtab("validate", "-f", write(template()), "-f", write(text, name="ann.json"))
    assert answer.code == 1
    assert "YAML reads 3.0 as 3 -> quote it" in answer.out


@given(st.text(alphabet="0123456789+-._eExXoObynYNtrufalsoOF~", min_size=1, max_size=8))
def test_exact_text_is_read_as_written(text: str) -> None:
    try:
        (document,) = list(read(f"a: {text}\n"))
    except ValueError:
        return
    value = document.value["a"] if isinstance(document.value, dict) and "a" in document.value else None
    if isinstance(value, bool | int):
        assert is_exact(text, value) == (json.dumps(value) == text)
