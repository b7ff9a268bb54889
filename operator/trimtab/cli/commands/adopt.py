"""``trimtab adopt``: let Trimtab take over what stands in a template's places, as after a loss of its keys."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterNamespace, Context, Kubeconfig, Output
from trimtab.cli.view.output import Format, plain, print_table, row, say, show, table

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster

Body = dict[str, Any]
Groups = dict[str, tuple[set[str], set[str]]]
"""The groups that say Conflict: their target namespaces, and the uids that status records"""


def adopt(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The ConfigTemplate's name.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Annotate them. Default: only show them.")] = False,
    namespace: ClusterNamespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    output: Output = Format.TABLE,
) -> None:
    """Let Trimtab take over objects with the template's labels that stand in the places of its outputs.

    It is for objects that Trimtab made and cannot prove to have made: after a loss of its keys, say. Of groups and
    preferences whose reason is Conflict it shows the objects in their way, and with --yes annotates them
    `trimtab.dev/adopt: "true"`. Within about 15 s the operator replaces all that is in them. The annotation lasts, and
    while it stands the RenderedGroup's status says `adopted`: take it off afterwards.

    An object without the template's labels is another's: delete or rename it, or annotate it by hand.

    Examples:

        trimtab adopt music-agent -n music

        trimtab adopt music-agent -n music --yes

        kubectl annotate configmap,secret -n music -l trimtab.dev/template=music-agent trimtab.dev/adopt-

    Exit code: 0 shown or done, 1 not found, or the cluster refused, 2 wrong usage.
    """
    from trimtab.cli.cluster.connection import Target, with_cluster

    async def work(cluster: Cluster) -> tuple[list[Body], list[str]]:
        conflicts: list[str] = []
        there = _in_the_way(cluster, namespace or cluster.namespace, template, conflicts)
        found = [body async for body in there]
        for body in found if yes else ():
            await _annotate(cluster, body)
        return found, conflicts

    found, conflicts = with_cluster(Target(kubeconfig, context), work)
    listed = [_reference(body) for body in found]
    names = [f"{body['kind']} {body['namespace']}/{body['name']} " for body in listed]
    others = [said for said in conflicts if not any(name in said for name in names)]
    shown = {"adopted": yes, "objects": listed, "otherConflicts": others}
    show(shown, output, lambda: _people(listed, others, template, yes=yes))


async def _in_the_way(
    cluster: Cluster, home: str, template: str, conflicts: list[str]
) -> AsyncIterator[Body]:
    """The objects to take over; ``conflicts`` gets what groups and preferences say of what is in their way.

    :raises Failure: there is no such template.
    """
    from trimtab.core import naming
    from trimtab.core.refs import Ref
    from trimtab.core.render.origin import place
    from trimtab.kube.resources import CONFIG_TEMPLATES, OUTPUTS

    item = await cluster.get(CONFIG_TEMPLATES, home, template)
    if item is None:
        raise Failure(f"there is no ConfigTemplate {home}/{template}; choose another --namespace")
    groups = await _groups(cluster, item, conflicts)
    preferences = {where async for where in _preferences(cluster, home, template, conflicts)}
    namespaces = {name for targets, _ in groups.values() for name in targets} | {ns for ns, _ in preferences}
    labels = {naming.LABEL_TEMPLATE: template, naming.LABEL_TEMPLATE_NAMESPACE: home}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    for namespace in sorted(namespaces):
        for kind, resource in OUTPUTS.items():
            for body in (await cluster.listed(resource, namespace, selector))[0]:
                meta = body["metadata"]
                group = (meta.get("labels") or {}).get(naming.LABEL_GROUP, "")
                found = place(Ref(kind, namespace, meta["name"]), template, group)
                if found is None:
                    continue
                if (meta.get("annotations") or {}).get(naming.ANNOTATION_ADOPT) == "true":
                    taken = f"{kind} {namespace}/{meta['name']} "  # by the operator, before long
                    conflicts[:] = [said for said in conflicts if taken not in said]
                    continue
                targets, recorded = groups.get(group, (set(), set()))
                stands = namespace in targets and meta["uid"] not in recorded
                if found.preference is not None:
                    stands = (namespace, found.preference) in preferences
                if stands:
                    yield {**body, "kind": kind}


async def _groups(cluster: Cluster, template: Body, conflicts: list[str]) -> Groups:
    from trimtab.kube.resources import RENDERED_GROUPS

    home, name = template["metadata"]["namespace"], template["metadata"]["name"]
    targets = {g["name"]: g.get("targetNamespace") or home for g in template["spec"].get("groups") or ()}
    found: Groups = {}
    async for body in cluster.each(RENDERED_GROUPS, dict[str, Any], home):
        spec, status = body["spec"], body.get("status") or {}
        if spec["templateRef"]["name"] == name and _conflicts(body):
            outputs = status.get("outputs") or ()
            where = {entry["namespace"] for entry in outputs} | {targets.get(spec["group"], home)}
            conflicts += _told(f"group {spec['group']}", body)
            found[spec["group"]] = where, {entry["uid"] for entry in outputs if "uid" in entry}
    return found


async def _preferences(
    cluster: Cluster, home: str, template: str, conflicts: list[str]
) -> AsyncIterator[tuple[str, str]]:
    """Preferences of the template whose user's own object cannot be written."""
    from trimtab.kube.resources import USER_PREFERENCES

    async for body in cluster.each(USER_PREFERENCES, dict[str, Any]):
        meta, reference = body["metadata"], body["spec"].get("templateRef") or {}
        wanted = (reference.get("namespace") or meta["namespace"], reference.get("name"))
        if wanted == (home, template) and _conflicts(body):
            conflicts += _told(f"UserPreference {meta['namespace']}/{meta['name']}", body)
            yield meta["namespace"], meta["name"]


