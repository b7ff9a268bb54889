# ruff: noqa: E501 - tables of what is written and what is said
"""What is wrong is found offline as the API server would find it, and told with its line."""

from __future__ import annotations

import errno
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cli_manifests import TEMPLATE, Call, Write, preference
from trimtab import crd
from trimtab.api import KINDS
from trimtab.cli.files.structural import RULES, is_time
from trimtab.core.model_errors import PATTERNS


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minimum: 1}", "min_length: 1}", "spec.keys[2].min_length: is not a field -> remove it or correct its name; did you mean minLength?"),
        ("setBy: Group", "SetBy: Group", "spec.keys[1].SetBy: is not a field -> remove it or correct its name; did you mean setBy?"),
        ("namespace: team}", "namspace: team}", "metadata.namspace: is not a field -> remove it or correct its name; did you mean namespace?"),
        ("namespace: team}", 'labels: {a: "b c"}}', "metadata.labels.a: must be letters"),
        ("namespace: team}", "labels: {-a: b}}", "metadata.labels.-a: the key must be letters"),
        ("namespace: team}", "annotations: {a: 1}}", "metadata.annotations.a: must be text, got 1 -> quote it"),
        ("namespace: team}", "creationTimestamp: yesterday}", "metadata.creationTimestamp: must be a time, for example 2026-01-31T12:00:00Z, got \"yesterday\" -> correct it"),
        ("namespace: team}", "creationTimestamp: '2026-02-30T00:00:00Z'}", "metadata.creationTimestamp: must be a time"),
        ("namespace: team}", "finalizers: [a b]}", 'optionally after a DNS name and /, got "a b"'),
        ("namespace: team}", "generateName: A_b-}", 'metadata.generateName: must be lower-case letters, digits, - and . (at most 253), a letter or digit first and last, got "A_b-"'),
        ("namespace: team}", "managedFields: [1]}", "metadata.managedFields[0]: must be an object, got 1"),
        ("namespace: team}", "managedFields: [{Manager: x}]}", "metadata.managedFields[0].Manager: is not a field -> remove it or correct its name; did you mean manager?"),
        ("namespace: team}", "ownerReferences: [{apiVersion: v1, kind: Pod, name: '', uid: u}]}", "metadata.ownerReferences[0].name: must have at least 1 character"),
        ("namespace: team}", "ownerReferences: [{apiVersion: a/b/c, kind: Pod, name: p, uid: u}]}", "metadata.ownerReferences[0].apiVersion: must be a version, or a group and a version (apps/v1), got \"a/b/c\""),
        ("spec:\n", "Spec: {}\nspec:\n", "Spec: is not a field"),
        ("{name: pro}", "{name: no}", "spec.groups[1].name: must be text, got false -> quote it"),
        ("{name: pro}", "pro", "spec.groups[1]: must be an object with name, got \"pro\" -> write an object"),
        ("{name: pro}", "{name: pro, values: hunter3}", "spec.groups[1].values: must be an object, got text -> write"),
        ("{name: pro}", "{name: Pro}", "spec.groups[1].name: must be lower-case letters, digits and -, got \"Pro\" -> correct it"),
        ("{name: pro}", "{name: 12}", "spec.groups[1].name: must be text, got 12 -> quote it: YAML reads unquoted digits as a number"),
        ("{name: pro}", "{name: y}", "spec.groups[1].name: must be text, got true -> quote it: YAML reads y, yes, on and true as true unless quoted"),
        ("name: session.minutes", "name: 9lives", "spec.keys[2].name: must be segments of letters, digits and _ joined by dots, got \"9lives\" -> correct it"),
        ("fileName: app.yaml", "fileName: ../app", "spec.outputs[0].fileName: must be letters, digits, -, _ and ., got \"../app\" -> correct it"),
        ("include: [api.*]", "include: [.api]", "spec.outputs[1].include[0]: must be *, a key's name, or a section such as agent.*, got \".api\" -> correct it"),
        ("spec:\n", "spec:\n  strategy: {waves: [{name: a, soak: 30}]}\n", "spec.strategy.waves[0].soak: must be a duration, for example 90s, 5m or 1h30m, got 30 -> correct it; did you mean 30s?"),
        ("spec:\n", "spec:\n  strategy: {waves: [{name: a, soak: 1 day}]}\n", "soak: must be a duration, for example 90s, 5m or 1h30m, got \"1 day\" -> correct it; did you mean 24h?"),
        ("spec:\n", "spec:\n  strategy: {gates: [{name: a, http: {url: example.org}}]}\n", "http.url: must be a URL that begins with http:// or https://, got \"example.org\" -> correct it"),
        ("sensitive: true", "sensitive: 'true'", "spec.keys[4].sensitive: must be true or false, got \"true\" -> write true or false, without quotes"),
        ("{name: pro}", "{name: pro, maxUsers: 1.5}", "spec.groups[1].maxUsers: must be a whole number, got 1.5"),
        ("{name: pro}", "{name: pro, maxUsers: -3000000000}", "spec.groups[1].maxUsers: must fit 32 bits, got -3000000000 -> raise it"),
        ("default: 30, minimum: 1}", "default: 30, minimum: true}", "spec.keys[2].minimum: must be a number or text -> write one of these"),
        ("format: YAML", "format: Yaml", "did you mean YAML?"),
    ],
)  # fmt: skip
def test_fields_and_metadata_are_checked_by_their_names_in_manifests(
    trimtab: Call, write: Write, old: str, new: str, said: str
) -> None:
    assert old in TEMPLATE

    answer = trimtab("validate", write(TEMPLATE.replace(old, new, 1)))

    assert answer.code == 1
    assert said in answer.out


