"""Lists of large objects: they come in small pages, and whole."""

from __future__ import annotations

from typing import Any

from support.shared_cluster import Cluster
from trimtab.kube.client import FIRST_PAGE, PAGE_BYTES, Client
from trimtab.kube.credentials import load
from trimtab.kube.resources import CONFIG_MAPS

LARGE = 200_000


async def test_pages_of_large_objects_become_small(cluster: Cluster, namespace: str) -> None:
    names = [f"large-{number:02}" for number in range(FIRST_PAGE + 25)]
    labels = {"test": "lists"}
    async with Client(load(cluster.kubeconfig)) as api:
        for name in names:
            meta = {"name": name, "namespace": namespace, "labels": labels}
            await api.create(CONFIG_MAPS, {"metadata": meta, "data": {"large": "x" * LARGE}})

        pages = [
            [found["metadata"]["name"] for found in page.items or ()]
            async for page in api.pages(
                CONFIG_MAPS, dict[str, Any], namespace=namespace, selector="test=lists"
            )
        ]

    assert [name for page in pages for name in page] == names
    assert len(pages[0]) == FIRST_PAGE
    assert max(map(len, pages[1:])) <= PAGE_BYTES // LARGE
