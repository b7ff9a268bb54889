"""``trimtab crds``: the CustomResourceDefinitions of this version, and the admission policies beside them."""

from __future__ import annotations

from typing import Annotated

import typer


def crds(
    admission: Annotated[
        bool,
        typer.Option(
            "--admission",
            help="The admission policies instead: who may act on a rollout, who may join a group.",
        ),
    ] = False,
) -> None:
    """Print the CRDs of this version as YAML, or with --admission its ValidatingAdmissionPolicies.

    Example:

        trimtab crds | kubectl apply --server-side -f -

        trimtab crds --admission | kubectl apply --server-side -f -
    """
    if admission:
        from trimtab import admission as policies

        typer.echo(policies.text(), nl=False)
        return
    from trimtab import crd

    typer.echo(crd.text(), nl=False)
