"""How an API server changes objects, as pure functions: what :class:`support.memory_api.Memory` relies on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trimtab.kube import errors
from trimtab.kube.fields import Path, assign, cut, leaves
from trimtab.kube.port import Body
from trimtab.kube.resources import GROUP, Resource

SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp")


def requested(body: Mapping[str, Any], subresource: str) -> Body:
    """The part of a request that its endpoint accepts: the status, or everything else."""
    part = {k: v for k, v in body.items() if (k == "status") == (subresource == "status") or k == "metadata"}
    meta = {
        k: v for k, v in body.get("metadata", {}).items() if k not in (*SERVER_FIELDS, "name", "namespace")
    }
    return {**part, "metadata": meta if not subresource else {}}


def applied(old: Body, owned: set[Path], request: Body, *, force: bool) -> set[Path]:
    """Changes ``old`` by server-side apply; returns the leaf fields that the request owns afterwards.

    :raises ConflictError: another manager owns a field, and ``force`` is false.
    """
    desired = dict(leaves(request))
    before = dict(leaves(old))
    conflicts = [p for p in desired if p in before and p not in owned and before[p] != desired[p]]
    if conflicts and not force:
        raise errors.ConflictError(409, "Conflict", f"another manager owns {'.'.join(conflicts[0])}")
    for path in owned - desired.keys():
        cut(old, path)
    for path, value in desired.items():
        assign(old, path, value)
    return set(desired)


def stored(resource: Resource, body: Body, old: Body | None, *, uid: str, now: str) -> Body:
    """The object as the server stores it, with the metadata of ``old`` or, of a new object, ``uid`` and ``now``."""
    given = body["metadata"]
    known = old["metadata"] if old is not None else {}
    meta = {k: v for k, v in given.items() if k not in SERVER_FIELDS and v not in (None, {})}
    for name, default in (("uid", uid), ("creationTimestamp", now)):
        meta[name] = known.get(name) or given.get(name) or default
    meta |= {
        "resourceVersion": known.get("resourceVersion", ""),
        "generation": known.get("generation", 1),
    }
    return {
        **_without_empty_data(body),
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": meta,
    }


def _without_empty_data(body: Body) -> Body:
    return {k: v for k, v in body.items() if v or k not in ("data", "binaryData")}


def is_new_generation(resource: Resource, old: Body | None, new: Body) -> bool:
    return old is not None and resource.group in (GROUP, "apps") and new.get("spec") != old.get("spec")


def check_version(version: str | None, old: Body | None) -> None:
    """:raises ConflictError: a version is given and is not the current one."""
    if version and (old is None or old["metadata"]["resourceVersion"] != version):
        raise errors.ConflictError(
            409, "Conflict", "the object has been modified; apply to the latest version"
        )


def check_immutable(old: Body, new: Body) -> None:
    """:raises InvalidError: the data of an immutable object, or the type of a Secret, changes."""
    fields = ("data", "binaryData", "immutable", "type") if old.get("immutable") else ("type",)
    changed = [name for name in fields if (old.get(name) or None) != (new.get(name) or None)]
    if old.get("kind") in ("ConfigMap", "Secret") and changed:
        raise errors.InvalidError(422, "Invalid", f"{changed[0]}: field is immutable")


def is_selected(body: Body, namespace: str | None, selector: str) -> bool:
    """Supports only equality-based selectors: ``a=b,c=d``."""
    meta = body["metadata"]
    if namespace and meta.get("namespace") != namespace:
        return False
    labels = meta.get("labels") or {}
    pairs = (term.split("=", 1) for term in selector.split(",") if term)
    return all(labels.get(name) == value for name, value in pairs)


def selected_or_none(body: Body | None, namespace: str | None, selector: str) -> Body | None:
    return body if body is not None and is_selected(body, namespace, selector) else None
