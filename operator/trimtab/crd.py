"""Generates the CustomResourceDefinitions from the models.

A structural schema is less expressive than JSON Schema. A field that it cannot express raises an error here; no YAML
is patched afterwards. A string, list or map without a bound raises an error too, and so does a field without a
description.
"""

from __future__ import annotations

from typing import Any

import yaml

from trimtab.api import GROUP, KINDS, VERSION, Resource
from trimtab.api.bounds import PRESERVE
from trimtab.api.meta import UNSUPPORTED, Column

JsonSchema = dict[str, Any]

_DROPPED = {"title", "default", "$defs"}
_KEPT = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
    UNSUPPORTED,
)
_ROOT: JsonSchema = {
    "apiVersion": {
        "description": "API group and version.",
        "type": "string",
    },
    "kind": {"description": "Kind of the object.", "type": "string"},
    "metadata": {"type": "object"},
}


class UnstructuralError(ValueError):
    """A structural schema cannot express a model."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


def structural(model: type[Resource]) -> JsonSchema:
    """The structural schema of a kind, with the marks of fields that are not implemented."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    parts = {name: whole["properties"][name] for name in ("spec", "status")}
    root = _translate(whole | {"properties": parts, "required": ["spec"]}, whole["$defs"], model.info.kind)
    return root | {"properties": _ROOT | root["properties"]}


def manifest(model: type[Resource]) -> JsonSchema:
    """The CustomResourceDefinition of one kind."""
    info = model.info
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _explained(structural(model))},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in info.columns],
    }
    if info.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in info.selectable]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": info.kind,
                "listKind": f"{info.kind}List",
                "plural": info.plural,
                "singular": info.singular,
                "shortNames": [info.short_name],
                "categories": ["trimtab"],
            },
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def manifests() -> list[JsonSchema]:
    """The CustomResourceDefinitions of all kinds."""
    return [manifest(model) for model in KINDS]


def text() -> str:
    """All CustomResourceDefinitions as one YAML stream, as `trimtab crds` prints it."""
    return "---\n".join(_yaml(crd) for crd in manifests())


def files() -> dict[str, str]:
    """The committed files by path: the CRDs, and the chart's copies, which Helm never deletes."""
    written = {}
    for crd in manifests():
        name = f"{GROUP}_{crd['spec']['names']['plural']}.yaml"
        written[f"crds/{name}"] = _yaml(crd)
        kept = crd["metadata"] | {"annotations": {"helm.sh/resource-policy": "keep"}}
        written[f"charts/trimtab/templates/crds/{name}"] = _yaml(crd | {"metadata": kept})
    return written


def _translate(schema: JsonSchema, defs: JsonSchema, path: str) -> JsonSchema:
    schema = _renamed(_inlined(schema, defs, path))
    if unknown := schema.keys() - set(_KEPT):
        raise UnstructuralError(path, f"a structural schema has no {', '.join(sorted(unknown))}")
    if "type" not in schema:
        schema |= PRESERVE
    if "properties" in schema:
        schema["properties"] = {
            name: _property(part, defs, f"{path}.{name}") for name, part in schema["properties"].items()
        }
    if "items" in schema:
        schema["items"] = _translate(schema["items"], defs, f"{path}[]")
    if "additionalProperties" in schema:
        inner = schema["additionalProperties"]
        schema["additionalProperties"] = _translate({} if inner is True else inner, defs, f"{path}.*")
    _check_bounds(schema, path)
    return {key: schema[key] for key in _KEPT if key in schema}


def _renamed(schema: JsonSchema) -> JsonSchema:
    """With the keywords of OpenAPI v3.0 instead of those of JSON Schema."""
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    for edge in ("Minimum", "Maximum"):
        if f"exclusive{edge}" in schema:
            schema[edge.lower()], schema[f"exclusive{edge}"] = schema[f"exclusive{edge}"], True
    if schema.get("additionalProperties") is False and "properties" in schema:
        del schema["additionalProperties"]
    return schema


def _inlined(schema: JsonSchema, defs: JsonSchema, path: str) -> JsonSchema:
    """The schema without references and without the null that pydantic adds to optional fields."""
    result = {key: value for key, value in schema.items() if key not in _DROPPED}
    if "$ref" in result:
        target = defs[result.pop("$ref").removeprefix("#/$defs/")]
        return _inlined(target, defs, path) | result
    if "anyOf" in result:
        choices = [choice for choice in result.pop("anyOf") if choice != {"type": "null"}]
        if len(choices) != 1:
            raise UnstructuralError(path, "a structural schema has one type")
        return _inlined(choices[0], defs, path) | result
    if isinstance(result.get("description"), str):
        result["description"] = " ".join(result["description"].split())
    return result


def _property(schema: JsonSchema, defs: JsonSchema, path: str) -> JsonSchema:
    result = _translate(schema, defs, path)
    if not result.get("description"):
        raise UnstructuralError(path, "a field needs a description")
    return result


def _check_bounds(schema: JsonSchema, path: str) -> None:
    kind = schema.get("type")
    if kind == "string" and not schema.keys() & {"enum", "maxLength"}:
        raise UnstructuralError(path, "a string needs a maxLength or an enum")
    if kind == "array" and "maxItems" not in schema:
        raise UnstructuralError(path, "a list needs a maxItems")
    if kind == "array" and "x-kubernetes-list-type" not in schema:
        raise UnstructuralError(path, "a list needs an x-kubernetes-list-type")
    if kind == "object" and "properties" not in schema and "maxProperties" not in schema:
        raise UnstructuralError(path, "a map needs a maxProperties")


def _explained(schema: JsonSchema) -> JsonSchema:
    """The schema with each mark replaced by a note in the description, for `kubectl explain`."""
    plain = {key: value for key, value in schema.items() if key != UNSUPPORTED}
    mark = schema.get(UNSUPPORTED)
    if mark:
        what = "Not implemented yet" if mark is True else f"{' and '.join(mark)}: not implemented yet"
        plain["description"] += f" ({what}; rejected with reason NotSupported.)"
    if "properties" in plain:
        plain["properties"] = {name: _explained(part) for name, part in plain["properties"].items()}
    for inner in ("items", "additionalProperties"):
        if inner in plain:
            plain[inner] = _explained(plain[inner])
    return plain


def _column(column: Column) -> JsonSchema:
    result: JsonSchema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return result | {"priority": 1} if column.wide else result


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _yaml(document: JsonSchema) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
