"""Validates metadata as the API server does: the fields of ObjectMeta, names, labels, annotations."""

from __future__ import annotations

import re
from collections.abc import ItemsView, Iterator
from typing import Any

from trimtab.cli.files.structural import JsonSchema, check
from trimtab.core.text import short
from trimtab.core.violations import Violation

_TEXT = {"type": "string"}
_SOME_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NAMESPACE = re.compile(_LABEL)
_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_WHEN = {"type": "string", "format": "time"}
_WHOLE = {"type": "integer"}
_FLAG = {"type": "boolean"}
_NAME_RULE = "must be lower-case letters, digits, - and . (at most 253), a letter or digit first and last"
_KEY_RULE = "must be letters, digits, -, _ and . (at most 63), optionally after a DNS name and /"
_VALUE_RULE = "must be letters, digits, -, _ and . (at most 63), a letter or digit first and last"
ANNOTATION_BYTES = 256 * 1024
_OWNER: JsonSchema = {
    "type": "object",
    "required": ["apiVersion", "kind", "name", "uid"],
    "properties": {
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _SOME_TEXT),
        **dict.fromkeys(("controller", "blockOwnerDeletion"), _FLAG),
    },
}
_MANAGER: JsonSchema = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("manager", "operation", "apiVersion", "fieldsType", "subresource"), _TEXT),
        "time": _WHEN,
        "fieldsV1": {"x-kubernetes-preserve-unknown-fields": True},
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
        "managedFields": {"type": "array", "items": _MANAGER},
    },
}


def problems(meta: Any) -> Iterator[Violation]:
    """All violations of an object's metadata."""
    if meta is None:
        meta = {}
    wrong = list(check(meta, SCHEMA, "metadata"))
    yield from wrong
    bad = {violation.key for violation in wrong}
    if not isinstance(meta, dict):
        return
    yield from _names(meta, bad)
    space = meta.get("namespace")
    if space and "metadata.namespace" not in bad and not is_namespace(space):
        problem = f"must be lower-case letters, digits and - (at most 63), got {short(space)}"
        yield _wrong("metadata.namespace", "namespace", problem, "correct it")
    yield from _labels(meta)
    yield from _finalizers(meta)
    if not any(key.startswith("metadata.ownerReferences") for key in bad):
        yield from _owners(meta.get("ownerReferences") or [])


def _names(meta: dict[str, Any], bad: set[str]) -> Iterator[Violation]:
    name, beginning = (
        None if f"metadata.{each}" in bad else meta.get(each) for each in ("name", "generateName")
    )
    if beginning and not _is_beginning(beginning, complete=not name):
        yield _wrong("metadata.generateName", "name", f"{_NAME_RULE}, got {short(beginning)}", "correct it")
    if name and not _is_name(name):
        yield _wrong("metadata.name", "name", f"{_NAME_RULE}, got {short(name)}", "rename it")
    elif not (name or beginning or bad & {"metadata.name", "metadata.generateName"}):
        yield _wrong("metadata.name", "required", "is missing", "set a name")


def _is_beginning(text: str, *, complete: bool) -> bool:
    """Whether it is a valid generateName. The API server accepts a last - after any character; ``complete`` is whether
    it also completes the name."""
    return _is_name(re.sub(r".-\Z", "a", text)) and (not complete or _is_name(_completed(text, 0)))


def _owners(owners: list[dict[str, Any]]) -> Iterator[Violation]:
    for index, owner in enumerate(owners):
        here, version = f"metadata.ownerReferences[{index}]", owner["apiVersion"]
        if version.count("/") > 1 or version.endswith("/"):
            problem = f"must be a version, or a group and a version (apps/v1), got {short(version)}"
            yield _wrong(f"{here}.apiVersion", "name", problem, "correct it")
        if (version, owner["kind"]) == ("v1", "Event"):
            yield _wrong(f"{here}.kind", "kind", "an Event cannot be an owner", "name another owner")
    if sum(owner.get("controller") is True for owner in owners) > 1:
        problem, remedy = "at most one owner can be the controller", "set controller: true for one owner only"
        yield _wrong("metadata.ownerReferences", "double", problem, remedy)


def stored(meta: dict[str, Any]) -> dict[str, Any]:
    """The metadata as the API server stores it: a label or annotation that is null is an empty text."""
    marks = {
        kind: {key: "" if value is None else value for key, value in meta[kind].items()}
        for kind in ("labels", "annotations")
        if isinstance(meta.get(kind), dict)
    }
    return meta | marks


def named(meta: dict[str, Any], number: int) -> dict[str, Any]:
    """The metadata with generateName completed as the API server does it, so that such objects are not duplicates."""
    beginning = meta.get("generateName")
    return meta if meta.get("name") or not beginning else {**meta, "name": _completed(beginning, number)}


def _completed(beginning: str, number: int) -> str:
    return f"{beginning[:58]}{number:05d}"


def _is_name(text: str) -> bool:
    return _matches(_NAME, text, 253)


def is_namespace(name: str) -> bool:
    """Whether a namespace can have this name."""
    return _matches(_NAMESPACE, name, 63)


def _labels(meta: dict[str, Any]) -> Iterator[Violation]:
    for key, value in _map(meta, "labels"):
        here = f"metadata.labels.{key[:128]}"
        if not _is_key(key):
            yield _wrong(here, "name", f"the key {_KEY_RULE}", "correct it")
        if isinstance(value, str) and value and not _matches(_PART, value, 63):
            yield _wrong(here, "value", f"{_VALUE_RULE}, got {short(value)}", "correct it")
    size = 0
    for key, value in _map(meta, "annotations"):
        size += len(key.encode()) + len(str(value or "").encode())
        if not _is_key(key.lower()):
            yield _wrong(f"metadata.annotations.{key[:128]}", "name", f"the key {_KEY_RULE}", "correct it")
    if size > ANNOTATION_BYTES:
        problem = f"have {size} bytes, and the API server accepts at most {ANNOTATION_BYTES}"
        yield _wrong("metadata.annotations", "tooLarge", problem, "shorten them")


def _map(meta: dict[str, Any], name: str) -> ItemsView[str, Any]:
    entries = meta.get(name)
    return (entries if isinstance(entries, dict) else {}).items()


def _finalizers(meta: dict[str, Any]) -> Iterator[Violation]:
    listed = meta.get("finalizers")
    for index, name in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(name, str) and not _is_key(name):
            problem = f"{_KEY_RULE}, got {short(name)}"
            yield _wrong(f"metadata.finalizers[{index}]", "name", problem, "correct it")


def _is_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not _matches(_NAME, prefix, 253):
        return False
    return _matches(_PART, name, 63)


def _matches(pattern: re.Pattern[str], text: str, length: int) -> bool:
    return len(text) <= length and pattern.fullmatch(text) is not None


def _wrong(key: str, rule: str, problem: str, remedy: str) -> Violation:
    return Violation(key, "object", rule, problem, remedy=remedy)