def _conflicts(body: Body) -> bool:
    from trimtab.core import reasons

    return str(_ready(body).get("reason")) == reasons.CONFLICT


def _told(of: str, body: Body) -> list[str]:
    message = _ready(body).get("message")
    return [f"{of}: {message}"] if message else []


def _ready(body: Body) -> Body:
    conditions: Iterator[Body] = iter((body.get("status") or {}).get("conditions") or ())
    return next((c for c in conditions if c.get("type") == "Ready"), {})


async def _annotate(cluster: Cluster, body: Body) -> None:
    from trimtab.core import naming
    from trimtab.kube.resources import OUTPUTS

    notes = {**(body["metadata"].get("annotations") or {}), naming.ANNOTATION_ADOPT: "true"}
    await cluster.patch(
        OUTPUTS[body["kind"]], body, [{"op": "add", "path": "/metadata/annotations", "value": notes}]
    )


def _reference(body: Body) -> Body:
    meta = body["metadata"]
    return {"kind": body["kind"], "namespace": meta["namespace"], "name": meta["name"]}


def _people(listed: list[Body], others: list[str], template: str, *, yes: bool) -> None:
    if listed:
        _table(listed, yes=yes)
    elif not others:
        say(f"nothing is in the way of the outputs of {template}", style="green")
    if others:
        say(
            f"in the way, and not shown to be of {template} by its labels; rename, delete or annotate it by hand:"
        )
    for said in others:
        say(f"  {said}", style="red")


def _table(listed: list[Body], *, yes: bool) -> None:
    made = table("NAMESPACE", "KIND", "NAME")
    for entry in listed:
        row(made, plain(entry["namespace"]), entry["kind"], plain(entry["name"]))
    print_table(made)
    if yes:
        say(
            "annotated; the operator takes them over within about 15 s. Take trimtab.dev/adopt off afterwards"
        )
    else:
        say("Trimtab would replace all that is in them; --yes annotates them so")
