"""``trimtab explain``: each value of a user, its layer, what it shadows, and what was refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import typer

from trimtab.cli.cluster.connection import Cluster, with_cluster
from trimtab.cli.cluster.objects import absent, meant
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions, Output, Template, name
from trimtab.cli.output import Format, notes, say, show
from trimtab.cli.simulate.explanation import Explained, of_group, of_user
from trimtab.cli.simulate.files import examine
from trimtab.cli.simulate.gather import gather
from trimtab.cli.simulate.simulation import Simulation
from trimtab.cli.view.explanation import Explanation
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.kube.resources import CONFIG_TEMPLATES


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose values to explain."""

    template: Template
    user: Annotated[str | None, name("[USER]", "The user; or use --group.")] = None
    key: Annotated[str | None, name("[KEY]", "One key, in detail.")] = None
    group: Annotated[
        str | None, typer.Option(help="Explain the values of this group's users without a preference.")
    ] = None

    def checked(self) -> Subject:
        """The subject with either a user or a group. :raises Failure: both are named, or none is."""
        if self.user is None and self.group is None:
            raise Failure("name a USER, or --group GROUP for users without a preference", 2)
        if self.user is None or self.group is None:
            return self
        if self.key is not None:
            raise Failure("a USER cannot be combined with --group", 2)
        return replace(self, user=None, key=self.user)  # explain TEMPLATE KEY --group GROUP


class Source(NamedTuple):
    """A template with all that decides about its users, and remarks on what could not be read."""

    simulation: Simulation
    template: TemplateKey
    remarks: list[str]


def explain(
    subject: Subject,
    cluster: ClusterOptions,
    filename: Annotated[
        list[str] | None,
        typer.Option(
            "--filename", "-f", metavar="PATH", help="Work offline on these files instead of a cluster."
        ),
    ] = None,
    output: Output = Format.TABLE,
) -> None:
    """Explain which layer and object set each value of a user, what it shadows, and what was refused.

    It reads the cluster, or with -f only files. -n is the template's namespace (with -f by default: default); the
    user's preference may be in another namespace. Sensitive values are never shown.

    Examples:

        trimtab explain music-agent alice

        trimtab explain music-agent alice agent.temperature -n music

        trimtab explain music-agent --group free -f template.yaml

        trimtab explain music-agent alice -f config/ -n music -o json

    Exit code: 0 explained, 1 no such template, user, group or key, or refused by the cluster, 2 wrong usage.
    """
    subject = subject.checked()
    user, key, group = subject.user, subject.key, subject.group
    if filename and (cluster.kubeconfig is not None or cluster.context is not None):
        raise Failure("-f cannot be combined with --kubeconfig or --context", 2)
    if filename:
        source = _from_files(filename, subject.template, cluster.namespace or "default")
    else:
        source = with_cluster(cluster, lambda connected: _from_cluster(connected, subject.template, user))
    found = _user(source, str(user)) if group is None else _group(source, group)
    names = list(found.view.schema.keys) if key is None else [_key(found, key, grouped=group is not None)]
    show(Explanation(found, names, detailed=key is not None), output)
    notes(source.remarks)


def _from_files(paths: list[str], template: str, namespace: str) -> Source:
    done = examine(paths, namespace)
    for flaw in done.flaws:
        where = f"{flaw.place.source}:{flaw.spot.key_line}:{flaw.spot.key_column}"
        say(f"refused: {where}: {flaw.subject}: {flaw.violation}", stderr=True, style="red")
    named = [key for key in done.simulation.judged if key.name == template]
    here = TemplateKey(namespace, template)
    if here not in named and namespace == "default" and len(named) == 1:
        here = named[0]
    if here not in done.simulation.judged:
        known = sorted({str(key) for key in done.simulation.judged})
        raise Failure(absent("well-formed ConfigTemplate", str(here), "in the files", known))
    return Source(done.simulation, here, done.notes)


async def _from_cluster(cluster: Cluster, template: str, user: str | None) -> Source:
    body = await cluster.get(CONFIG_TEMPLATES, cluster.namespace, template)
    if body is None:
        raise await cluster.missing(CONFIG_TEMPLATES, cluster.namespace, template)
    simulation = Simulation()
    remarks = await gather(cluster, simulation, body, user)
    simulation.run()
    return Source(simulation, TemplateKey(cluster.namespace, template), remarks)


def _user(source: Source, user: str) -> Explained:
    simulation, template, _ = source
    claims = simulation.claimants(template, user)
    if not claims:
        others = sorted({p.user for p in simulation.preferences() if p.template == template})
        hint = meant(user, others, "")
        raise Failure(
            f"there is no preference of {template} for user {user}"
            + (f" ({hint})" if hint else "")
            + "; users without one have the group's values: use --group GROUP"
        )
    found = of_user(simulation, claims[0], tuple(claims[1:]))
    if found is None:
        message = simulation.verdict(claims[0])["message"] or "its group has no revision"
        raise Failure(f"{claims[0].namespace}/{claims[0].name}: {message}")
    return found


def _group(source: Source, group: str) -> Explained:
    simulation, template, _ = source
    found = of_group(simulation, GroupKey(*template, group))
    if found is not None:
        return found
    accepted = simulation.judged[template].accepted
    if accepted is None:
        raise Failure(f"{template} has no content: {simulation.template_verdict(template).message}")
    groups = list(accepted.schema.groups)
    names = f"it has {', '.join(groups) or 'none'}"
    raise Failure(f"{template} has no group {group}; {meant(group, groups, names)}")


def _key(found: Explained, key: str, *, grouped: bool) -> str:
    keys = found.view.schema.keys
    if key in keys:
        return key
    hint = meant(key, list(keys), "")
    if grouped and not hint:
        raise Failure(f"a USER cannot be combined with --group; {found.template} has no key {key}", 2)
    raise Failure(f"{found.template} has no key {key}" + (f"; {hint}" if hint else ""))