def test_every_pattern_of_the_crds_has_a_message() -> None:
    def patterns(node: Any) -> list[str]:
        if isinstance(node, list):
            return [pattern for each in node for pattern in patterns(each)]
        if not isinstance(node, dict):
            return []
        own = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
        return own + [pattern for each in node.values() for pattern in patterns(each)]

    written = {p for model in KINDS for p in patterns(crd.structural(model)["properties"]["spec"])}

    assert written <= set(PATTERNS)
    for pattern in written:
        assert "^" not in PATTERNS[pattern]


def test_a_null_is_a_field_that_is_not_there(trimtab: Call, write: Write) -> None:
    path = write(
        TEMPLATE.replace("namespace: team}", "namespace: team, labels: null, creationTimestamp: null}")
    )
    assert trimtab("validate", path).code == 0


def test_nulls_are_dropped_where_the_api_server_drops_them(trimtab: Call, write: Write) -> None:
    group = "{name: pro, labels: {a: null}, values: {session.minutes: null}, preferenceNamespaceSelector: {matchLabels: {b: ~}}}"
    assert trimtab("validate", write(TEMPLATE.replace("{name: pro}", group))).code == 0


def test_a_policy_names_each_group_once(trimtab: Call, write: Write) -> None:
    policy = "apiVersion: trimtab.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: p, namespace: team}\n"
    answer = trimtab(
        "validate",
        write(TEMPLATE, policy + "spec: {templateRef: {name: app}, groups: [free, free], policy: {}}\n"),
    )
    assert answer.code == 1
    assert "spec.groups[1]: another entry exists -> remove one" in answer.out


def test_an_object_may_leave_its_name_to_the_cluster(trimtab: Call, write: Write) -> None:
    unnamed = preference("ann", more=", user: ann").replace("{name: ann", "{generateName: prefs-")
    other = preference("bob", more=", user: bob").replace("{name: bob", "{generateName: prefs-")

    answer = trimtab("validate", write(TEMPLATE, unnamed, other))

    assert answer.code == 0
    assert "UserPreference prefs-00001: a cluster completes generateName with other characters" in answer.err


@given(st.datetimes(), st.sampled_from(["Z", "+01:00", "-24:00"]))
def test_every_time_as_written_by_programs_is_accepted(when: datetime, zone: str) -> None:
    assert is_time(when.isoformat() + zone)
    assert not is_time(when.isoformat(" ") + zone)
    assert not is_time(when.isoformat() + zone.lower()) or zone != "Z"


def test_every_rule_of_the_crds_on_one_object_is_checked_offline() -> None:
    def rules(node: Any) -> list[str]:
        if isinstance(node, list):
            return [rule for each in node for rule in rules(each)]
        if not isinstance(node, dict):
            return []
        own = [" ".join(each["rule"].split()) for each in node.get("x-kubernetes-validations", ())]
        return own + [rule for each in node.values() for rule in rules(each)]

    written = {rule for model in KINDS for rule in rules(crd.structural(model)) if "oldSelf" not in rule}

    assert written == set(RULES)


