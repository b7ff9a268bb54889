"""Resolved values to data entries: what is in which object, under which name."""

from __future__ import annotations

from typing import Any

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.render.render import OBJECT_LIMIT, Entries, Rendered, named, render_group, render_user
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import compile_template

KEYS: list[dict[str, Any]] = [
    {"name": "a.speed", "type": "Number", "default": 1},
    {"name": "a.name", "type": "String"},
    {"name": "top.token", "type": "String", "sensitive": True, "default": "canary"},
]
OUTPUTS: list[dict[str, Any]] = [
    {"name": "app", "format": "YAML", "fileName": "app.yaml"},
    {"name": "env", "format": "Env", "prefix": "APP_", "include": ["a.*"]},
    {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json", "include": ["top.*"]},
    {"name": "prefs", "scope": "User", "format": "JSON", "fileName": "prefs.json"},
    {"name": "own", "scope": "User", "kind": "Secret", "format": "TOML", "fileName": "own.toml"},
]


def view(**spec: Any) -> GroupView:
    made = {"keys": KEYS, "outputs": OUTPUTS, "groups": [{"name": "g"}], **spec}
    return group_view(compile_template("app", ConfigTemplateSpec.model_validate(made)), "g")


def user(made: GroupView, values: dict[str, Any], *, per_user: bool = False) -> Rendered:
    resolution = made.resolve(values)
    assert resolution.violations == ()
    return render_user(made, resolution, per_user=per_user)


def test_a_group_has_its_files_and_a_default_for_users_without_a_preference() -> None:
    entries = render_group(view()).entries

    assert entries.config == {
        "app.yaml": "a:\n  speed: 1.0\n",
        "APP_A_SPEED": "1",
        "_default.prefs.json": '{"a":{"speed":1.0}}\n',
    }
    assert entries.secret.keys() == {"creds.json", "_default.own.toml"}
    assert "canary" in entries.secret["creds.json"]


def test_without_delivery_there_is_no_default_entry() -> None:
    entries = render_group(view(users={"delivery": "None"})).entries

    assert entries.config.keys() == {"app.yaml", "APP_A_SPEED"}


def test_a_user_has_only_the_user_outputs() -> None:
    entries = user(view(), {"a.name": "x"}).entries

    assert entries.config == {"prefs.json": '{"a":{"speed":1.0,"name":"x"}}\n'}
    assert entries.secret.keys() == {"own.toml"}


def test_in_a_user_s_own_namespace_other_layers_secrets_are_left_out() -> None:
    assert "canary" in user(view(), {}).entries.secret["own.toml"]
    assert "canary" not in str(user(view(), {}, per_user=True).entries)


def test_no_configmap_holds_a_sensitive_value() -> None:
    for rendered in (render_group(view()), user(view(), {"a.name": "x"})):
        assert "canary" not in str(rendered.entries.config)


def test_in_a_shard_each_file_is_under_its_user() -> None:
    made = named("ann", Entries({"p.json": "1"}, {"s.toml": "2"}))

    assert (made.config, made.secret) == ({"ann.p.json": "1"}, {"ann.s.toml": "2"})


def test_a_value_that_the_format_cannot_hold_is_a_violation_of_its_author() -> None:
    made = view()
    (found,) = user(view(outputs=[{**OUTPUTS[1], "scope": "User"}]), {"a.name": "\0"}).violations

    assert (found.key, found.layer, found.rule) == ("a.name", "user", "format")
    assert "output env" in found.message
    assert user(made, {"a.name": "\0"}).violations == (), "JSON holds it"


def test_what_some_reader_will_not_see_exactly_is_a_warning() -> None:
    outputs = [{"name": "env", "format": "Env", "fileName": "x.env", "scope": "User"}]

    (notice,) = user(view(outputs=outputs), {"a.name": "it's $HOME"}).notices

    assert (notice.key, notice.reason) == ("a.name", "Dotenv")


def test_files_that_no_object_can_hold_are_refused() -> None:
    fits, found = "x" * (OBJECT_LIMIT // 3), user(view(), {"a.name": "x" * OBJECT_LIMIT}).violations

    assert [v.rule for v in found] == ["tooLarge"]
    assert user(view(), {"a.name": fits}).violations == ()


def test_size_counts_bytes_of_names_and_texts() -> None:
    assert Entries({"key": "😀é"}, {"a": "b"}).size() == 3 + 4 + 2 + 1 + 1


def test_equal_values_give_equal_bytes_in_whatever_order() -> None:
    one = user(view(), {"a.name": "x", "a.speed": 2})
    two = user(view(), {"a.speed": 2, "a.name": "x"})

    assert one.entries == two.entries
