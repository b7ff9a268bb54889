"""Reads what decides about one user of one template from a cluster into a simulation."""

from __future__ import annotations

from typing import Any

from trimtab.api import ConfigTemplateSpec
from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.simulate import assumed_namespaces
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


async def gather(cluster: Cluster, simulation: Simulation, template: Body, user: str | None) -> list[str]:
    """Put what decides into the simulation; remarks on what could not be read."""
    return await _Gathering(cluster, simulation, template).run(user)


class _Gathering:
    def __init__(self, cluster: Cluster, simulation: Simulation, template: Body) -> None:
        self._cluster = cluster
        self._simulation = simulation
        self._template = template
        self._spec: Body = template.get("spec") or {}
        self._home, self._name = template["metadata"]["namespace"], template["metadata"]["name"]
        self._notes: dict[str, None] = {}

    def _note(self, text: str) -> None:
        self._notes[text] = None

    async def run(self, user: str | None) -> list[str]:
        simulation = self._simulation
        simulation.live = True
        await self._templates()
        try:
            simulation.pinned = self._spec.get("strategy") is not None
            await self._revisions()
            simulation.seen = True
        except errors.ForbiddenError:
            self._note(
                f"you may not list RenderedGroups in {self._home}: the revisions of a refused template are unknown"
            )
        preferences = await self._claims(user) if user is not None else {}
        await self._namespaces({namespace for namespace, _ in preferences})
        for body in preferences.values():
            simulation.put(USER_PREFERENCES, body)
        return list(self._notes)

    async def _templates(self) -> None:
        """The template, and those with outputs of the same names."""
        names = _object_names(self._template)
        self._simulation.put(CONFIG_TEMPLATES, self._template)
        try:
            async for body in self._cluster.each(CONFIG_TEMPLATES, dict[str, Any]):
                other = body["metadata"].get("uid") != self._template["metadata"].get("uid")
                if other and names & _object_names(body):
                    self._simulation.put(CONFIG_TEMPLATES, body)
        except errors.ForbiddenError:
            self._note("you may not list ConfigTemplates of all namespaces: name collisions were not checked")

    async def _revisions(self) -> None:
        """The revisions of the groups, which are in effect while the template's present spec is refused."""
        snapshots: set[str] = set()
        for body in await self._cluster.all(RENDERED_GROUPS, self._home):
            if body.get("spec", {}).get("templateRef", {}).get("name") != self._name:
                continue
            self._simulation.put(RENDERED_GROUPS, body)
            status = body.get("status", {})
            for revision in status.get("revisions") or ():
                if revision.get("number") == status.get("currentRevision"):
                    policies = revision.get("policies") or ()
                    snapshots |= {revision["snapshot"], *(policy["snapshot"] for policy in policies)}
                    self._simulation.pinned = self._simulation.pinned or bool(policies)
            share = status.get("share")
            if share:
                self._note(
                    f"{share.get('percent')}% of the users of group {body['spec'].get('group')} are on revision "
                    f"{share.get('revision')}; only the operator knows which, so this is about all other users"
                )
        await self._snapshots(sorted(snapshots))

    async def _snapshots(self, names: list[str]) -> None:
        kinds = redaction.sensitive(self._spec)
        for name in names:
            try:
                found = await self._cluster.get(CONTROLLER_REVISIONS, self._home, name)
            except errors.ForbiddenError:
                continue
            if found is not None:
                data = found.get("data") or {}
                self._simulation.sealed = self._simulation.sealed or "sealed" in data
                self._simulation.put(CONTROLLER_REVISIONS, {**found, "data": _readable(data, kinds)})

    async def _claims(self, user: str) -> dict[tuple[str, str], Body]:
        """The preferences that claim the user, and all of their group if it has a limit."""
        found: dict[tuple[str, str], Body] = {}
        for field in ("spec.user", "metadata.name"):
            found |= await self._preferences(field, user)
        limited = {group.get("name", "") for group in _groups(self._template) if _has_limit(group)}
        for group in {body["spec"].get("group") for body in found.values()} & limited:
            found |= await self._preferences("spec.group", group)
        return found

    async def _preferences(self, field: str, value: str) -> dict[tuple[str, str], Body]:
        """The template's preferences by namespace and name, at least those with this field."""
        fields = {"spec.templateRef.name": self._name, field: value}
        try:
            listed = await self._cluster.matching(USER_PREFERENCES, fields)
        except errors.InvalidError:  # an API server before 1.31 cannot select by fields of the spec
            listed = await self._cluster.all(USER_PREFERENCES)
        except errors.ForbiddenError as refused:
            listed = await self._nearby(refused)
        found = {(body["metadata"]["namespace"], body["metadata"]["name"]): body for body in listed}
        return {place: body for place, body in found.items() if self._is_own(body, place[0])}

    def _is_own(self, preference: Body, namespace: str) -> bool:
        reference = preference.get("spec", {}).get("templateRef", {})
        template = (reference.get("namespace") or namespace, reference.get("name"))
        return template == (self._home, self._name)

    async def _nearby(self, refused: errors.ForbiddenError) -> list[Body]:
        """The preferences of the template's and the context's namespace, as far as they may be listed."""
        found: list[Body] = []
        readable = []
        for namespace in sorted({self._home, self._cluster.own}):
            try:
                found += await self._cluster.all(USER_PREFERENCES, namespace)
                readable.append(namespace)
            except errors.ForbiddenError:
                continue
        if not readable:
            raise refused
        where = " and ".join(readable)
        self._note(f"you may not list UserPreferences of all namespaces: only those in {where} were read")
        return found

    async def _namespaces(self, homes: set[str]) -> None:
        try:
            spec = ConfigTemplateSpec.model_validate(self._spec)
            targets = {group.target_namespace for group in spec.groups if group.target_namespace}
        except ValueError:
            targets = set()
        unknown = set()
        for name in sorted(homes | targets):
            try:
                found = await self._cluster.get(NAMESPACES, None, name)
            except errors.ForbiddenError:
                unknown.add(name)
                continue
            if found is not None:
                self._simulation.put(NAMESPACES, found)
        if unknown:
            names = ", ".join(sorted(unknown))
            self._note(f"you may not read the namespaces {names}: whether groups allow them was not checked")
            for body in assumed_namespaces.anything(self._template, unknown):
                self._simulation.put(NAMESPACES, body)


def _groups(template: Body) -> list[Body]:
    found = template.get("spec", {}).get("groups")
    return [group for group in found or [] if isinstance(group, dict)]


def _has_limit(group: Body) -> bool:
    return group.get("maxUsers") is not None


def _object_names(template: Body) -> set[str]:
    name = template["metadata"]["name"]
    return {naming.group_object(name, group.get("name", "")) for group in _groups(template)}


def _readable(data: Body, kinds: dict[str, str]) -> Body:
    """A snapshot's data with placeholders for encrypted values, so that it compiles without the key."""
    try:
        if "spec" in data:
            known = redaction.template(data)
            spec = redaction.compilable(known.content, blind=known.blind)
            return {"spec": spec.model_dump(by_alias=True, exclude_none=True)}
        policy = redaction.compilable_policy(redaction.policy(data).content, kinds)
        return {"policy": policy.model_dump(by_alias=True, exclude_none=True)}
    except (redaction.UnreadableError, ValueError):
        return {}
