"""Marks fields that this version accepts but does not implement. Status and documentation are derived from the mark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from trimtab.api.meta import UNSUPPORTED, ApiModel


@dataclass(frozen=True, slots=True)
class NotSupported:
    """Annotates a field that is not implemented, or, with `values`, of which these values are not implemented."""

    values: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core_schema), UNSUPPORTED: list(self.values) or True}


def mark_of(field: FieldInfo) -> NotSupported | None:
    """The mark of the field, if any."""
    return next((mark for mark in field.metadata if isinstance(mark, NotSupported)), None)


def not_supported(model: BaseModel, path: str = "spec") -> list[str]:
    """Paths of fields that are set but not implemented, for example `spec.outputs[2].format (Flagd)`."""
    if isinstance(model, ApiModel) and model.unsupported:
        return [path]
    found: list[str] = []
    for name, alias, mark in _fields(type(model)):
        value = getattr(model, name)
        if value is None or value == [] or value == {}:
            continue
        here = f"{path}.{alias}"
        if mark is None:
            found += _inside(value, here)
        elif not mark.values:
            found.append(here)
        elif value in mark.values:
            found.append(f"{here} ({value})")
    return found


@cache
def _fields(kind: type[BaseModel]) -> tuple[tuple[str, str, NotSupported | None], ...]:
    """Name, alias and mark of the fields that have a mark or contain a model with one. All other fields are skipped,
    so that a template with a thousand keys is cheap to check."""
    return tuple(
        (name, field.alias or name, mark_of(field))
        for name, field in kind.model_fields.items()
        if mark_of(field) is not None or any(map(_contains_mark, _models(field.annotation)))
    )


def _contains_mark(kind: type[BaseModel]) -> bool:
    return bool(_fields(kind)) or (issubclass(kind, ApiModel) and kind.unsupported)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a field's type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _inside(value: Any, path: str) -> list[str]:
    if isinstance(value, BaseModel):
        return not_supported(value, path)
    if isinstance(value, list):
        return [found for index, entry in enumerate(value) for found in _inside(entry, f"{path}[{index}]")]
    return []
