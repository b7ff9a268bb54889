"""Validates an object offline as the API server would: by the CRD's schema, then by the models."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from pydantic import ValidationError

from trimtab import crd
from trimtab.api import KINDS, Resource
from trimtab.cli.files import metadata, structural
from trimtab.cli.files.manifests import Manifest
from trimtab.core.model_errors import shape_violations
from trimtab.core.violations import Violation

OBJECT_BYTES = 1_500_000
"""About the size of an etcd request, so no object is larger."""
_MODELS: dict[str, type[Resource]] = {model.info.kind: model for model in KINDS}
_COMPILED = ("spec.keys[", "spec.groups[", "spec.profiles[", "spec.outputs[")
"""Lists of a template whose duplicates are reported when the template is compiled."""


def parse(manifest: Manifest) -> tuple[Resource | None, list[Violation]]:
    """The object as its model, or every reason why the API server would reject it. Ignores the status, which only the
    operator writes."""
    body = {name: value for name, value in manifest.body.items() if name != "status"}
    size = len(msgspec.json.encode(body))
    if size > OBJECT_BYTES:
        problem = f"the object has {size} bytes, more than the {OBJECT_BYTES} that a cluster stores"
        return None, [Violation("", "object", "tooLarge", problem, remedy="shorten its values")]
    model = _MODELS[manifest.kind]
    schema = _schema(model)
    found = list(structural.check(body, schema, ""))
    if manifest.kind == "ConfigTemplate":
        found = [each for each in found if not _is_compiled(each)]
    if found:
        return None, found
    body = structural.stored(body, schema)
    try:
        return model.model_validate(body), []
    except ValidationError as error:
        return None, list(shape_violations(error, body, "object"))


def _is_compiled(violation: Violation) -> bool:
    key = violation.key
    return violation.rule == "double" and key.startswith(_COMPILED) and key.count("[") == 1


@cache
def _schema(model: type[Resource]) -> dict[str, Any]:
    made = crd.structural(model)
    fields = {name: part for name, part in made["properties"].items() if name != "status"}
    return made | {"properties": fields | {"metadata": metadata.SCHEMA}}
