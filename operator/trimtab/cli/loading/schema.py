"""What the API server would say of an object, said offline: by the CRD's own schema, then by the models."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from pydantic import ValidationError

from trimtab.api import KINDS, Resource
from trimtab.cli.loading import metadata, structural
from trimtab.cli.loading.manifests import Manifest
from trimtab.core.problems import Violation

OBJECT_BYTES = 1_500_000
"""About what etcd takes in one request, so no object is larger."""
_MODELS: dict[str, type[Resource]] = {model.info.kind: model for model in KINDS}
_JUDGED = ("spec.keys[", "spec.groups[", "spec.profiles[", "spec.outputs[")
"""Lists whose doubles compiling the template names, with everything else that is wrong."""


def parse(manifest: Manifest) -> tuple[Resource | None, list[Violation]]:
    """The object as its model, or every reason why the API server would refuse it.

    The status is left out: on a cluster nobody but Trimtab writes it.
    """
    body = {name: value for name, value in manifest.body.items() if name != "status"}
    size = len(msgspec.json.encode(body))
    if size > OBJECT_BYTES:
        message = f"the object has {size} bytes, more than the {OBJECT_BYTES} that a cluster stores; shorten its values"
        return None, [Violation("", "object", "tooLarge", message)]
    model = _MODELS[manifest.kind]
    found = [each for each in structural.check(body, _schema(model), "") if not _is_judged(each)]
    if found:
        return None, found
    try:
        return model.model_validate(body), []
    except ValidationError as error:
        return None, list(_violations(error, body))


def _is_judged(violation: Violation) -> bool:
    key = violation.key
    return violation.rule == "double" and key.startswith(_JUDGED) and key.count("[") == 1


@cache
def _schema(model: type[Resource]) -> dict[str, Any]:
    from trimtab import crd

    made = crd.structural(model)
    fields = {name: part for name, part in made["properties"].items() if name != "status"}
    return made | {"properties": fields | {"metadata": metadata.SCHEMA}}


def _violations(error: ValidationError, body: Any) -> Iterator[Violation]:
    """What only the models say."""
    said: dict[str, Violation] = {}
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        path = ""
        node: Any = body
        for part in detail["loc"]:
            if not _has(node, part):  # what only names a union's member
                break
            node = node[part]
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
        text = detail["msg"].replace("Input should", "must").removeprefix("Value error, ")
        said.setdefault(path, Violation(path[:256], "object", "shape", text[:1].lower() + text[1:]))
    return iter(said.values())


def _has(node: Any, part: int | str) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node