def test_each_violation_has_the_line_and_column_of_its_key(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE.replace("{name: pro}", "{name: pro, values: {session.minutes: 0}}"))

    answer = trimtab("validate", path)

    assert f"{path}:16:26: error: group/pro: session.minutes: must be at least 1" in answer.out


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("apiVersion: v1\nkind: list", "is in a list of v1, which kubectl rejects -> set apiVersion: v1 and kind: List"),
        ("kind: List", "is in a List without apiVersion"),
        ("apiVersion: v1\nkind: ConfigMapList", "is in a ConfigMapList of v1"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: FooList", "is in a FooList of trimtab.dev/v1alpha1"),
        ("apiVersion: v1\nkind: List", ""),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: UserPreferenceList", ""),
    ],
)  # fmt: skip
def test_objects_are_read_from_the_lists_that_kubectl_reads(
    trimtab: Call, write: Write, header: str, said: str
) -> None:
    item = preference("ann").replace("\n", "\n  ").rstrip()
    answer = trimtab("validate", write(TEMPLATE, f"{header}\nitems:\n- {item}\n"))
    assert answer.code == (1 if said else 0)
    assert said in answer.out


def test_a_list_within_a_list_is_not_overlooked(trimtab: Call, write: Write) -> None:
    inner = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [{"apiVersion": "trimtab.dev/v1alpha1", "kind": "X"}],
    }
    outer = {"apiVersion": "v1", "kind": "List", "items": [inner]}
    answer = trimtab("validate", write(TEMPLATE), write(json.dumps(outer), name="outer.json"))

    assert answer.code == 1
    assert "is a List within a List, which kubectl rejects -> move its items to the outer List" in answer.out


def test_violations_of_a_list_have_their_items_line(trimtab: Call) -> None:
    items = [json.loads(json.dumps({"apiVersion": "v1", "kind": "Secret"}))]
    items += [
        {
            "apiVersion": "trimtab.dev/v1alpha1",
            "kind": "ConfigTemplate",
            "metadata": {"name": "A"},
            "spec": {},
        }
    ]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1)

    answer = trimtab("validate", "-", stdin=text)

    line = next(n for n, each in enumerate(text.splitlines(), 1) if '"A"' in each)
    assert f"<stdin>:{line}:5: error: metadata.name: must be lower-case" in answer.out


