"""``trimtab crds``: the CustomResourceDefinitions of this version."""

from __future__ import annotations


def crds() -> None:
    """Print the CRDs as YAML: `trimtab crds | kubectl apply --server-side -f -`."""
    from trimtab import crd

    print(crd.text(), end="")
