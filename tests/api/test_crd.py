"""The CRDs are the models, are structural, and stay small enough for every client."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from pydantic import Field

from trimtab import crd, reference
from trimtab.api import KINDS
from trimtab.api.bounds import Text
from trimtab.api.meta import ApiModel, Resource, ResourceInfo, StatusModel

ROOT = Path(__file__).parents[2]
SCHEMAS = {
    model.info.kind: crd.manifest(model)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for model in KINDS
}
SCALARS = {"string", "integer", "number", "boolean"}
TYPES = SCALARS | {"object", "array"}
KNOWN = {
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
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
}
PROGRESS = {
    "status.waves": ["name"],
    "status.gates": ["name"],
    "status.quarantine": ["hash"],
    "status.transitions": ["number"],
}
LIST_MAPS = {
    "ConfigTemplate": {
        "spec.keys": ["name"],
        "spec.rules": ["name"],
        "spec.profiles": ["name"],
        "spec.groups": ["name"],
        "spec.groups[].workloads": ["kind", "name"],
        "spec.outputs": ["name"],
        "spec.flags": ["name"],
        "spec.migrations": ["from"],
        "spec.strategy.waves": ["name"],
        "spec.strategy.gates": ["name"],
        "status.conditions": ["type"],
        **PROGRESS,
    },
    "PolicyRollout": {
        "spec.policy.enforced": ["key"],
        "spec.policy.constraints": ["key"],
        "spec.policy.flags": ["name"],
        "spec.strategy.waves": ["name"],
        "spec.strategy.gates": ["name"],
        "status.conditions": ["type"],
        **PROGRESS,
    },
    "RenderedGroup": {
        "status.conditions": ["type"],
        "status.revisions": ["number"],
        "status.revisions[].policies": ["name"],
        "status.outputs": ["kind", "namespace", "name"],
        "status.foreign": ["kind", "namespace", "name"],
    },
    "RolloutAction": {"status.conditions": ["type"]},
    "UserPreference": {"spec.secretRefs": ["key"], "status.conditions": ["type"]},
}


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from walk(part, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}.*")


def nodes(kind: str) -> list[tuple[str, dict[str, Any]]]:
    return [(path, node) for path, node in walk(SCHEMAS[kind]) if path != "metadata"]


@pytest.mark.parametrize(("path", "content"), {**crd.files(), reference.PATH: reference.text()}.items())
def test_the_committed_crds_equal_the_models(path: str, content: str) -> None:
    assert (ROOT / path).read_bytes() == content.encode(), "run `make crds`"


def test_nothing_else_lies_among_the_generated_files() -> None:
    for folder in ("crds", "charts/trimtab/templates/crds"):
        found = {f"{folder}/{entry.name}" for entry in (ROOT / folder).iterdir()}
        assert found == {path for path in crd.files() if path.startswith(f"{folder}/")}


@pytest.mark.parametrize(("path", "content"), crd.files().items())
def test_a_crd_is_small_enough_for_client_side_apply(path: str, content: str) -> None:
    assert len(content.encode()) < 200 * 1024


@pytest.mark.parametrize(("path", "content"), crd.files().items())
def test_a_crd_has_nothing_that_helm_would_fill_in(path: str, content: str) -> None:
    assert "{{" not in content


def test_one_stream_holds_every_crd() -> None:
    assert list(yaml.safe_load_all(crd.text())) == crd.manifests()


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_schema_uses_only_what_a_structural_schema_can_express(kind: str) -> None:
    for path, node in nodes(kind):
        said = node.get("type")
        assert node.keys() <= KNOWN, path
        assert said in TYPES or node["x-kubernetes-preserve-unknown-fields"] is True, path
        assert (said == "array") == ("items" in node), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert set(node.get("required", ())) <= node.get("properties", {}).keys(), path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_strings_lists_and_maps_are_bounded(kind: str) -> None:
    for path, node in nodes(kind):
        match node.get("type"):
            case "string" if path not in ("apiVersion", "kind"):
                assert node.keys() & {"enum", "maxLength"}, path
            case "array":
                assert node["maxItems"] <= 1000, path
            case "object":
                assert "properties" in node or node["maxProperties"] <= 1000, path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_field_is_described_in_a_sentence(kind: str) -> None:
    for path, node in nodes(kind):
        if not path.endswith(("[]", ".*")):
            assert re.fullmatch(r"[A-Z`].*\.\)?", node["description"], re.DOTALL), path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_list_specifies_how_it_is_merged(kind: str) -> None:
    for path, node in nodes(kind):
        match node.get("x-kubernetes-list-type"):
            case "map":
                for key in node["x-kubernetes-list-map-keys"]:
                    assert node["items"]["properties"][key]["type"] in SCALARS, path
                    assert key in node["items"]["required"], path
            case "set":
                assert node["items"]["type"] in SCALARS, path
            case other:
                assert other == ("atomic" if node.get("type") == "array" else None), path


@pytest.mark.parametrize("kind", SCHEMAS)
def test_lists_of_named_things_are_maps_by_name(kind: str) -> None:
    found = {
        path: node["x-kubernetes-list-map-keys"]
        for path, node in walk(SCHEMAS[kind])
        if node.get("x-kubernetes-list-type") == "map"
    }
    assert found == LIST_MAPS[kind]


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.info.kind)
def test_every_field_of_a_model_has_a_description_of_its_own(model: type[Resource]) -> None:
    seen: list[type[ApiModel]] = [model]
    for one in seen:
        for name, field in one.model_fields.items():
            if name != "metadata":
                assert field.description, f"{one.__name__}.{name}"
                seen += [part for part in _models_in(field.annotation) if part not in seen]


def _models_in(annotation: Any) -> Iterator[type[ApiModel]]:
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.info.kind)
def test_kubectl_explain_shows_which_fields_are_not_supported(model: type[Resource]) -> None:
    told = [
        path
        for path, node in walk(SCHEMAS[model.info.kind])
        if "not implemented yet" in node.get("description", "").lower()
    ]
    listed = {row.path for row in reference.rows(model) if "NotSupported" in row.state}
    assert set(told) <= listed
    assert all(any(path.startswith(top) for top in told) for path in listed)


def test_the_reference_lists_every_field() -> None:
    for model in KINDS:
        fields = [path for path, _ in walk(SCHEMAS[model.info.kind]) if path.startswith(("spec", "status"))]
        assert [row.path for row in reference.rows(model)] == [
            f for f in fields if not f.endswith(("[]", ".*"))
        ]


class Union(ApiModel):
    wrong: int | Text = Field(description="Two types.")


class Unbounded(ApiModel):
    wrong: str = Field(description="No bound.")


class UnboundedList(ApiModel):
    wrong: list[Text] = Field(description="No bound.", json_schema_extra={"x-kubernetes-list-type": "atomic"})


class Unmerged(ApiModel):
    wrong: list[Text] = Field(max_length=3, description="No list type.")


class Undescribed(ApiModel):
    wrong: Text


class KeyedByPattern(ApiModel):
    wrong: dict[Literal["a", "b"], Text] = Field(max_length=3, description="Keys of a kind.")


@pytest.mark.parametrize(
    "spec_model",
    [Union, Unbounded, UnboundedList, Unmerged, Undescribed, KeyedByPattern],
    ids=lambda m: m.__name__,
)
def test_a_model_that_a_structural_schema_cannot_express_raises(spec_model: type[ApiModel]) -> None:
    class Wrong(Resource):
        info: ClassVar[ResourceInfo] = ResourceInfo("Wrong", "wrongs", "wrong", "w", ())
        spec: spec_model = Field(description="What is wrong.")  # type: ignore[valid-type]
        status: StatusModel | None = Field(default=None, description="Nothing.")

    Wrong.model_rebuild(_types_namespace={"spec_model": spec_model, **globals()})
    with pytest.raises(crd.UnstructuralError, match=r"Wrong\.spec\.wrong"):
        crd.structural(Wrong)
