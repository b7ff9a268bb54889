# ruff: noqa: E501 - tables of what is written and what is said
"""Line and column lead to the exact violation, however deep it is nested."""

from __future__ import annotations

import pytest

from support.cli_manifests import TEMPLATE, Call, Write, preference

MAPS = TEMPLATE.replace(
    "  profiles:",
    "  - {name: taste, type: NumberMap, items: {maximum: 1}}\n"
    "  - {name: words, type: StringMap, default: {a: b}}\n"
    "  profiles:",
)
POLICY = """\
apiVersion: trimtab.dev/v1alpha1
kind: PolicyRollout
metadata: {name: calmer, namespace: team}
spec:
  templateRef: {name: app}
  policy:
    values:
      session.minutes: 30
      agent.temperature: 1
    enforced:
    - key: session.minutes
      value: 20
    constraints:
    - key: agent.temperature
      maximum: 1
      reason: calm
"""


def _place(text: str, what: str) -> str:
    """``line:column`` of the text's only such part."""
    before, _, after = text.partition(what)
    assert what in text
    assert what not in after
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


@pytest.mark.parametrize(
    ("old", "new", "wrong", "said"),
    [
        ("maximum: 1\n", "maximum: -1\n", "maximum: -1", "constraint: maximum is below"),
        ("maximum: 1\n", "maximum: high\n", "maximum: high", "constraint: maximum is"),
        ("maximum: 1\n", "maxItems: 1\n", "maxItems: 1", "maxItems does not apply"),
        ("maximum: 1\n", "minimum: 0\n      enum: [9]\n", "enum: [9]", "member 9"),
        ("key: agent.temperature", "key: agent.temper", "key: agent.temper\n", "constraint: is not a key"),
        ("value: 20", "value: twenty", "value: twenty", "enforced/calmer: session.minutes: must be of type"),
        ("agent.temperature: 1", "agent.temperature: 7", "agent.temperature: 7", "must be at most 2"),
        ("key: session.minutes\n      value: 20", "key: agent.temperature\n      value: 2", "value: 2", "breaks its own constraint"),
    ],
)  # fmt: skip
def test_a_violation_in_a_policy_has_its_own_path(
    trimtab: Call, write: Write, old: str, new: str, wrong: str, said: str
) -> None:
    assert old in POLICY
    policy = POLICY.replace(old, new, 1)
    path = write(policy, name="policy.yaml")

    answer = trimtab("validate", path, write(TEMPLATE))

    line = next(line for line in answer.out.splitlines() if said in line)
    assert f"{path}:{_place(policy, wrong)}: error" in line


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ("{taste: {pop: 0.5, jazz: 2}}", "jazz"),
        ("{taste: {pop: 0.5, 'hip.hop [x]': many}}", "'hip.hop [x]'"),
        ("{words: {a: [b]}}", "a: [b]"),
        ("{plugins: [a, [b]]}", "[b]]"),
    ],
)
def test_a_wrong_entry_of_a_map_or_list_has_its_own_place(
    trimtab: Call, write: Write, values: str, wrong: str
) -> None:
    text = preference("ann", values)
    path = write(text, name="ann.yaml")

    answer = trimtab("validate", path, write(MAPS))

    assert f"{path}:{_place(text, wrong)}: error" in answer.out


def test_a_wrong_entry_in_a_template_has_its_own_place(trimtab: Call, write: Write) -> None:
    text = MAPS.replace("default: {a: b}", "default: {a: {b: c}}")
    text = text.replace("{name: pro}", "{name: pro, values: {taste: {pop: 3}}}")
    path = write(text)

    answer = trimtab("validate", path)

    assert f"{path}:{_place(text, 'a: {b: c}')}: error: default: words: entry a" in answer.out
    assert f"{path}:{_place(text, 'pop: 3')}: error: group/pro: taste: entry pop" in answer.out


def test_a_wrong_limit_of_a_key_has_its_own_place(trimtab: Call, write: Write) -> None:
    text = TEMPLATE.replace("minimum: 1}", "minimum: 1, pattern: a}")
    path = write(text)
    assert f"{path}:{_place(text, 'pattern: a}')}: error" in trimtab("validate", path).out
