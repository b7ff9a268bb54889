"""``trimtab adopt``: let the operator adopt existing objects that conflict with a template's outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.objects import Body, StoredObject
from trimtab.cli.cluster.preferences import StoredPreference
from trimtab.cli.cluster.revisions import RenderedGroup
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions, Output, Template
from trimtab.cli.view.output import Format, Line, Part, show, table
from trimtab.core import naming, reasons
from trimtab.core.refs import Ref
from trimtab.core.render.origin import place
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
    groups = [
        g for g in map(RenderedGroup, await cluster.all(RENDERED_GROUPS, home)) if g.template == template
    ]
    groups = [group for group in groups if _conflicting(group)]
    every = map(StoredPreference, await cluster.all(USER_PREFERENCES))
    preferences = [p for p in every if p.template == (home, template) and _conflicting(p)]
    messages = [f"group {g.group}: {m}" for g in groups if (m := g.ready.get("message"))]
    messages += [f"{p}: {m}" for p in preferences if (m := p.ready.get("message"))]
    places = _Places(StoredObject(body, CONFIG_TEMPLATES.kind), groups, preferences)
    labels = {naming.LABEL_TEMPLATE: template, naming.LABEL_TEMPLATE_NAMESPACE: home}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    found, adopted = [], []
    for namespace in sorted(places.namespaces):
        for kind, resource in OUTPUTS.items():
            listed, _ = await cluster.listed(resource, namespace, selector)
            for item in (StoredObject(each, kind) for each in listed):
                if not places.output(item):
                    continue
                if (item.meta.get("annotations") or {}).get(naming.ANNOTATION_ADOPT) == "true":
                    adopted.append(item)  # the operator will adopt it soon
                elif places.conflict(item):
                    found.append(item)
    known = [f"{item} " for item in (*found, *adopted)]
    others = [message for message in messages if not any(name in message for name in known)]
    return Conflicts(template, annotated, found, others)


def _conflicting(item: StoredObject) -> bool:
    return str(item.ready.get("reason")) == reasons.CONFLICT


class _Places:
    """Where the outputs of conflicting groups and preferences belong."""

    def __init__(
        self, template: StoredObject, groups: list[RenderedGroup], preferences: list[StoredPreference]
    ) -> None:
        self._template = template.name
        self._preferences = {(p.namespace, p.name) for p in preferences}
        self._targets: dict[str, set[str]] = {}
        self._recorded: dict[str, set[str]] = {}
        spec = {group["name"]: group for group in template.spec.get("groups") or ()}
        for group in groups:
            outputs: list[Body] = group.status.get("outputs") or []
            target = spec.get(group.group, {}).get("targetNamespace") or template.namespace
            self._targets[group.group] = {entry["namespace"] for entry in outputs} | {target}
            self._recorded[group.group] = {entry["uid"] for entry in outputs if "uid" in entry}
        own = {namespace for namespace, _ in self._preferences}
        self.namespaces = own.union(*self._targets.values())

    def output(self, item: StoredObject) -> bool:
        """Whether an output of the template has this name."""
        return self._origin(item) is not None

    def conflict(self, item: StoredObject) -> bool:
        """Whether it is not recorded as the operator's own, at the place of a conflicting output."""
        origin = self._origin(item)
        if origin is not None and origin.preference is not None:
            return (item.namespace, origin.preference) in self._preferences
        recorded = item.meta["uid"] in self._recorded.get(_group(item), ())
        return item.namespace in self._targets.get(_group(item), ()) and not recorded

    def _origin(self, item: StoredObject) -> Any:
        return place(Ref(item.kind, item.namespace, item.name), self._template, _group(item))


def _group(item: StoredObject) -> str:
    return str((item.meta.get("labels") or {}).get(naming.LABEL_GROUP, ""))
