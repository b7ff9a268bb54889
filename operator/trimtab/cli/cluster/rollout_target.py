"""What verbs about rollouts are asked for: which rollout, of which kind, where; and how they get at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Optional

import typer

from trimtab.cli.cluster.rollout_reference import Kind, Reference

if TYPE_CHECKING:
    from trimtab.cli.cluster.connection import Cluster, Target
    from trimtab.cli.cluster.rollout_reference import Found
    from trimtab.cli.view.progress import Progress

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="policyrollout/NAME, configtemplate/NAME (or prollout/, ctmpl/), or the name alone.",
    ),
]
KindOption = Annotated[
    Optional[Kind],  # noqa: UP045 - typer reads it at run time
    typer.Option("--kind", help="Which kind NAME is of, where both have one."),
]


class Asked(NamedTuple):
    """What somebody asked for."""

    target: Target
    reference: Reference
    namespace: str | None


def asked(name: str, kind: Kind | None, namespace: str | None, kubeconfig: Any, context: str | None) -> Asked:
    """The arguments of a verb as one. :raises Failure: NAME names no rollout."""
    from trimtab.cli.cluster.connection import Target

    return Asked(Target(kubeconfig, context), Reference.parse(name, kind), namespace)


async def find(cluster: Cluster, wanted: Asked) -> Found:
    """The rollout. :raises Failure: there is none, or one of each kind."""
    from trimtab.cli.cluster import rollout_reference

    return await rollout_reference.find(cluster, wanted.namespace or cluster.namespace, wanted.reference)


def read(wanted: Asked) -> Progress:
    """The rollout as it stands. :raises Failure: there is none, or the cluster refused."""
    from trimtab.cli.cluster.connection import with_cluster
    from trimtab.cli.view.progress import Progress

    async def work(cluster: Cluster) -> Progress:
        return Progress.of(await find(cluster, wanted))

    return with_cluster(wanted.target, work)
