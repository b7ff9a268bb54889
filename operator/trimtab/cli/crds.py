"""``trimtab crds``: the CustomResourceDefinitions of this version."""

from __future__ import annotations

import typer


def crds() -> None:
    """Print the CRDs of this version as YAML.

    Example:

        trimtab crds | kubectl apply --server-side -f -
    """
    from trimtab import crd

    typer.echo(crd.text(), nl=False)
