"""What the API server would say of an object's shape, said offline, in our words and with the nearest name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from pydantic import ValidationError

from trimtab.api import KINDS, Resource
from trimtab.cli.manifests import Manifest, size_problem
from trimtab.core.problems import Violation, nearest

_MODELS: dict[str, type[Resource]] = {model.info.kind: model for model in KINDS}
_JUDGED = frozenset(("spec.keys", "spec.groups", "spec.profiles", "spec.outputs"))
"""Lists whose doubles compiling the template names, with everything else that is wrong."""


def parse(manifest: Manifest) -> tuple[Resource | None, list[Violation]]:
    """The object as its model, or every reason why the API server would refuse it.

    The status is left out: on a cluster nobody but Trimtab writes it.
    """
    body = {name: value for name, value in manifest.body.items() if name != "status"}
    too_large = size_problem(manifest)
    if too_large is not None:
        return None, [too_large]
    model = _MODELS[manifest.kind]
    try:
        parsed = model.model_validate(body)
    except ValidationError as error:
        return None, list(_violations(error, model))
    found = [*_doubles(body, _schema(model), ""), *_own_rules(manifest)]
    return (None if found else parsed), found


@cache
def _schema(model: type[Resource]) -> dict[str, Any]:
    from trimtab import crd

    return crd.structural(model)


def _violations(error: ValidationError, model: type[Resource]) -> Iterator[Violation]:
    """One violation a field: a union's members all complain, each under a location of its own."""
    said: dict[str, Violation] = {}
    schema = _schema(model)
    for detail in error.errors(include_url=False, include_input=False, include_context=False):
        path, known = _locate(schema, detail["loc"])
        if path in said:
            continue
        kind, message, hint = detail["type"], detail["msg"], ""
        if kind == "extra_forbidden":
            rule, text = "unknown", "is not a field; remove it or correct its name"
            hint = nearest(str(detail["loc"][-1]), known)
        elif kind == "missing":
            rule, text = "required", "is required; set it"
        else:
            rule = "shape"
            text = message.replace("Input should", "must").removeprefix("Value error, ")
            text = text[:1].lower() + text[1:]
        said[path] = Violation(path, "object", rule, text, hint)
    return iter(said.values())


def _locate(schema: dict[str, Any], loc: Sequence[int | str]) -> tuple[str, list[str]]:
    """A location as a path, and the fields known beside its last part; what only names a union's member is left out."""
    path, known, here = "", [], schema
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
            here = here.get("items", {})
            continue
        properties = here.get("properties")
        if properties is None and not isinstance(here.get("additionalProperties"), dict):
            if not here.get("x-kubernetes-preserve-unknown-fields") and here.get("type") == "object" and here:
                path += f".{part}"
            break
        path += f".{part}" if path else str(part)
        known = list(properties or ())
        here = (properties or {}).get(part) or here.get("additionalProperties") or {}
    return path[:256], known


def _doubles(value: Any, schema: dict[str, Any], path: str) -> Iterator[Violation]:
    """Entries of lists that the API server tells apart by some fields, or as a set, and that are there twice."""
    if isinstance(value, dict):
        for name, below in value.items():
            inner = schema.get("properties", {}).get(name)
            if inner:
                yield from _doubles(below, inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        kind = schema.get("x-kubernetes-list-type")
        keys = schema.get("x-kubernetes-list-map-keys", [])
        seen: set[str] = set()
        for index, entry in enumerate(value):
            yield from _doubles(entry, schema.get("items", {}), f"{path}[{index}]")
            mark = repr([entry.get(k) for k in keys] if kind == "map" and isinstance(entry, dict) else entry)
            if kind in ("map", "set") and path not in _JUDGED and mark in seen:
                by = f" with this {' and '.join(keys)}" if keys else ""
                yield Violation(
                    f"{path}[{index}]", "object", "double", f"another entry{by} is there; remove one"
                )
            seen.add(mark)


def _own_rules(manifest: Manifest) -> Iterator[Violation]:
    """What CRDs say in CEL of one object."""
    name = manifest.name
    if manifest.kind == "ConfigTemplate" and len(name) > 63:
        yield Violation(
            "metadata.name", "object", "name", f"has {len(name)} characters; 63 at most, shorten it"
        )
    nameless = manifest.kind == "UserPreference" and not manifest.body["spec"].get("user")
    if nameless and ("." in name or len(name) > 63):
        message = "is no user name ([A-Za-z0-9_-]{1,63}); set spec.user"
        yield Violation("metadata.name", "object", "user", message)
    spec = manifest.body["spec"]
    if manifest.kind == "RolloutAction" and spec["action"] == "Approve" and not spec.get("contentHash"):
        message = "is required to approve; set it to the status.preview.hash that was looked at"
        yield Violation("spec.contentHash", "object", "required", message)
