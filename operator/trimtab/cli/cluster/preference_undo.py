"""A user's preference as it was: printed for kubectl, or put in the place of what it is now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trimtab.cli.cluster import rollout_reference
from trimtab.cli.cluster.connection import MANAGER
from trimtab.cli.cluster.preferences import Accepted, Whose
from trimtab.cli.errors import Failure
from trimtab.cli.view.output import program, say
from trimtab.kube import errors
from trimtab.kube.resources import USER_PREFERENCES

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster

Body = dict[str, Any]
_HANDS = ("kubectl", "trimtab", "k9s", "lens", "before-first-apply")
"""How managers are called behind which a person is: their fields may be taken over by another person."""
_KEEPERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "objectset.rio.cattle.io/id": "Fleet",
    "configmanagement.gke.io/managed": "Config Sync",
    "configsync.gke.io/resource-id": "Config Sync",
    "meta.helm.sh/release-name": "Helm",
}
"""Labels and annotations of tools that put back what they have applied."""


@dataclass(frozen=True, slots=True)
class Older:
    """A user's preference as it was; ``applied`` is what the cluster has since."""

    whose: Whose
    once: Accepted
    applied: Body | None = None
    notes: tuple[str, ...] = ()

    def manifest(self) -> Body:
        """The preference with the older values, for kubectl replace: apply would leave what others have added."""
        spec = {
            name: value for name, value in self.whose.spec.items() if name not in ("values", "schemaVersion")
        }
        if self.once.schema_version is not None:
            spec["schemaVersion"] = self.once.schema_version
        now = self.whose.body["metadata"]
        meta = {"name": self.whose.name, "namespace": self.whose.namespace} | rollout_reference.lasting(now)
        return {
            "apiVersion": USER_PREFERENCES.api_version,
            "kind": USER_PREFERENCES.kind,
            "metadata": meta,
            "spec": {**spec, "values": self.once.values},
        }

    @property
    def stands(self) -> bool:
        """Whether the spec says just that."""
        spec = self.whose.spec
        return (spec.get("values") or {}, spec.get("schemaVersion")) == (
            self.once.values,
            self.once.schema_version,
        )

    def operations(self) -> Iterator[Body]:
        """The JSON patch that makes it so at once."""
        yield {"op": "add", "path": "/spec/values", "value": self.once.values}
        if self.once.schema_version is not None:
            yield {"op": "add", "path": "/spec/schemaVersion", "value": self.once.schema_version}
        elif "schemaVersion" in self.whose.spec:
            yield {"op": "remove", "path": "/spec/schemaVersion"}

    def to_dict(self) -> Body:
        """What was done, for programs."""
        return {
            "user": self.whose.user,
            "preference": {"namespace": self.whose.namespace, "name": self.whose.name},
            "restored": self.once.to_dict(),
            "generation": (self.applied or {}).get("metadata", {}).get("generation"),
            "notes": list(self.notes),
        }

    def people(self) -> None:
        """What was done, on stdout."""
        if self.applied is None:
            return
        generation = self.applied["metadata"].get("generation")
        say(
            f"{self.whose}: generation {generation} has the values of generation {self.once.generation}",
            style="green",
        )


async def apply(cluster: Cluster, older: Older, *, force: bool) -> Older:
    """Put the older values in the place of the present ones.

    :raises Failure: others manage them, or the preference has changed meanwhile.
    """
    whose = older.whose
    others = foreign(whose.body)
    if others and not force:
        raise Failure(
            f"{whose}: its values are managed by {' and '.join(others)}, which would put them back; change them there "
            f"(`{program()} undo --user {whose.user}` prints the older ones), or take them over by --force"
        )
    if older.stands:
        return replace(older, notes=("it has these values already: nothing was changed",))
    try:
        applied = await cluster.patch(USER_PREFERENCES, whose.body, list(older.operations()))
    except errors.ConflictError:
        raise Failure(f"{whose} was changed by somebody meanwhile; look at it and try again") from None
    said = [f"taken over from {' and '.join(others)}; the field manager is {MANAGER}"] if others else []
    return replace(older, applied=await _owned(cluster, older, applied), notes=tuple(said))


async def _owned(cluster: Cluster, older: Older, applied: Body) -> Body:
    """Server-side apply of what is there now, so that whoever applies other values is told who applied these.

    It comes second, because alone it would leave keys in place that others have added to the values.
    """
    meta = {name: applied["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
    spec = {name: applied["spec"][name] for name in ("values", "schemaVersion") if name in applied["spec"]}
    try:
        return await cluster.apply(USER_PREFERENCES, {"metadata": meta, "spec": spec}, force=True)
    except errors.ConflictError:
        return applied  # somebody was quick to change it again, and that is theirs


def foreign(body: Body) -> list[str]:
    """Tools and controllers, not people, that manage the preference's values."""
    meta = body["metadata"]
    marks = {**(meta.get("labels") or {}), **(meta.get("annotations") or {})}
    found = dict.fromkeys(tool for mark, tool in _KEEPERS.items() if mark in marks)
    for entry in meta.get("managedFields") or ():
        fields = (entry.get("fieldsV1") or {}).get("f:spec") or {}
        manager = str(entry.get("manager", ""))
        if {"f:values", "f:schemaVersion"} & fields.keys() and not manager.lower().startswith(_HANDS):
            found[f"field manager {manager}"] = None
    return list(found)
