"""A violation of an object's shape is reported once, at its own path, in terms of YAML."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trimtab.api.config_template import ConfigTemplateSpec
from trimtab.core.model_errors import shape_violations


def _said(spec: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        ConfigTemplateSpec.model_validate(spec)
    return {each.key: each.message for each in shape_violations(caught.value, spec)}


def test_a_union_of_types_is_named_as_what_it_takes() -> None:
    key = {
        "name": "a",
        "type": "Number",
        "minimum": True,
        "enum": [{}, "x" * 5000],
        "items": {"minimum": "x"},
    }

    assert _said({"keys": [key]}) == {
        "keys[0].minimum": "must be a number or text; write one of these",
        "keys[0].enum[0]": "must be true or false, a number or text; write one of these",
        "keys[0].enum[1]": "must have at most 4096 characters; shorten it",
        "keys[0].items.minimum": "must be a number; write a number, without quotes",
    }


def test_paths_end_at_the_field_that_is_wrong() -> None:
    spec = {"keys": [{"type": "String"}], "groups": [{"name": "a", "labels": {"int": 1}, "bogus": 1}]}

    assert set(_said(spec)) == {"keys[0].name", "groups[0].labels.int", "groups[0].bogus"}
