"""A cluster's objects for a trial: just those that decide about one user of one template."""

from __future__ import annotations

from typing import Any

from trimtab.api import ConfigTemplateSpec
from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.simulate.simulation import Simulation
from trimtab.core import naming
from trimtab.core.resolve import redaction
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    NAMESPACES,
    RENDERED_GROUPS,
    USER_PREFERENCES,
)

_Any = dict[str, Any]


async def gather(cluster: Cluster, simulation: Simulation, template: Body, user: str | None) -> list[str]:
    """Put what the cluster holds into the trial; notes on what could not be read."""
    notes: list[str] = []
    simulation.live = True
    meta = template["metadata"]
    home, name = meta["namespace"], meta["name"]
    await _rivals(cluster, simulation, template, notes)
    try:
        simulation.pinned = template.get("spec", {}).get("strategy") is not None
        await _served(cluster, simulation, template, notes)
        simulation.seen = True
    except errors.ForbiddenError:
        notes.append(
            f"you may not list RenderedGroups in {home}: a refused template's served revision is not known"
        )
    preferences: dict[tuple[str, str], Body] = {}

    def keep(found: list[Body]) -> None:
        for body in found:
            place = body["metadata"]["namespace"], body["metadata"]["name"]
            reference = body.get("spec", {}).get("templateRef", {})
            if (reference.get("namespace") or place[0], reference.get("name")) == (home, name):
                preferences[place] = body

    if user is not None:
        keep(await _preferences(cluster, home, {"spec.templateRef.name": name, "spec.user": user}, notes))
        keep(await _preferences(cluster, home, {"spec.templateRef.name": name, "metadata.name": user}, notes))
        for group in {body["spec"].get("group") for body in preferences.values()} & _limited(template):
            keep(
                await _preferences(cluster, home, {"spec.templateRef.name": name, "spec.group": group}, notes)
            )
    await _namespaces(cluster, simulation, template, {place[0] for place in preferences}, notes)
    for body in preferences.values():
        simulation.put(USER_PREFERENCES, body)
    return list(dict.fromkeys(notes))


def _groups(template: Body) -> list[_Any]:
    found = template.get("spec", {}).get("groups")
    return [group for group in found or [] if isinstance(group, dict)]


def _limited(template: Body) -> set[str]:
    """Groups for which it matters who else is in them."""
    return {group.get("name", "") for group in _groups(template) if group.get("maxUsers") is not None}


async def _rivals(cluster: Cluster, simulation: Simulation, template: Body, notes: list[str]) -> None:
    """The template and those whose outputs might be called the same."""
    mine = _object_names(template)
    simulation.put(CONFIG_TEMPLATES, template)
    try:
        async for body in cluster.each(CONFIG_TEMPLATES, dict[str, Any]):
            if body["metadata"].get("uid") != template["metadata"].get("uid") and mine & _object_names(body):
                simulation.put(CONFIG_TEMPLATES, body)
    except errors.ForbiddenError:
        notes.append(
            "you may not list ConfigTemplates of all namespaces: collisions of names were not checked"
        )


def _object_names(template: Body) -> set[str]:
    return {
        naming.group_object(template["metadata"]["name"], group.get("name", ""))
        for group in _groups(template)
    }


async def _served(cluster: Cluster, simulation: Simulation, template: Body, notes: list[str]) -> None:
    """What the groups serve: it counts while the template's present spec is refused."""
    home, name = template["metadata"]["namespace"], template["metadata"]["name"]
    wanted: set[str] = set()
    async for body in cluster.each(RENDERED_GROUPS, dict[str, Any], home):
        if body.get("spec", {}).get("templateRef", {}).get("name") != name:
            continue
        simulation.put(RENDERED_GROUPS, body)
        status = body.get("status", {})
        for revision in status.get("revisions") or ():
            if revision.get("number") == status.get("currentRevision"):
                policies = revision.get("policies") or ()
                wanted |= {revision["snapshot"], *(policy["snapshot"] for policy in policies)}
                simulation.pinned = simulation.pinned or bool(policies)
        share = status.get("share")
        if share:
            notes.append(
                f"{share.get('percent')}% of the users of group {body['spec'].get('group')} are on revision "
                f"{share.get('revision')} already; who they are only Trimtab knows, so this is about all others"
            )
    kinds = redaction.sensitive(template.get("spec") or {})
    for snapshot in sorted(wanted):
        try:
            found = await cluster.get(CONTROLLER_REVISIONS, home, snapshot)
        except errors.ForbiddenError:
            continue
        if found is not None:
            data = found.get("data") or {}
            simulation.sealed = simulation.sealed or "sealed" in data
            simulation.put(CONTROLLER_REVISIONS, {**found, "data": _readable(data, kinds)})


def _readable(data: _Any, kinds: dict[str, str]) -> _Any:
    """A snapshot's data with something in the place of what is sealed, so that it compiles without the key."""
    try:
        if "spec" in data:
            known = redaction.template(data)
            spec = redaction.compilable(known.content, blind=known.blind)
            return {"spec": spec.model_dump(by_alias=True, exclude_none=True)}
        policy = redaction.compilable_policy(redaction.policy(data).content, kinds)
        return {"policy": policy.model_dump(by_alias=True, exclude_none=True)}
    except (redaction.UnreadableError, ValueError):
        return {}


async def _preferences(cluster: Cluster, home: str, fields: dict[str, str], notes: list[str]) -> list[Body]:
    try:
        return await cluster.matching(USER_PREFERENCES, fields)
    except errors.InvalidError:  # an API server before 1.31 cannot select by fields of the spec
        return [body async for body in cluster.each(USER_PREFERENCES, dict[str, Any])]
    except errors.ForbiddenError as refused:
        return await _nearby(cluster, sorted({home, cluster.namespace}), refused, notes)


async def _nearby(
    cluster: Cluster, namespaces: list[str], refused: errors.ForbiddenError, notes: list[str]
) -> list[Body]:
    """The preferences of those namespaces where they may be listed."""
    found: list[Body] = []
    readable = []
    for namespace in namespaces:
        try:
            found += [body async for body in cluster.each(USER_PREFERENCES, dict[str, Any], namespace)]
            readable.append(namespace)
        except errors.ForbiddenError:
            continue
    if not readable:
        raise refused
    notes.append(
        f"you may not list UserPreferences of all namespaces: only those in {' and '.join(readable)} were looked at"
    )
    return found


async def _namespaces(
    cluster: Cluster, simulation: Simulation, template: Body, homes: set[str], notes: list[str]
) -> None:
    from trimtab.cli.simulate import assumed_namespaces

    try:
        spec = ConfigTemplateSpec.model_validate(template.get("spec", {}))
        targets = {group.target_namespace for group in spec.groups if group.target_namespace}
    except ValueError:
        targets = set()
    unknown = set()
    for name in sorted(homes | targets):
        try:
            found = await cluster.get(NAMESPACES, None, name)
        except errors.ForbiddenError:
            unknown.add(name)
            continue
        if found is not None:
            simulation.put(NAMESPACES, found)
    if unknown:
        notes.append(
            f"you may not read the namespaces {', '.join(sorted(unknown))}: whether they are let in was not checked"
        )
        for body in assumed_namespaces.anything(template, unknown):
            simulation.put(NAMESPACES, body)
