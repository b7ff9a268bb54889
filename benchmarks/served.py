"""What the groups of a namespace serve at one time: their pointers and outputs, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from benchmarks import content
from benchmarks.edits import Watched
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_MAPS, RENDERED_GROUPS


@dataclass(slots=True)
class Served:
    """``groups`` are RenderedGroups, ``objects`` ConfigMaps."""

    groups: dict[str, Watched] = field(default_factory=dict)
    objects: dict[str, Watched] = field(default_factory=dict)

    def revisions(self) -> dict[str, int]:
        return {name: status_of(item)["currentRevision"] for name, item in self.groups.items()}

    def unlike(self, other: Served) -> dict[str, Watched]:
        """The objects whose content was another one then."""
        return {name: item for name, item in self.objects.items() if item.data != other.objects[name].data}


async def served(client: Client, space: str) -> Served:
    """What they serve now; nobody rolls out meanwhile."""
    found = Served()
    async for page in client.pages(RENDERED_GROUPS, Watched, namespace=space):
        found.groups |= {item.metadata.name: item for item in page.items or ()}
    async for page in client.pages(CONFIG_MAPS, Watched, namespace=space, selector=content.outputs_of(space)):
        found.objects |= {item.metadata.name: item for item in page.items or ()}
    return found


def status_of(item: Watched) -> Mapping[str, Any]:
    found: Mapping[str, Any] = msgspec.json.decode(item.status) if item.status else {}
    return found
