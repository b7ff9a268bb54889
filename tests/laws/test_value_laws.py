"""Laws of one document: resolution, validation, provenance, rendering."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from support.random_templates import CANARY, JSON, TEXT, Template, cases, templates
from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.api.key import KeySpec
from trimtab.core.durations import nanoseconds
from trimtab.core.render.render import render_group, render_user
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.resolve import trace
from trimtab.core.schema.coerce import lossless
from trimtab.core.schema.key import check, compile_key
from trimtab.core.schema.template import compile_template
from trimtab.core.suggestion import nearest
from trimtab.core.violations import RejectedError
from trimtab.kube.port import Body

TYPES = ["String", "Integer", "Number", "Boolean", "Duration", "StringList", "NumberMap", "StringMap"]
HOSTILE = st.one_of(
    JSON,
    st.text(max_size=30),  # lone surrogates too
    st.floats(),
    st.sampled_from([2**63, 10**400, "9" * 5000, "{error}", "%s", "\0", "\ud800", [[[]]], {"": {"": ""}}]),
)


@given(cases())
def test_values_as_json_text_equal_values_as_a_mapping(
    case: tuple[Template, list[Body]],
) -> None:
    view, (values,) = case[0].view, case[1]

    assert view.resolve(msgspec.json.encode(values)) == view.resolve(
        msgspec.json.decode(msgspec.json.encode(values))
    )


@given(cases())
def test_the_fast_path_and_the_slow_path_agree(case: tuple[Template, list[Body]]) -> None:
    view, (values,) = case[0].view, case[1]

    assert view.resolve(values) == view._slowly(values)


@given(cases())
def test_validating_what_was_validated_changes_nothing(case: tuple[Template, list[Body]]) -> None:
    view, (values,) = case[0].view, case[1]
    once = view.resolve(values)

    again = view.resolve(dict(once.own))

    if not once.violations:
        assert (again.values, again.own, again.violations) == (once.values, once.own, ())
        assert view.resolve(msgspec.json.encode(once.own)).values == once.values


@given(cases())
def test_every_value_has_a_provenance(case: tuple[Template, list[Body]]) -> None:
    view, (values,) = case[0].view, case[1]
    resolution = view.resolve(values)

    traces = trace(view, resolution.own)

    assert traces.keys() == view.schema.keys.keys()
    for name, made in traces.items():
        assert made.value == resolution.values.get(name)
        assert (made.layer == "unset") == (name not in resolution.values)
        assert (made.layer == "user") == (name in resolution.own)
        assert len({layer for layer, _ in made.shadowed} | {made.layer}) == len(made.shadowed) + 1


@given(cases())
def test_a_resolved_document_holds_only_keys_of_the_template_within_their_limits(
    case: tuple[Template, list[Body]],
) -> None:
    view, (values,) = case[0].view, case[1]

    for name, value in view.resolve(values).values.items():
        assert check(view.schema.keys[name], value, "user") == (value, [])


@given(cases(hostile=False), st.randoms())
def test_the_order_of_values_does_not_change_a_document(
    case: tuple[Template, list[Body]], chance: Any
) -> None:
    view, (values,) = case[0].view, case[1]
    names = list(values)
    chance.shuffle(names)

    one, two = view.resolve(values), view.resolve({name: values[name] for name in names})

    assert render_user(view, one, per_user=False).entries == render_user(view, two, per_user=False).entries


@given(cases(sensitive=True), st.booleans())
def test_no_sensitive_value_is_in_a_configmap_or_a_message(
    case: tuple[Template, list[Body]], per_user: bool
) -> None:
    view, (values,) = case[0].view, case[1]
    resolution = view.resolve(values)
    user = render_user(view, resolution, per_user=per_user)
    group = render_group(view)

    assert CANARY not in repr((user.entries.config, group.entries.config))
    assert CANARY not in repr((resolution.violations, resolution.notices, user.violations, user.notices))
    assert CANARY not in repr((view.schema.notices, group.violations, group.notices))
    if per_user:
        assert CANARY not in repr(user.entries)


@given(cases(sensitive=True))
def test_a_sensitive_value_that_a_user_writes_in_clear_is_refused_unseen(
    case: tuple[Template, list[Body]],
) -> None:
    view = case[0].view
    for name, key in view.schema.keys.items():
        if key.sensitive:
            for written in (CANARY, [CANARY], {CANARY: CANARY}, {"x": CANARY}):
                made = view.resolve({name: written})

                assert name in {violation.key for violation in made.violations}
                assert CANARY not in repr((made.violations, made.notices))


@given(templates(sensitive=True))
def test_a_snapshot_is_joined_to_what_was_split_and_its_public_part_holds_nothing_sensitive(
    template: Template,
) -> None:
    public, taken = snapshot.split(template.spec)

    assert CANARY not in repr(public)
    assert snapshot.join(public, taken) == template.spec
    assert snapshot.join(public, msgspec.json.decode(msgspec.json.encode(taken))) == template.spec


@given(st.sampled_from(TYPES), HOSTILE)
def test_coercion_loses_nothing(kind: str, value: Any) -> None:
    taken = lossless(kind, value)

    if taken is not None and not isinstance(value, list | dict):
        made, _ = compile_key(KeySpec(name="a", type=kind))  # type: ignore[arg-type]
        assert made is not None
        assert check(made, taken, "user")[1] == []
        if isinstance(value, str) and kind == "Integer":
            assert int(value) == taken
        elif kind == "String":
            assert taken in (str(value), str(value).lower())
        elif isinstance(value, float):
            assert float(taken) == value


@given(st.sampled_from(TYPES), HOSTILE, st.booleans())
def test_no_value_makes_a_check_raise(kind: str, value: Any, sensitive: bool) -> None:
    made, _ = compile_key(KeySpec(name="a", type=kind, sensitive=sensitive))  # type: ignore[arg-type]
    assert made is not None

    _, found = check(made, value, "user")

    for violation in found:
        assert len(str(violation)) < 1000
        str(violation).encode("utf-8", "surrogatepass")


@given(
    st.sampled_from(TYPES),
    st.dictionaries(
        st.sampled_from(
            ["minimum", "maximum", "minLength", "maxLength", "pattern", "enum", "minItems", "items"]
        ),
        st.one_of(
            TEXT,
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            st.lists(st.one_of(TEXT, st.integers(), st.booleans()), max_size=3),
            st.fixed_dictionaries(
                {}, optional={"pattern": TEXT, "minimum": st.integers(), "minLength": st.integers(0)}
            ),
        ),
        max_size=3,
    ),
    JSON,
)
def test_no_declaration_makes_compiling_raise_anything_but_its_reasons(
    kind: str, limits: Body, default: Any
) -> None:
    with contextlib.suppress(ValueError):  # pydantic's own refusal of the shape
        spec = KeySpec.model_validate({"name": "a", "type": kind, "default": default, **limits})
        made, found = compile_key(spec)
        assert made is not None or found


@given(
    st.lists(st.sampled_from(["a", "a.b", "a.b.c", "ab", "b", "flags", "flags.x", "A", "a_b"]), max_size=6),
    st.sampled_from(["JSON", "YAML", "TOML", "Properties", "INI", "Env"]),
    st.sampled_from([None, ["*"], ["a.*"], ["a"], ["a.b", "b"], ["x.*"]]),
    st.sampled_from(["g", "u", "users-1"]),
)
def test_every_template_is_served_or_refused_with_reasons(
    names: list[str],
    fmt: str,
    include: Any,
    group: str,
) -> None:
    spec: Body = {
        "keys": [{"name": name, "type": "String", "default": "x"} for name in names],
        "groups": [{"name": group}],
        "outputs": [{"name": "o", "format": fmt, "fileName": "f", "include": include}],
    }
    try:
        schema = compile_template("app", ConfigTemplateSpec.model_validate(spec))
    except RejectedError as error:
        reasons = error.violations
    else:
        reasons = ()
        assert len(schema.keys) == len(names)
    ambiguous = group != "g" or len(set(names)) < len(names) or not {"flags", "flags.x"}.isdisjoint(names)

    assert reasons or not ambiguous


@given(cases(), st.dictionaries(st.text(max_size=10), HOSTILE, max_size=4))
def test_no_values_make_resolving_or_rendering_raise(case: tuple[Template, list[Body]], values: Body) -> None:
    view = case[0].view

    made = view.resolve(values)

    render_user(view, made, per_user=False)
    render_user(view, made, per_user=True)
    assert made.violations or not values


@given(st.text(max_size=40))
def test_no_text_makes_a_duration_raise_anything_but_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        nanoseconds(text)


@given(st.text(), st.lists(st.text(max_size=10), max_size=5))
def test_no_text_makes_the_nearest_name_raise(word: str, known: list[str]) -> None:
    assert nearest(word, known) in ("", *known)
