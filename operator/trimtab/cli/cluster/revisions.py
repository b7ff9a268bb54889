"""A group's revisions as the cluster keeps them: the list on its RenderedGroup, the content in ControllerRevisions.

Nobody here can open what is sealed: sensitive values are known by their digests alone
(:mod:`trimtab.core.resolve.redaction`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trimtab.cli.errors import Failure
from trimtab.core import naming
from trimtab.core.policy.fit import fitted
from trimtab.core.resolve import redaction
from trimtab.core.resolve.diff import Contents
from trimtab.core.resolve.resolve import GroupView, group_view
from trimtab.core.schema.template import compile_template
from trimtab.core.suggestion import nearest
from trimtab.core.violations import RejectedError
from trimtab.kube import errors
from trimtab.kube.resources import CONFIG_TEMPLATES, CONTROLLER_REVISIONS, RENDERED_GROUPS

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster

Body = dict[str, Any]
Entry = dict[str, Any]
"""One revision as a RenderedGroup lists it."""


@dataclass(frozen=True, slots=True)
class Served:
    """A group as its RenderedGroup tells it."""

    body: Body

    @property
    def namespace(self) -> str:
        return str(self.body["metadata"]["namespace"])

    @property
    def template(self) -> str:
        return str(self.body["spec"]["templateRef"]["name"])

    @property
    def group(self) -> str:
        return str(self.body["spec"]["group"])

    def is_of(self, template: str) -> bool:
        """Whether it is what the operator keeps of one of the template's groups; copies have other names."""
        spec = self.body.get("spec") or {}
        named = naming.group_object(template, str(spec.get("group")))
        return (spec.get("templateRef") or {}).get("name") == template and self.body["metadata"][
            "name"
        ] == named

    @property
    def status(self) -> Body:
        return self.body.get("status") or {}

    @property
    def entries(self) -> list[Entry]:
        """Its revisions, the newest first."""
        return sorted(self.status.get("revisions") or (), key=lambda entry: -int(entry["number"]))

    @property
    def current(self) -> int:
        return int(self.status.get("currentRevision") or 0)

    @property
    def stable(self) -> int:
        return int(self.status.get("stableRevision") or 0)

    @property
    def share(self) -> Body:
        """The users who are on another revision: revision, percent; or empty."""
        return self.status.get("share") or {}

    def entry(self, number: int) -> Entry:
        """:raises Failure: it has no such revision."""
        found = next((entry for entry in self.entries if int(entry["number"]) == number), None)
        if found is None:
            known = ", ".join(str(entry["number"]) for entry in self.entries) or "none"
            raise Failure(f"{self} has no revision {number}; it has {known}")
        return found

    def marks(self, number: int) -> list[str]:
        """What is special about a revision: current, stable, a share of the users."""
        made = ["current"] if number == self.current else []
        made += ["stable"] if number == self.stable else []
        return made + (
            [f"{self.share.get('percent')}% of users"] if number == self.share.get("revision") else []
        )

    def __str__(self) -> str:
        return f"group {self.group} of {self.namespace}/{self.template}"


@dataclass(frozen=True, slots=True)
class Data:
    """A revision's content as it is stored: the ``data`` of its template's snapshot, and of its policies' by name."""

    number: int
    template: Mapping[str, Any]
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision's content, masked. ``blind``: of some of its sensitive values nothing is known."""

    number: int
    contents: Contents
    blind: bool

    @classmethod
    def of(cls, data: Data, *, blind: bool = False) -> Revision:
        """:raises Failure: it is not as this version of Trimtab writes it."""
        try:
            template = redaction.template(data.template, blind=blind)
            policies = {name: redaction.policy(held, blind=blind) for name, held in data.policies.items()}
        except redaction.UnreadableError as error:
            raise Failure(f"revision {data.number} cannot be read: {error}") from None
        contents = Contents(template.content, {name: held.content for name, held in policies.items()})
        return cls(data.number, contents, template.blind or any(held.blind for held in policies.values()))

    def view(self, template: str, group: str) -> GroupView:
        """The group's values and who set them; each sensitive one stands as its digest.

        :raises Failure: it does not compile, or has no such group.
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


async def groups(cluster: Cluster, namespace: str, template: str) -> list[Served]:
    """The template's groups by name. :raises Failure: there is no such template."""
    selector = f"{naming.LABEL_TEMPLATE}={template}"
    listed, _ = await cluster.listed(RENDERED_GROUPS, namespace, selector)
    found = [served for served in map(Served, listed) if served.is_of(template)]
    if not found:
        raise Failure(await _no_groups(cluster, namespace, template))
    return sorted(found, key=lambda served: served.group)


async def _no_groups(cluster: Cluster, namespace: str, template: str) -> str:
    if await cluster.get(CONFIG_TEMPLATES, namespace, template) is not None:
        return (
            f"{namespace}/{template} has no revision yet; `trimtab status {template} -n {namespace}` says why"
        )
    names = [
        body["metadata"]["name"] async for body in cluster.each(CONFIG_TEMPLATES, dict[str, Any], namespace)
    ]
    hint = nearest(template, names) or ", ".join(sorted(names)[:5])
    more = f"there is {hint}" if hint else "-n names another namespace"
    return f"there is no ConfigTemplate {template} in namespace {namespace}; {more}"


async def group(cluster: Cluster, namespace: str, template: str, name: str) -> Served:
    """One group. :raises Failure: there is none."""
    body = await cluster.get(RENDERED_GROUPS, namespace, naming.group_object(template, name))
    spec = (body or {}).get("spec") or {}
    if body is not None and (spec.get("templateRef", {}).get("name"), spec.get("group")) == (template, name):
        return Served(body)
    known = [served.group for served in await groups(cluster, namespace, template)]
    hint = nearest(name, known)
    told = f"did you mean {hint}?" if hint else f"it has {', '.join(known)}"
    raise Failure(f"{namespace}/{template} has no group {name}; {told}")


class MissingError(LookupError):
    """A revision's content is not there any more."""


async def content(cluster: Cluster, served: Served, number: int) -> Data:
    """One revision's content. :raises Failure: the group has none of that number, or it cannot be had."""
    try:
        return await fetched(cluster, served, number)
    except MissingError as error:
        raise Failure(str(error)) from None
    except errors.ForbiddenError as error:
        where = f"revisions are kept in ControllerRevisions of namespace {served.namespace}"
        raise Failure(f"{error.message}; {where}: ask for the verb get on them") from None


async def fetched(cluster: Cluster, served: Served, number: int) -> Data:
    """The same for who can do without it.

    :raises MissingError: it is gone.
    :raises trimtab.kube.errors.ForbiddenError: it may not be read.
    """

    async def data(name: str) -> Mapping[str, Any]:
        body = await cluster.get(CONTROLLER_REVISIONS, served.namespace, name)
        if body is None:
            raise MissingError(
                f"revision {number} of {served}: its content, ControllerRevision {name}, is gone"
            )
        held: Mapping[str, Any] = body.get("data") or {}
        return held

    entry = served.entry(number)
    template = await data(str(entry.get("snapshot")))
    policies = {str(ref["name"]): await data(str(ref["snapshot"])) for ref in entry.get("policies") or ()}
    return Data(number, template, policies)
