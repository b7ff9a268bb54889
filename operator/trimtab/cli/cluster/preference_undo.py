"""A user's previous preference: printed for kubectl, or applied instead of the present one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from trimtab.cli.cluster.connection import MANAGER, Cluster
from trimtab.cli.cluster.objects import Body
from trimtab.cli.cluster.preferences import Accepted, StoredPreference
from trimtab.cli.errors import Failure
from trimtab.cli.group import program
from trimtab.cli.output import Line, as_yaml
from trimtab.kube import errors
from trimtab.kube.resources import USER_PREFERENCES

_CLIENTS = ("kubectl", "trimtab", "k9s", "lens", "before-first-apply")
"""Prefixes of field managers that act for a person, who may also overwrite the fields by this command."""
_TOOLS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "objectset.rio.cattle.io/id": "Fleet",
    "configmanagement.gke.io/managed": "Config Sync",
    "configsync.gke.io/resource-id": "Config Sync",
    "meta.helm.sh/release-name": "Helm",
}
"""Labels and annotations of tools that revert changes of what they have applied."""


@dataclass(frozen=True, slots=True)
class Older:
    """A user's previous preference; ``applied`` is the object after it was applied, if it was."""

    preference: StoredPreference
    previous: Accepted
    applied: Body | None = None
    requested: bool = False
    """Whether to apply it."""
    notes: tuple[str, ...] = ()

    def manifest(self) -> Body:
        """The UserPreference with the previous values, for kubectl replace."""
        spec = {n: v for n, v in self.preference.spec.items() if n not in ("values", "schemaVersion")}
        version = self.previous.schema_version
        spec |= {} if version is None else {"schemaVersion": version}
        spec["values"] = self.previous.values
        return self.preference.replacement(USER_PREFERENCES.api_version, spec)

    @property
    def in_force(self) -> bool:
        """Whether the present spec has just these values."""
        spec, previous = self.preference.spec, self.previous
        return (spec.get("values") or {}, spec.get("schemaVersion")) == (
            previous.values,
            previous.schema_version,
        )

    def operations(self) -> Iterator[Body]:
        """The JSON patch to the previous values."""
        yield {"op": "add", "path": "/spec/values", "value": self.previous.values}
        if self.previous.schema_version is not None:
            yield {"op": "add", "path": "/spec/schemaVersion", "value": self.previous.schema_version}
        elif "schemaVersion" in self.preference.spec:
            yield {"op": "remove", "path": "/spec/schemaVersion"}

    def content(self) -> Body:
        if not self.requested:
            return self.manifest()
        return self.preference.about | {
            "restored": self.previous.content(),
            "generation": (self.applied or {}).get("metadata", {}).get("generation"),
            "notes": list(self.notes),
        }

    def parts(self) -> Iterator[Line]:
        if not self.requested:
            yield Line(as_yaml(self.manifest()).removesuffix("\n"))
        elif self.applied is not None:
            generation = f"generation {self.applied['metadata'].get('generation')}"
            values = f"the values of generation {self.previous.generation}"
            yield Line(f"{self.preference}: {generation} has {values}", "green")


async def apply(cluster: Cluster, older: Older, *, force: bool) -> Older:
    """Replace the present values by the previous ones.

    :raises Failure: a tool manages them, or the preference has changed in the meantime.
    """
    preference, older = older.preference, replace(older, requested=True)
    managers = " and ".join(foreign(preference))
    if managers and not force:
        raise Failure(
            f"{preference}: its values are managed by {managers}, which would revert the change; change them there "
            f"(`{program()} undo --user {preference.user}` prints the previous ones), or use --force"
        )
    if older.in_force:
        return replace(older, notes=("it already has these values: nothing was changed",))
    try:
        applied = await cluster.patch(USER_PREFERENCES, preference.body, list(older.operations()))
    except errors.ConflictError:
        raise Failure(f"{preference} has changed in the meantime; check it and retry") from None
    notes = (f"adopted from {managers}; the field manager is {MANAGER}",) if managers else ()
    return replace(older, applied=await _owned(cluster, applied), notes=notes)


async def _owned(cluster: Cluster, applied: Body) -> Body:
    """Server-side apply of the present values, so that a later apply of others reports who manages them.

    It follows the patch, because on its own it would keep keys that other clients have added to the values.
    """
    meta = {name: applied["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
    spec = {name: applied["spec"][name] for name in ("values", "schemaVersion") if name in applied["spec"]}
    try:
        return await cluster.apply(USER_PREFERENCES, {"metadata": meta, "spec": spec})
    except errors.ConflictError:
        return applied  # another client has changed it since


def foreign(preference: StoredPreference) -> list[str]:
    """Tools and controllers that manage the preference's values."""
    meta = preference.meta
    marks = {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}
    tools = [tool for mark, tool in _TOOLS.items() if mark in marks]
    managers = [str(e.get("manager", "")) for e in meta.get("managedFields") or () if _sets_values(e)]
    others = [f"field manager {name}" for name in managers if not name.lower().startswith(_CLIENTS)]
    return list(dict.fromkeys([*tools, *others]))


def _sets_values(entry: Body) -> bool:
    fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
    return bool({"f:values", "f:schemaVersion"} & fields.keys())
