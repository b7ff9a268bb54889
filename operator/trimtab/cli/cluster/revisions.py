"""A group's revisions: listed in its RenderedGroup, their content in ControllerRevisions.

Encrypted content is not read: sensitive values are compared by digests (:mod:`trimtab.core.resolve.redaction`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trimtab.cli.cluster.connection import Cluster
from trimtab.cli.cluster.objects import Body, StoredObject, meant
from trimtab.cli.errors import Failure
from trimtab.core import naming
from trimtab.core.policy.fit import fitted
from trimtab.core.resolve import redaction
from trimtab.core.resolve.diff import Contents
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.violations import RejectedError
from trimtab.kube import errors
from trimtab.kube.resources import CONFIG_TEMPLATES, CONTROLLER_REVISIONS, RENDERED_GROUPS

Entry = dict[str, Any]
"""One revision in a RenderedGroup's list."""


@dataclass(frozen=True, slots=True)
class RenderedGroup(StoredObject):
    """A group as the cluster has it."""

    kind: str = RENDERED_GROUPS.kind

    @property
    def template(self) -> str:
        return str((self.spec.get("templateRef") or {}).get("name"))

    @property
    def group(self) -> str:
        return str(self.spec.get("group"))

    def is_of(self, template: str) -> bool:
        """Whether it is the operator's object for a group of the template; copies have other names."""
        return self.template == template and self.name == naming.group_object(template, self.group)

    @property
    def entries(self) -> list[Entry]:
        """Its revisions, the newest first."""
        return sorted(self.status.get("revisions") or (), key=lambda entry: -int(entry["number"]))

    @property
    def numbers(self) -> list[int]:
        return [int(entry["number"]) for entry in self.entries]

    @property
    def current(self) -> int:
        return int(self.status.get("currentRevision") or 0)

    @property
    def stable(self) -> int:
        return int(self.status.get("stableRevision") or 0)

    @property
    def share(self) -> Body:
        """The users on another revision: revision, percent; or empty."""
        return self.status.get("share") or {}

    def entry(self, number: int) -> Entry:
        """:raises Failure: it has no such revision."""
        found = next((entry for entry in self.entries if int(entry["number"]) == number), None)
        if found is None:
            known = ", ".join(map(str, self.numbers)) or "none"
            raise Failure(f"{self} has no revision {number}; it has {known}")
        return found

    def marks(self, number: int) -> list[str]:
        """What a revision is: current, stable, a share of the users."""
        found = {"current": self.current, "stable": self.stable}
        found[f"{self.share.get('percent')}% of users"] = self.share.get("revision", -1)
        return [mark for mark, marked in found.items() if marked == number]

    @property
    def about(self) -> Body:
        """Its template and group, for programs."""
        return {"template": {"namespace": self.namespace, "name": self.template}, "group": self.group}

    def __str__(self) -> str:
        return f"group {self.group} of {self.namespace}/{self.template}"


@dataclass(frozen=True, slots=True)
class Data:
    """A revision's content as stored: the ``data`` of its template's snapshot, and of its policies' by name."""

    number: int
    template: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision's content, redacted. ``blind``: some of its sensitive values have no digest."""

    number: int
    contents: Contents
    blind: bool

    @classmethod
    def of(cls, data: Data, *, blind: bool = False) -> Revision:
        """:raises Failure: another version of Trimtab wrote it, or another client."""
        try:
            template = redaction.template(data.template, blind=blind)
            policies = {name: redaction.policy(held, blind=blind) for name, held in data.policies.items()}
        except redaction.UnreadableError as error:
            raise Failure(f"revision {data.number} cannot be read: {error}") from None
        contents = Contents(template.content, {name: held.content for name, held in policies.items()})
        return cls(data.number, contents, template.blind or any(held.blind for held in policies.values()))

    def view(self, template: str, group: str) -> GroupView:
        """The group's values and their layers; a sensitive value is its digest.

        :raises Failure: the content does not compile, or has no such group.
        """
        try:
            schema = compile_template(
                template, redaction.compilable(self.contents.template, blind=self.blind)
            )
            kinds = redaction.sensitive(self.contents.template)
            found = [
                fitted(name, redaction.compilable_policy(content, kinds), schema)[0]
                for name, content in self.contents.policies.items()
            ]
            return group_view(schema, group, [policy for policy in found if policy is not None])
        except RejectedError as error:
            raise Failure(f"revision {self.number} does not compile in this version: {error}") from None
        except (ValueError, KeyError) as error:
            raise Failure(f"revision {self.number} cannot be read: {type(error).__name__}") from None


async def groups(cluster: Cluster, template: str) -> list[RenderedGroup]:
    """The template's groups by name. :raises Failure: there is no such template, or it has no groups yet."""
    namespace = cluster.namespace
    listed, _ = await cluster.listed(RENDERED_GROUPS, namespace, f"{naming.LABEL_TEMPLATE}={template}")
    found = [group for group in map(RenderedGroup, listed) if group.is_of(template)]
    if found:
        return sorted(found, key=lambda group: group.group)
    if await cluster.get(CONFIG_TEMPLATES, namespace, template) is None:
        raise await cluster.missing(CONFIG_TEMPLATES, namespace, template)
    reason = f"`trimtab status {template} -n {namespace}` shows why"
    raise Failure(f"{namespace}/{template} has no revision yet; {reason}")


async def group(cluster: Cluster, template: str, name: str) -> RenderedGroup:
    """One group. :raises Failure: there is none."""
    body = await cluster.get(RENDERED_GROUPS, cluster.namespace, naming.group_object(template, name))
    found = RenderedGroup(body or {})
    if body is not None and (found.template, found.group) == (template, name):
        return found
    known = [group.group for group in await groups(cluster, template)]
    names = f"it has {', '.join(known)}"
    raise Failure(f"{cluster.namespace}/{template} has no group {name}; {meant(name, known, names)}")


class MissingError(LookupError):
    """A revision's content was deleted."""


async def content(cluster: Cluster, group: RenderedGroup, number: int) -> Data:
    """One revision's content. :raises Failure: there is no such revision, or its content cannot be read."""
    try:
        return await stored(cluster, group, number)
    except MissingError as error:
        raise Failure(str(error)) from None
    except errors.ForbiddenError as error:
        where = f"revisions are kept in ControllerRevisions of namespace {group.namespace}"
        raise Failure(f"{error.message}; {where}: request the verb get on them") from None


async def stored(cluster: Cluster, group: RenderedGroup, number: int) -> Data:
    """One revision's content.

    :raises MissingError: it was deleted.
    :raises trimtab.kube.errors.ForbiddenError: the requester may not read it.
    """

    async def data(name: str) -> Mapping[str, Any]:
        body = await cluster.get(CONTROLLER_REVISIONS, group.namespace, name)
        if body is None:
            raise MissingError(f"revision {number} of {group}: ControllerRevision {name} does not exist")
        return body.get("data") or {}

    entry = group.entry(number)
    template = await data(str(entry.get("snapshot")))
    policies = {str(ref["name"]): await data(str(ref["snapshot"])) for ref in entry.get("policies") or ()}
    return Data(number, template, policies)