class TestFolders:
    def test_a_folder_may_hold_files_of_other_programs(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        write("kind: {{ .Values.kind }}\n{{- if .x }}\n", name="d/helm.yaml")
        write("replicas: 1\n", name="d/values.yaml")
        write("- a\n- b\n", name="d/list.yaml")
        write("a: [", name="d/broken.yaml")
        write(TEMPLATE, name="d/.git/template.yaml")
        (tmp_path / "d" / "loop").symlink_to(tmp_path / "d")

        answer = trimtab("validate", tmp_path / "d")

        assert (answer.code, answer.out.splitlines()[-1]) == (0, "1 object valid")
        for name in ("helm.yaml:", "values.yaml:1", "list.yaml:1", "broken.yaml:"):
            assert f"note: {tmp_path / 'd' / name}" in answer.err

    def test_a_link_that_leads_nowhere_is_a_file_that_cannot_be_read(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        (tmp_path / "d" / "gone.yaml").symlink_to(tmp_path / "nowhere")
        (tmp_path / "d" / "round.yaml").symlink_to(tmp_path / "d" / "round.yaml")
        (tmp_path / "d" / ".#draft.yaml").symlink_to("ann@host.1")
        os.mkfifo(tmp_path / "d" / "pipe.yaml")

        answer = trimtab("validate", tmp_path / "d")

        assert (answer.code, answer.out) == (2, "")
        assert f"{tmp_path}/d/gone.yaml: No such file or directory" in answer.err
        assert f"{tmp_path}/d/round.yaml: Too many levels of symbolic links" in answer.err

    def test_a_folder_that_cannot_be_read_is_not_passed_over(
        self, trimtab: Call, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        write(TEMPLATE, name="d/closed/more.yaml")
        scandir = os.scandir

        def refuse(path: str) -> Any:
            if path.endswith("closed"):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)

        answer = trimtab("validate", tmp_path / "d")

        assert (answer.code, answer.err) == (2, f"error: {tmp_path}/d/closed: Permission denied\n")

    def test_names_of_files_are_shown_on_one_line(self, trimtab: Call, write: Write, tmp_path: Path) -> None:
        write(TEMPLATE.replace("{name: pro}", "pro"), name="d/a\nb.yaml")
        answer = trimtab("validate", tmp_path / "d")
        assert f"{tmp_path}/d/a\\nb.yaml:16:5: error: spec.groups[1]" in answer.out

    @pytest.mark.parametrize("verb", ["validate", "render"])
    def test_what_holds_nothing_of_trimtab_is_refused(self, trimtab: Call, write: Write, verb: str) -> None:
        answer = trimtab(verb, write("apiVersion: v1\nkind: List\nitems: []\n"))
        assert (answer.code, answer.out) == (2, "")
        assert answer.err == "error: no object of trimtab.dev in these files; name other files\n"

    def test_a_broken_file_of_this_group_is_no_others(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        write("apiVersion: trimtab.dev/v1alpha1\na: [", name="d/broken.yaml")
        assert trimtab("validate", tmp_path / "d").code == 2

    @pytest.mark.parametrize(
        "text",
        [
            "# rendered from {{ .Values.keys }}\nspec:\n  keys: [\n",
            "# {{ an open action\nspec: {a: {b: c}}\nd: [\n",
            "spec:\n  greeting: 'Hello {{ name }}'\n  mood: 'open\n",
            "spec:\n  note: |\n    {{ if .x }}\n  keys:\n  - a\n b: c\n",
            "spec:\n  keys: [a, b\n  groups: {{ .Values.groups }}\n",
            "spec:\n\tkeys: {{ .Values.keys }}\n",
            "spec: {}\n---\n# {{ x }}\na: [\n",
        ],
    )
    def test_a_broken_file_is_no_helm_template_for_the_braces_in_it(
        self, trimtab: Call, write: Write, tmp_path: Path, text: str
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        write(f"apiVersion: trimtab.dev/v1alpha1\nkind: ConfigTemplate\n{text}", name="d/broken.yaml")

        answer = trimtab("validate", tmp_path / "d")

        assert (answer.code, "broken.yaml: line" in answer.err) == (2, True)

    def test_a_file_of_this_group_that_is_not_utf_8_is_no_others(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        for encoding in ("latin-1", "utf-16"):
            (tmp_path / "d" / "broken.yaml").write_bytes(f"{TEMPLATE}# f\u00fcr\n".encode(encoding))
            assert trimtab("validate", tmp_path / "d").code == 2

    @pytest.mark.parametrize(
        "text",
        [
            "{{- if .Values.on }}\nspec: {}\n{{- end }}\n",
            "spec: {{ .Values.spec }}\n",
            'spec: {schemaVersion: {{ .Values.version | default "1" }}}\n',
            'spec:\n  mood: "{{ include "mood" . }}"\n',
            "spec:\n  {{- toYaml .Values.spec | nindent 2 }}\n  coercion: Strict\n",
            "spec:\n  labels: {{ toYaml .Values.labels | nindent 4 }}\n    a: b\n",
            "{{/* a comment\n  over two lines */}}\nspec:\n{{ range .Values.keys }}\n  {{ . }}: 1\n{{ end }}\n",
            'spec:\n  {{ include "x" (dict\n    "a" 1) }}: {{ .Values.x }}\n',
            "spec: {}\n---\nmetadata: {{ .Values.meta }}\n",
        ],
    )
    def test_a_helm_template_is_skipped_whole_and_strict_counts_it(
        self, trimtab: Call, write: Write, tmp_path: Path, text: str
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        path = write(f"apiVersion: trimtab.dev/v1alpha1\nkind: ConfigTemplate\n{text}", name="d/helm.yaml")

        answer, strict = trimtab("validate", tmp_path / "d"), trimtab("validate", "--strict", tmp_path / "d")

        assert (answer.code, strict.code, answer.out.splitlines()[-1]) == (0, 1, "1 object valid")
        assert "looks like a Helm template; render it first (helm template)" in answer.err
        assert "1 warning and 1 skipped file, which --strict forbids" in strict.err
        named = trimtab("validate", path)
        assert (named.code, "looks like a Helm template" in named.err) == (2, True)

    def test_strict_counts_no_files_of_other_programs(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        write(TEMPLATE, name="d/template.yaml")
        write("kind: {{ .Values.kind }}\n", name="d/helm.yaml")
        plain = trimtab("validate", tmp_path / "d" / "template.yaml", "--strict")
        assert trimtab("validate", "--strict", tmp_path / "d").code == plain.code

    def test_a_file_that_is_named_is_meant(self, trimtab: Call, write: Write) -> None:
        assert trimtab("validate", write("replicas: 1\n")).code == 1
        assert trimtab("validate", write("{{- if .x }}\n")).code == 2


@pytest.mark.parametrize(
    "version",
    [
        "trimtab.io/v1alpha1",
        "trimtab.dev/v1",
        "Trimtab.dev/v1alpha1",
        "trim-tab.dev/v1alpha1",
        "config.trimtab.dev/v1alpha1",
        "trimtab/v1alpha1",
        "v1alpha1",
        "trimtab.dev",
        "trimtab.dev/v1alpha1/x",
    ],
)
@pytest.mark.parametrize("kind", ["ConfigTemplate", "UserPreference", "PolicyRollout", "RolloutAction"])
def test_a_kind_of_another_version_or_of_a_mistyped_group_is_refused(
    trimtab: Call, write: Write, tmp_path: Path, kind: str, version: str
) -> None:
    write(TEMPLATE, name="d/template.yaml")
    path = write(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n", name="d/x.yaml")

    answer = trimtab("validate", tmp_path / "d")

    assert answer.code == 1
    said = f"{path}:1:1: error: apiVersion: {version} is not served -> set trimtab.dev/v1alpha1"
    assert said in answer.out


def test_a_kind_of_another_program_is_ignored(trimtab: Call, write: Write) -> None:
    other = "apiVersion: example.com/v1\nkind: ConfigTemplate\nmetadata: {name: x}\n"
    answer = trimtab("validate", write(TEMPLATE, other))
    assert (answer.code, "ignored ConfigTemplate of example.com/v1" in answer.err) == (0, True)


@pytest.mark.parametrize("part", ["groups", "outputs"])
def test_a_template_that_renders_nothing_is_warned_of(trimtab: Call, write: Write, part: str) -> None:
    before, _, after = TEMPLATE.partition(f"  {part}:\n")
    rest = "  outputs:\n" + after.partition("  outputs:\n")[2] if part == "groups" else ""

    answer = trimtab("validate", write(before + rest))

    assert answer.code == 0
    assert f"warning: {part}: the template has no {part}, so it renders nothing" in answer.out


class TestArguments:
    def test_no_path_at_all_is_not_this_folder(self, trimtab: Call) -> None:
        answer = trimtab("validate", "-f", "")
        assert answer.code == 2
        assert "no such path" in answer.err

    @pytest.mark.parametrize("verb", ["validate", "render"])
    def test_a_namespace_has_a_namespaces_name(self, trimtab: Call, write: Write, verb: str) -> None:
        assert trimtab(verb, "-n", "Bad_NS", write(TEMPLATE)).code == 2

    def test_a_user_and_a_group_are_not_both(self, trimtab: Call, write: Write) -> None:
        answer = trimtab("explain", "app", "ann", "--group", "free", "-f", write(TEMPLATE), "-n", "team")
        assert answer.code == 2
        assert "a USER cannot be combined with --group" in answer.err

    def test_strict_takes_no_warnings(self, trimtab: Call, write: Write) -> None:
        path = write(TEMPLATE, preference("ann"))
        for verb in ("validate", "render"):
            strict = trimtab(verb, "--strict", path)
            assert (trimtab(verb, path).code, strict.code) == (0, 1)
            assert "--strict forbids" in strict.err

    def test_the_version_is_printed(self, trimtab: Call) -> None:
        answer = trimtab("--version")
        assert (answer.code, answer.out.split()[0]) == (0, "trimtab")


def test_two_files_without_a_separator_between_them_are_distinguished(trimtab: Call) -> None:
    answer = trimtab("validate", "-", stdin=TEMPLATE + TEMPLATE.replace("name: app,", "name: other,"))
    assert answer.out.count("error:") == 1
    assert "<stdin>:21:1: error: a second object begins here" in answer.out


def test_a_hundred_thousand_mistakes_are_reported_in_time(trimtab: Call, write: Write) -> None:
    path = write(
        TEMPLATE.replace("{name: pro}", "{name: pro, " + ", ".join(f"n{i}: 1" for i in range(30_000)) + "}")
    )
    answer = trimtab("validate", path, "-o", "json")
    guessed = [v for v in answer.json["objects"][0]["violations"] if "nearest" in v]
    assert len(answer.json["objects"][0]["violations"]) == 30_000
    assert len(guessed) <= 20
