"""An object's metadata, as the API server checks it: ObjectMeta's fields, names, labels, annotations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from trimtab.cli.loading.structural import JsonSchema, check
from trimtab.core.problems import Violation

_TEXT = {"type": "string"}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAMESPACE = re.compile(_LABEL)
_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[-+][0-9]{2}:[0-9]{2})$"
_WHEN = {"type": "string", "pattern": _TIME}
_WHOLE = {"type": "integer"}
_FLAG = {"type": "boolean"}
_KEY_RULE = "is no key: letters, digits, -, _ and . (at most 63), after a DNS name and / if any; correct it"
_VALUE_RULE = "must be letters, digits, -, _ and . (at most 63), a letter or digit first and last; correct it"
ANNOTATION_BYTES = 256 * 1024
_OWNER: JsonSchema = {
    "type": "object",
    "required": ["apiVersion", "kind", "name", "uid"],
    "properties": {
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _TEXT),
        **dict.fromkeys(("controller", "blockOwnerDeletion"), _FLAG),
    },
}
SCHEMA: JsonSchema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _TEXT),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), _WHOLE),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _WHEN),
        **dict.fromkeys(("labels", "annotations"), _TEXTS),
        "finalizers": {"type": "array", "items": _TEXT},
        "ownerReferences": {"type": "array", "items": _OWNER},
        "managedFields": {"type": "array"},
    },
}


def problems(meta: Any) -> Iterator[Violation]:
    """All that is wrong with it."""
    if meta is None:
        meta = {}
    wrong = list(check(meta, SCHEMA, "metadata"))
    yield from wrong
    bad = {violation.key for violation in wrong}
    if not isinstance(meta, dict):
        return
    if not meta.get("name") and "metadata.name" not in bad:
        yield _wrong("metadata.name", "required", "is missing; give the object a name")
    elif "metadata.name" not in bad and not _matches(_NAME, meta["name"], 253):
        message = "must be lower-case letters, digits, - and . (at most 253); rename it"
        yield _wrong("metadata.name", "name", message)
    space = meta.get("namespace")
    if space and "metadata.namespace" not in bad and not is_namespace(space):
        message = "must be lower-case letters, digits and - (at most 63); correct it"
        yield _wrong("metadata.namespace", "namespace", message)
    yield from _marks(meta)


def stored(meta: dict[str, Any]) -> dict[str, Any]:
    """As the API server keeps it: a label or annotation that is null is an empty text."""
    marks = {
        kind: {key: "" if value is None else value for key, value in meta[kind].items()}
        for kind in ("labels", "annotations")
        if isinstance(meta.get(kind), dict)
    }
    return meta | marks


def is_namespace(name: str) -> bool:
    """Whether a namespace can have this name."""
    return _matches(_NAMESPACE, name, 63)


def _marks(meta: dict[str, Any]) -> Iterator[Violation]:
    for kind in ("labels", "annotations"):
        marks = meta.get(kind)
        size = 0
        for key, value in marks.items() if isinstance(marks, dict) else ():
            size += len(key.encode()) + len(str(value or "").encode())
            if not _is_key(key.lower() if kind == "annotations" else key):
                yield _wrong(f"metadata.{kind}.{key[:128]}", "name", _KEY_RULE)
            if kind == "labels" and isinstance(value, str) and value and not _matches(_PART, value, 63):
                yield _wrong(f"metadata.labels.{key[:128]}", "value", _VALUE_RULE)
        if kind == "annotations" and size > ANNOTATION_BYTES:
            message = f"have {size} bytes, and {ANNOTATION_BYTES} is what the API server takes; shorten them"
            yield _wrong("metadata.annotations", "tooLarge", message)
    listed = meta.get("finalizers")
    for index, name in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(name, str) and not _is_key(name):
            yield _wrong(f"metadata.finalizers[{index}]", "name", "is no name of a finalizer; correct it")


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _matches(_NAME, prefix, 253):
        return False
    return _matches(_PART, name, 63)


def _matches(pattern: re.Pattern[str], text: str, length: int) -> bool:
    return len(text) <= length and pattern.fullmatch(text) is not None


def _wrong(key: str, rule: str, message: str) -> Violation:
    return Violation(key, "object", rule, message)
