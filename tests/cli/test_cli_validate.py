# ruff: noqa: E501 - tables of what is written and what is said
"""`trimtab validate`: each violation is reported once, with its location and remedy; never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli_manifests import TEMPLATE, Call, Write, preference

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {0}, labels: {1}}}\n"


def test_valid_files_are_reported_and_exit_0(trimtab: Call, write: Write) -> None:
    answer = trimtab("validate", "-f", write(TEMPLATE, preference("ann", "{agent.temperature: 1}")))
    assert (answer.code, answer.err) == (0, "")
    _, warning, verdict = answer.out.splitlines()
    assert warning.strip().startswith("warning: api.token: this sensitive value (group/free) is readable")
    assert verdict == "2 objects valid"


def test_every_violation_is_reported_not_only_the_first(trimtab: Call, write: Write) -> None:
    values = "{agent.temprature: 1, session.minutes: 0, agent.provider: local, api.token: s3cret, plugins: [b, c, d]}"
    path = write(TEMPLATE, preference("ann", values))
    answer = trimtab("validate", "-f", path)

    assert answer.code == 1
    assert f"{path}:22 (document 2): UserPreference team/ann is not valid" in answer.out
    for line in (
        "agent.temprature: is not a key of the template -> remove it or correct its name; did you mean agent.temperature?",
        "session.minutes: must be at least 1, got 0 -> raise it",
        "agent.provider: is set by the group, not by users -> remove it",
        "api.token: is sensitive and may not be written in clear -> remove it from values",
        "plugins: may have at most 3 entries, and has 4 with merge Append: 3 from user, 1 from group/free -> remove entries",
        "5 violations in 1 of 2 objects",
    ):
        assert line in answer.out
    assert "s3cret" not in answer.out + answer.err


def test_more_violations_than_a_status_holds_are_all_told(trimtab: Call, write: Write) -> None:
    values = "{" + ", ".join(f"nothing{i}: 1" for i in range(50)) + "}"
    answer = trimtab("validate", "-f", write(TEMPLATE, preference("ann", values)), "-o", "json")
    assert len(answer.json["objects"][1]["violations"]) == 50


def test_json_carries_key_problem_remedy_and_nearest(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE, preference("ann", "{agent.temprature: 1}"))
    answer = trimtab("validate", "-f", path, "-o", "json")

    assert answer.code == 1
    assert answer.json["valid"] is False
    assert answer.json["objects"][1]["violations"] == [
        {
            "key": "agent.temprature",
            "layer": "user",
            "rule": "unknown",
            "file": str(path),
            "line": 25,
            "column": 73,
            "message": "is not a key of the template; remove it or correct its name",
            "problem": "is not a key of the template",
            "remedy": "remove it or correct its name",
            "nearest": "agent.temperature",
        }
    ]


def test_key_limits_to_one_key(trimtab: Call, write: Write) -> None:
    path = write(TEMPLATE, preference("ann", "{session.minutes: 0, agent.temperature: 9}"))
    wrong = trimtab("validate", "-f", path, "--key", "session.minutes", "-o", "json")
    right = trimtab("validate", "-f", path, "--key", "plugins")
    assert [v["key"] for o in wrong.json["objects"] for v in o["violations"]] == ["session.minutes"]
    assert (wrong.code, right.code) == (1, 0)


def test_a_key_that_no_template_has_is_wrong_usage(trimtab: Call, write: Write) -> None:
    answer = trimtab("validate", "-f", write(TEMPLATE), "--key", "sesion.minutes")
    assert answer.code == 2
    assert "did you mean session.minutes?" in answer.err


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (preference("ann", group="fre"), "spec.group: ConfigTemplate team/app has no group fre -> correct spec.group; did you mean free?"),
        (preference("ann").replace("name: app,", "name: ap,"), "spec.templateRef: there is no ConfigTemplate team/ap in the files -> add its file with -f"),
        (preference("_default", more="").replace("{name: _default,", "{name: d,").replace("spec: {", "spec: {user: _default, "), "is reserved for users without a preference"),
        (preference("ann", namespace="other").replace(", namespace: team}, group", "}, group"), "spec.templateRef: there is no ConfigTemplate other/app in the files -> set spec.templateRef.namespace, as there is team/app"),
        (preference("ann", namespace="other"), "metadata.namespace: group free accepts no preferences from namespace other"),
        (preference("ann", more=", valuez: {a: 1}"), "spec.valuez: is not a field -> remove it or correct its name; did you mean values?"),
        (preference("ann", more=", suspend: 1"), "spec.suspend: must be true or false, got"),
        (preference("ann", "[1]"), "spec.values: must be an object, got"),
        (preference("ann", more=", schemaVersion: 2"), "spec.schemaVersion: written for schemaVersion 2"),
        (preference("ann", more=", flags: {x: 'on'}"), "spec.flags: is not supported in this version of Trimtab -> remove it"),
        (preference("ann", "{agent.temperature: 1, agent.temperature: 2}"), "the key 'agent.temperature' is there twice -> remove one"),
        (preference("ann", "{0x1: 2}"), "the key '0x1' is not text -> quote it"),
        (preference("a.nn"), "metadata.name is not a valid user name ([A-Za-z0-9_-]{1,63}); set spec.user"),
        (preference("Ann"), "metadata.name: must be lower-case letters"),
        (preference("ann").replace("UserPreference", "UserPreferense"), "UserPreferense is not a kind of trimtab.dev -> correct it; did you mean UserPreference?"),
        (preference("ann").replace("v1alpha1", "v2"), "trimtab.dev/v2 is not served -> set trimtab.dev/v1alpha1"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: UserPreference\nmetadata: {}\nspec: {}\n", "metadata.name: is missing -> set a name"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: UserPreference\nmetadata: {name: x}\n", "spec: is required -> set it"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: UserPreference\nmetadata: {name: x}\nspec: 3\n", "spec: "),
        ("kind: ConfigTemplate\n", "apiVersion is missing -> set it"),
        ("- a\n- b\n", "document is not valid"),
        ("hello\n", "is text, not an object"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: p}\nspec: {templateRef: {name: app}}\n", "ConfigTemplate default/app does not exist in the files -> add its file with"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: RolloutAction\nmetadata: {generateName: a-}\nspec: {rolloutRef: {kind: PolicyRollout, name: p}, action: Approve, requester: ann}\n", "Approve requires contentHash"),
        ("apiVersion: trimtab.dev/v1alpha1\nkind: ConfigTemplate\nmetadata: {name: " + "x" * 64 + "}\nspec: {}\n", "the name of a ConfigTemplate must have at most 63 characters"),
        (preference("ann", '{agent.mood: "' + "x" * 1_600_000 + '"}'), "that a cluster stores -> shorten its values"),
        (preference("ann", '{agent.mood: "' + "x" * 950_000 + '"}'), "more than the 524,288 that a preference may have -> shorten them"),
    ],
)  # fmt: skip
def test_a_violation_is_reported_with_its_remedy(
    trimtab: Call, write: Write, document: str, said: str
) -> None:
    answer = trimtab("validate", "-f", write(TEMPLATE, document))
    assert answer.code == 1
    assert said in answer.out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("default: 0.7", "default: 7", "agent.temperature: must be at most 2, got 7"),
        ("profile: calm", "profile: clam", "groups[free]: unknown profile clam -> correct it; did you mean calm?"),
        ("{name: pro}", "{name: users-1}", "is ambiguous"),
        ("{name: pro}", "{name: free}", "two groups have this name"),
        ("kind: Secret, format: JSON, fileName: creds.json, include: [api.*]", "format: JSON, fileName: creds.json, include: [api.token]", "outputs[creds]: the sensitive key api.token may not be in a ConfigMap"),
        ("format: YAML", "format: Text", "spec.outputs[0].format (Text): is not supported in this version"),
        ("format: YAML", "format: yaml", "spec.outputs[0].format: must be one of Env, JSON"),
        ("format: YAML", "formt: YAML", "spec.outputs[0].formt: is not a field -> remove it or correct its name; did you mean format?"),
        ("'^[a-z0-9]+$'", "'(?=x)'", "api.token: pattern does not compile"),
        ("minimum: 1", "minimum: [1]", "spec.keys[2].minimum: must be"),
        ("include: [api.*]", "include: [api.*, api.*]", "spec.outputs[1].include[1]: another entry exists"),
        ("fileName: creds.json", "fileName: creds.json, scope: User", None),
        ("spec:\n", "spec:\n  rules: [{name: r, expression: 'true'}]\n", "spec.rules: is not supported in this version"),
        ("{name: pro}", "{name: pro, values: {plugins: [a, b, c, d]}}", "plugins: may have at most 3 entries"),
    ],
)  # fmt: skip
def test_violations_of_a_template_are_reported(
    trimtab: Call, write: Write, old: str, new: str, said: str | None
) -> None:
    assert old in TEMPLATE
    answer = trimtab("validate", "-f", write(TEMPLATE.replace(old, new, 1)))
    assert answer.code == (0 if said is None else 1)
    assert (said or "valid") in answer.out
    assert "hunter2" not in answer.out + answer.err


def test_preferences_of_a_template_that_is_not_valid_are_not_called_valid(
    trimtab: Call, write: Write
) -> None:
    path = write(TEMPLATE.replace("default: 0.7", "default: 7"), preference("ann"))
    answer = trimtab("validate", "-f", path, "-o", "json")
    assert answer.json["objects"][1]["violations"][0]["rule"] == "TemplateNotValid"
    assert trimtab("validate", "-f", path, "--key", "plugins").code == 1


def test_of_two_claims_to_a_user_the_first_in_the_files_holds(trimtab: Call, write: Write) -> None:
    second = preference("ann2").replace("spec: {", "spec: {user: ann, ")
    answer = trimtab("validate", "-f", write(TEMPLATE, preference("ann"), second))
    assert (
        "spec.user: user ann is held by the older UserPreference team/ann -> delete one of the two"
        in answer.out
    )


def test_a_creation_time_in_the_files_counts_as_older(trimtab: Call, write: Write) -> None:
    old = preference("ann2").replace("spec: {", "spec: {user: ann, ")
    old = old.replace("{name: ann2", '{creationTimestamp: "2020-01-01T00:00:00Z", name: ann2')
    answer = trimtab("validate", "-f", write(TEMPLATE, preference("ann"), old))
    assert "held by the older UserPreference team/ann2" in answer.out


def test_a_full_group_takes_the_oldest(trimtab: Call, write: Write) -> None:
    full = TEMPLATE.replace("{name: pro}", "{name: pro, maxUsers: 1}")
    path = write(full, preference("zoe", group="pro"), preference("ann", group="pro"))
    answer = trimtab("validate", "-f", path, "-o", "json")
    assert [o["valid"] for o in answer.json["objects"]] == [True, True, False]
    assert "maxUsers" in answer.out


class TestNamespaces:
    SELECTIVE = TEMPLATE.replace(
        "{name: pro}", '{name: pro, preferenceNamespaceSelector: {matchLabels: {tenant: "true"}}}'
    )

    def test_assumptions_about_missing_objects_are_reported(self, trimtab: Call, write: Write) -> None:
        path = write(self.SELECTIVE, preference("ann", group="pro", namespace="other"))
        answer = trimtab("validate", "-f", path)
        assert answer.code == 0
        assert "note: namespace other is not in the files" in answer.err

    @pytest.mark.parametrize(("labels", "code"), [('{tenant: "true"}', 0), ("{}", 1)])
    def test_what_they_show_is_checked(self, trimtab: Call, write: Write, labels: str, code: int) -> None:
        there = NAMESPACE.format("other", labels)
        answer = trimtab(
            "validate", "-f", write(self.SELECTIVE, preference("ann", group="pro", namespace="other"), there)
        )
        assert answer.code == code
        assert ("accepts no preferences from namespace other" in answer.out) == bool(code)

    def test_a_selector_by_name_needs_no_manifest(self, trimtab: Call, write: Write) -> None:
        by_name = "{matchLabels: {kubernetes.io/metadata.name: other}}"
        template = TEMPLATE.replace("{name: pro}", f"{{name: pro, preferenceNamespaceSelector: {by_name}}}")
        answer = trimtab("validate", "-f", write(template, preference("ann", group="pro", namespace="other")))
        assert (answer.code, answer.err) == (0, "")

    def test_a_target_that_does_not_opt_in_is_refused(self, trimtab: Call, write: Write) -> None:
        template = TEMPLATE.replace("{name: pro}", "{name: pro, targetNamespace: elsewhere}")
        assumed = trimtab("validate", "-f", write(template))
        shown = trimtab("validate", "-f", write(template, NAMESPACE.format("elsewhere", "{}")))
        assert (assumed.code, shown.code) == (0, 1)
        assert "trimtab.dev/allow-from: team" in assumed.err
        assert "does not allow templates of namespace team" in shown.out


def test_templates_whose_outputs_collide_are_reported(trimtab: Call, write: Write) -> None:
    other = TEMPLATE.replace("name: app, namespace", "name: app-free, namespace").replace(
        "{name: pro}", "{name: x}"
    )
    mine = TEMPLATE.replace("{name: pro}", "{name: free-x}")
    answer = trimtab("validate", "-f", write(mine, other))
    assert answer.code == 1
    assert "metadata.name: template team/app renders team/app-free-x as well -> rename one" in answer.out


class TestFiles:
    def test_folders_are_read_recursively_and_other_files_are_not(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        write(TEMPLATE, name="d/a/template.yml")
        write(preference("ann"), name="d/b/c/ann.yaml")
        write("not: [yaml", name="d/b/notes.txt")
        write('{"apiVersion": "v1", "kind": "Secret"}', name="d/secret.json")
        answer = trimtab("validate", "-f", tmp_path / "d", "-v")
        assert (answer.code, answer.out.splitlines()[-1]) == (0, "2 objects valid")
        assert "Secret of v1" in answer.err

    def test_standard_input_and_several_files_go_together(self, trimtab: Call, write: Write) -> None:
        answer = trimtab(
            "validate", "-f", write(TEMPLATE), "-f", "-", stdin=preference("ann", "{session.minutes: 0}")
        )
        assert answer.code == 1
        assert "<stdin>:1 (document 1): UserPreference team/ann" in answer.out

    def test_lists_are_opened(self, trimtab: Call, write: Write) -> None:
        def indented(text: str) -> str:
            return "".join(("- " if n == 0 else "  ") + line for n, line in enumerate(text.splitlines(True)))

        listed = (
            "apiVersion: v1\nkind: List\nitems:\n"
            + indented(TEMPLATE)
            + indented(preference("ann", "{x: 1}"))
        )
        answer = trimtab("validate", "-f", write(listed))
        assert answer.code == 1
        assert "(document 1, item 2): UserPreference team/ann" in answer.out

    def test_an_object_that_is_there_twice_is_refused(self, trimtab: Call, write: Write) -> None:
        answer = trimtab("validate", "-f", write(TEMPLATE, preference("ann"), preference("ann", "{x: 1}")))
        assert answer.code == 1
        assert "is also at" in answer.out

    def test_objects_without_a_namespace_are_of_the_one_that_is_given(
        self, trimtab: Call, write: Write
    ) -> None:
        path = write(TEMPLATE.replace(", namespace: team}", "}"))
        answer = trimtab("validate", "-f", path, "-n", "mine", "-o", "json")
        assert answer.json["objects"][0]["object"] == "ConfigTemplate mine/app"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"a: b: c\n", "line 1, column 5"),
            (b"ok: 1\n---\na: \xff\n", "line 3: not UTF-8"),
            (b"a: 1\nb: \x00\n", "U+0000"),
            (b"\xff\xfea\x00:\x00", "not UTF-8"),
            (b"", "no object of trimtab.dev"),
            (b"a: &a [*a]\n", "refers to itself"),
        ],
    )
    def test_what_cannot_be_read_exits_2_with_its_line(
        self, trimtab: Call, tmp_path: Path, content: bytes, said: str
    ) -> None:
        path = tmp_path / "x.yaml"
        path.write_bytes(content)
        answer = trimtab("validate", "-f", path)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err

    def test_all_unreadable_files_are_named_together(
        self, trimtab: Call, write: Write, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        answer = trimtab(
            "validate",
            "-f",
            tmp_path / "gone.yaml",
            "-f",
            write("a: [", name="bad.yaml"),
            "-f",
            tmp_path / "empty",
        )

        assert answer.code == 2
        assert "gone.yaml: No such file" in answer.err
        assert "bad.yaml: line" in answer.err
        assert "no *.yaml" in answer.err

    def test_a_file_without_end_is_refused(self, trimtab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trimtab.cli.files.sources.MAX_BYTES", 1 << 20)
        answer = trimtab("validate", "-f", "/dev/zero")
        assert answer.code == 2
        assert "larger than 1 MiB" in answer.err

    def test_no_files_is_wrong_usage(self, trimtab: Call) -> None:
        assert trimtab("validate").code == 2

    def test_a_byte_order_mark_is_no_content(self, trimtab: Call, tmp_path: Path) -> None:
        path = tmp_path / "bom.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + TEMPLATE.encode())
        assert trimtab("validate", "-f", path).code == 0

    def test_a_name_cannot_move_the_terminals_cursor(self, trimtab: Call, write: Write) -> None:
        answer = trimtab("validate", "-f", write(TEMPLATE, preference("ann", '{"a\\e[2Jb": 1}')))
        assert "\x1b" not in answer.out + answer.err
        assert "\\x1b" in answer.out


def test_a_malformed_status_in_a_dump_is_nobodys_fault(trimtab: Call, write: Write) -> None:
    document = preference("ann") + "status: [1, 2]\n"
    assert trimtab("validate", "-f", write(TEMPLATE, document)).code == 0


def test_actions_whose_names_the_api_server_makes_are_no_doubles(trimtab: Call, write: Write) -> None:
    action = (
        "apiVersion: trimtab.dev/v1alpha1\nkind: RolloutAction\nmetadata: {generateName: pause-}\n"
        "spec: {rolloutRef: {kind: PolicyRollout, name: p}, action: Pause, requester: ann}\n"
    )
    assert trimtab("validate", "-f", write(TEMPLATE, action, action)).code == 0


@pytest.mark.parametrize("verb", ["validate", "render", "status"])
def test_a_missing_output_is_reported_in_plain_words(trimtab: Call, verb: str) -> None:
    answer = trimtab(verb, "-o", "xml")
    assert (answer.code, "xml is not a valid format" in answer.err) == (2, True)
    assert "Value error" not in answer.err


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("strategy: {steps: []}", "strategy.steps: is not a field -> remove it or correct its name; did you mean waves?"),
        ("strategy: {waves: [{name: a, pause: 5m}]}", "did you mean soak?"),
        ("groupSelector: {tier: free}", "groupSelector.tier: is not a field -> remove it or correct its name; did you mean matchLabels?"),
        ("policy: {enforced: {session.minutes: 5}}", "policy.enforced: must be a list of objects with key, got an object"),
        ("policy: {enforced: [session.minutes, session.minutes]}", "policy.enforced[1]: must be an object with key, got \"session.minutes\" -> write an object"),
    ],
)  # fmt: skip
def test_fields_of_other_programs_suggest_trimtabs(trimtab: Call, write: Write, spec: str, said: str) -> None:
    head = "apiVersion: trimtab.dev/v1alpha1\nkind: PolicyRollout\nmetadata: {name: calm, namespace: team}\n"

    answer = trimtab("validate", write(f"{head}spec: {{templateRef: {{name: app}}, {spec}}}\n"))

    assert said in answer.out
    assert "another entry" not in answer.out


def test_an_object_is_named_with_its_namespace_whatever_is_wrong_with_it(trimtab: Call, write: Write) -> None:
    broken = TEMPLATE.replace("name: app, namespace: team", "name: app, namespace: team, x: 1")
    assert "ConfigTemplate team/app is not valid" in trimtab("validate", write(broken)).out
    assert (
        "ConfigTemplate blue/app"
        in trimtab("validate", "-n", "blue", write(broken.replace("namespace: team, ", ""))).out
    )
