"""The models read what the API server would store, and distinguish unset from empty."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trimtab.api import (
    Condition,
    ConfigTemplateStatus,
    KeySpec,
    LocalTemplateRef,
    OutputSpec,
    ProfileSpec,
    RenderedGroup,
    RenderedGroupSpec,
    RenderedGroupStatus,
    RevisionEntry,
    RolloutActionSpec,
    TemplateRef,
    UserPreferenceSpec,
    UserPreferenceStatus,
    UsersSpec,
    Violation,
)

NOW = "2026-01-01T00:00:00Z"


def test_unset_differs_from_empty() -> None:
    unset = OutputSpec(name="app", format="JSON")
    empty = OutputSpec(name="app", format="JSON", include=[])
    assert (unset.include, empty.include) == (None, [])
    assert "include" not in unset.to_dict()
    assert empty.to_dict()["include"] == []


@pytest.mark.parametrize("default", [False, 0, "", []])
def test_a_falsy_default_is_a_default(default: object) -> None:
    key = KeySpec.model_validate({"name": "a", "type": "String", "default": default})
    assert key.default == default
    assert "default" in key.model_fields_set


def test_a_null_is_unset_as_it_is_for_the_api_server() -> None:
    key = KeySpec.model_validate({"name": "a", "type": "String", "default": None, "merge": None})
    assert key.to_dict() == {"name": "a", "type": "String"}
    assert key.merge == "Replace"
    assert ProfileSpec.model_validate({"name": "p", "values": {"a": None, "b": 0}}).values == {"b": 0}


@pytest.mark.parametrize(
    ("minimum", "kind"),
    [(0, int), (0.5, float), (1.0, float), ("10s", str)],
    ids=["int", "float", "whole", "text"],
)
def test_a_limit_stays_the_number_or_text_that_was_written(minimum: object, kind: type) -> None:
    key = KeySpec.model_validate({"name": "a", "type": "Number", "minimum": minimum})
    assert key.minimum == minimum
    assert type(key.minimum) is kind


@pytest.mark.parametrize("enum", [[1, 2.5], ["a", ""], [True]])
def test_an_enum_keeps_its_types(enum: list[object]) -> None:
    kept = KeySpec.model_validate({"name": "a", "type": "String", "enum": enum}).enum
    assert kept == enum
    assert [type(choice) for choice in kept or []] == [type(choice) for choice in enum]


@pytest.mark.parametrize("limit", ["3", True, -1, 21, 2.5])
def test_a_number_is_not_taken_from_text_or_a_boolean(limit: object) -> None:
    with pytest.raises(ValidationError, match="historyLimit"):
        UsersSpec.model_validate({"historyLimit": limit})


@pytest.mark.parametrize("said", ["true", 1, "yes"])
def test_a_boolean_is_not_taken_from_text_or_a_number(said: object) -> None:
    with pytest.raises(ValidationError, match="required"):
        KeySpec.model_validate({"name": "a", "type": "String", "required": said})


@pytest.mark.parametrize("name", ["a", "a.b", "aB.c_d9", "A1"])
def test_a_key_is_named_by_segments(name: str) -> None:
    assert KeySpec(name=name, type="String").name == name


@pytest.mark.parametrize(
    "name", ["", ".", "a.", ".a", "a..b", "1a", "_a", "a-b", "a b", "a\n", "ä", "a." + "b" * 128]
)
def test_other_names_are_no_keys(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        KeySpec(name=name, type="String")


@pytest.mark.parametrize("user", ["", "a.b", "a/b", "a" * 64, "a\n", "../x"])
def test_a_user_name_cannot_leave_its_data_key(user: str) -> None:
    with pytest.raises(ValidationError, match="user"):
        UserPreferenceSpec(template_ref=TemplateRef(name="t"), group="g", user=user)


@pytest.mark.parametrize("file_name", ["..", ".hidden", "a/b", "", "a\n", "-x"])
def test_a_file_name_cannot_leave_its_folder(file_name: str) -> None:
    with pytest.raises(ValidationError, match="fileName"):
        OutputSpec.model_validate({"name": "app", "format": "JSON", "fileName": file_name})


def test_an_error_does_not_show_what_was_written() -> None:
    with pytest.raises(ValidationError) as refused:
        UserPreferenceSpec.model_validate({"sealedValues": {"a": ["hunter2"]}, "values": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_snake_case_inside_camel_case_outside() -> None:
    by_name = OutputSpec(name="app", format="YAML", file_name="a.yaml")
    by_alias = OutputSpec.model_validate({"name": "app", "format": "YAML", "fileName": "a.yaml"})
    assert by_name == by_alias
    assert by_name.to_dict() == {"name": "app", "format": "YAML", "fileName": "a.yaml"}


def test_a_status_that_is_too_long_is_cut_rather_than_refused() -> None:
    wrong = Violation(key="k" * 5000, rule="unknown", message="m" * 5000, nearest="n")
    status = UserPreferenceStatus(violations=[wrong] * 500)
    assert len(status.violations) == 100
    assert (len(wrong.key or ""), len(wrong.message)) == (256, 1024)


def test_a_status_of_a_newer_version_is_read() -> None:
    status = ConfigTemplateStatus.model_validate({"observedGeneration": 3, "invented": {"later": True}})
    assert status.observed_generation == 3


def test_a_status_is_written_without_what_is_unset() -> None:
    ready = Condition(type="Ready", status="True", reason="Rendered", last_transition_time=NOW)
    status = RenderedGroupStatus(
        conditions=[ready], current_revision=1, revisions=[RevisionEntry(number=1, snapshot="t-abc")], users=0
    )
    group = RenderedGroup(
        kind="RenderedGroup",
        spec=RenderedGroupSpec(template_ref=LocalTemplateRef(name="t"), group="g"),
        status=status,
    )

    assert group.to_dict()["status"] == {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Rendered",
                "message": "",
                "lastTransitionTime": NOW,
            }
        ],
        "currentRevision": 1,
        "revisions": [{"number": 1, "snapshot": "t-abc", "policies": [], "failed": []}],
        "users": 0,
        "outputs": [],
        "foreign": [],
    }


def _action(**fields: object) -> dict[str, object]:
    rollout = {"kind": "PolicyRollout", "name": "calmer"}
    return {"rolloutRef": rollout, "action": "Pause", "requester": "ann"} | fields


def test_a_requester_may_have_the_longest_name_of_a_service_account() -> None:
    name = f"system:serviceaccount:{'n' * 63}:{'s' * 253}"
    assert RolloutActionSpec.model_validate(_action(requester=name)).requester == name


@pytest.mark.parametrize(
    "fields",
    [
        {"requester": ""},
        {"contentHash": ""},
        {"action": "approve"},
        {"rolloutRef": {"kind": "Deployment", "name": "a"}},
    ],
)
def test_an_action_names_who_what_and_a_known_verb(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RolloutActionSpec.model_validate(_action(**fields))
