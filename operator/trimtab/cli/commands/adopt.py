"""``trimtab adopt``: let the operator adopt existing objects that conflict with a template's outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import typer

from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.objects import Body, StoredObject
from trimtab.cli.cluster.preferences import StoredPreference
from trimtab.cli.cluster.revisions import RenderedGroup
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions, Output, Template
from trimtab.cli.output import Format, Line, Part, show, table
from trimtab.core import naming, reasons
from trimtab.core.refs import Ref
from trimtab.core.render.origin import Place, place
from trimtab.kube.resources import CONFIG_TEMPLATES, OUTPUTS, RENDERED_GROUPS, USER_PREFERENCES


def adopt(
    template: Template,
    cluster: ClusterOptions,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Annotate the objects. Default: only list them.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:
    """Adopt objects that conflict with a template's outputs and have its labels.

    It is for objects of which the operator cannot prove that it created them, for example after a loss of its keys. It
    lists the objects that cause the reason Conflict of groups and preferences, and with --yes annotates them
    `trimtab.dev/adopt: "true"`. The operator replaces their content within about 15s. The annotation stays, and
    meanwhile the RenderedGroup's status lists them as `adopted`: remove it afterwards.

    An object without the template's labels belongs to another client: delete, rename or annotate it manually.

    Examples:

        trimtab adopt music-agent -n music

        trimtab adopt music-agent -n music --yes

        kubectl annotate configmap,secret -n music -l trimtab.dev/template=music-agent trimtab.dev/adopt-

    Exit code: 0 listed or annotated, 1 not found, or refused by the cluster, 2 wrong usage.
    """

    async def work(connected: Cluster) -> Conflicts:
        found = await _conflicts(connected, template, annotated=yes)
        for item in found.objects if yes else ():
            annotations = {**(item.meta.get("annotations") or {}), naming.ANNOTATION_ADOPT: "true"}
            operation = {"op": "add", "path": "/metadata/annotations", "value": annotations}
            await connected.patch(OUTPUTS[item.kind], item.body, [operation])
        return found

    show(with_cluster(cluster, work), output)


@dataclass(frozen=True, slots=True)
class Conflicts:
    """Objects to adopt, and messages about objects without the template's labels."""

    template: str
    annotated: bool
    objects: list[StoredObject]
    others: list[str]

    def content(self) -> dict[str, Any]:
        objects = [{"kind": item.kind, **item.reference} for item in self.objects]
        return {"adopted": self.annotated, "objects": objects, "otherConflicts": self.others}

    def parts(self) -> Iterator[Part]:
        if self.objects:
            yield table("NAMESPACE KIND NAME", ((o.namespace, o.kind, o.name) for o in self.objects))
            done = "annotated; the operator adopts them within about 15s. Remove trimtab.dev/adopt afterwards"
            todo = "the operator would replace their content; --yes annotates them for that"
            yield Line(done if self.annotated else todo)
        elif not self.others:
            yield Line(f"nothing conflicts with the outputs of {self.template}", "green")
        if self.others:
            yield Line(
                f"conflicts without the labels of {self.template}; rename, delete or annotate manually:"
            )
        yield from (Line(f"  {message}", "red") for message in self.others)


async def _conflicts(cluster: Cluster, template: str, *, annotated: bool) -> Conflicts:
    """:raises Failure: there is no such template."""
    home = cluster.namespace
    body = await cluster.get(CONFIG_TEMPLATES, home, template)
    if body is None:
        raise Failure(f"there is no ConfigTemplate {home}/{template}; choose another --namespace")
    groups = {group.group: _group_place(group, body) for group in await _groups(cluster, template)}
    places = _Places(template, groups, await _preferences(cluster, template))
    items = [item async for item in _labelled(cluster, template, places.namespaces) if places.output(item)]
    adopted = [item for item in items if _is_adopted(item)]  # soon, by the operator
    found = [item for item in items if item not in adopted and places.conflict(item)]
    return Conflicts(template, annotated, found, places.others((*found, *adopted)))


async def _groups(cluster: Cluster, template: str) -> list[RenderedGroup]:
    groups = map(RenderedGroup, await cluster.all(RENDERED_GROUPS, cluster.namespace))
    return [group for group in groups if group.template == template and _conflicts_in(group)]


async def _preferences(cluster: Cluster, template: str) -> list[StoredPreference]:
    claims = map(StoredPreference, await cluster.all(USER_PREFERENCES))
    return [p for p in claims if p.template == (cluster.namespace, template) and _conflicts_in(p)]


def _conflicts_in(item: StoredObject) -> bool:
    return str(item.ready.get("reason")) == reasons.CONFLICT


def _is_adopted(item: StoredObject) -> bool:
    return (item.meta.get("annotations") or {}).get(naming.ANNOTATION_ADOPT) == "true"


async def _labelled(cluster: Cluster, template: str, namespaces: set[str]) -> AsyncIterator[StoredObject]:
    """ConfigMaps and Secrets with the template's labels."""
    home = f"{naming.LABEL_TEMPLATE_NAMESPACE}={cluster.namespace}"
    for namespace in sorted(namespaces):
        for kind, resource in OUTPUTS.items():
            selector = f"{naming.LABEL_TEMPLATE}={template},{home}"
            for body in (await cluster.listed(resource, namespace, selector))[0]:
                yield StoredObject(body, kind)


class _GroupPlace(NamedTuple):
    """The namespaces of a group's outputs, the uids of the operator's own objects, and the conflict's message."""

    name: str
    namespaces: set[str]
    recorded: set[str]
    message: str


def _group_place(group: RenderedGroup, template: Body) -> _GroupPlace:
    outputs = group.status.get("outputs") or []
    spec = {each["name"]: each for each in template["spec"].get("groups") or ()}.get(group.group, {})
    namespaces = {entry["namespace"] for entry in outputs} | {spec.get("targetNamespace") or group.namespace}
    recorded = {entry["uid"] for entry in outputs if "uid" in entry}
    return _GroupPlace(group.group, namespaces, recorded, group.ready.get("message", ""))


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the outputs of conflicting groups and preferences of a template belong."""

    template: str
    groups: dict[str, _GroupPlace]
    preferences: list[StoredPreference]

    @property
    def namespaces(self) -> set[str]:
        targets = (place.namespaces for place in self.groups.values())
        return {preference.namespace for preference in self.preferences}.union(*targets)

    def output(self, item: StoredObject) -> bool:
        """Whether an output of the template has this name."""
        return self._origin(item) is not None

    def conflict(self, item: StoredObject) -> bool:
        """Whether it is at the place of a conflicting output, and not recorded as the operator's own."""
        origin, group = self._origin(item), self.groups.get(_group(item))
        if origin is not None and origin.preference is not None:
            owner = (item.namespace, origin.preference)
            return owner in {(p.namespace, p.name) for p in self.preferences}
        if group is None:
            return False
        return item.namespace in group.namespaces and item.meta["uid"] not in group.recorded

    def others(self, known: Iterable[StoredObject]) -> list[str]:
        """The conflicts' messages that name none of the ``known`` objects."""
        messages = [f"group {name}: {place.message}" for name, place in self.groups.items() if place.message]
        messages += [f"{p}: {p.ready['message']}" for p in self.preferences if p.ready.get("message")]
        names = [f"{item} " for item in known]
        return [message for message in messages if not any(name in message for name in names)]

    def _origin(self, item: StoredObject) -> Place | None:
        return place(Ref(item.kind, item.namespace, item.name), self.template, _group(item))


def _group(item: StoredObject) -> str:
    return str((item.meta.get("labels") or {}).get(naming.LABEL_GROUP, ""))
