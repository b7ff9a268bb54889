"""Which fields this version reads but does not build: one mark, which status and documentation share."""

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
    """Annotates a field that is not built yet; with `values`, only those values of it are not."""

    values: tuple[str, ...] = ()

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(core_schema), UNSUPPORTED: list(self.values) or True}


def mark_of(field: FieldInfo) -> NotSupported | None:
    """The field's mark, if it has one."""
    return next((mark for mark in field.metadata if isinstance(mark, NotSupported)), None)


def not_supported(model: BaseModel, path: str = "spec") -> list[str]:
    """Paths of the fields that are set in `model` but not built, as `spec.outputs[2].format (Flagd)`."""
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
    """The fields that have a mark or may hold something that has one, with their aliases and marks: of a thousand keys
    none needs to be looked at."""
    return tuple(
        (name, field.alias or name, mark_of(field))
        for name, field in kind.model_fields.items()
        if mark_of(field) is not None or any(map(_may_hold, _models(field.annotation)))
    )


def _may_hold(kind: type[BaseModel]) -> bool:
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
