"""``trimtab crds``: the CustomResourceDefinitions of this version, or its admission policies."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab import admission as policies
from trimtab import crd


def crds(
    admission: Annotated[
        bool,
        typer.Option("--admission", help="The admission policies: who may act on rollouts and join groups."),
    ] = False,
) -> None:
    """Print the CRDs of this version as YAML, or with --admission its ValidatingAdmissionPolicies.

    Example:

        trimtab crds | kubectl apply --server-side -f -

        trimtab crds --admission | kubectl apply --server-side -f -
    """
    typer.echo(policies.text() if admission else crd.text(), nl=False)
