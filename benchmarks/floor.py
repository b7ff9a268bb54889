"""The floor of propagation: a bare client that does the same two writes and two watches, and nothing else.

It sees the edited preference in a watch, then applies a ConfigMap as large as a shard; its own second watch sees
that. No operator runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks import content, edits
from benchmarks.edits import Watcher
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_MAPS, USER_PREFERENCES

LABEL = "benchmarks.trimtab.dev/floor"
NAME = "floor"


async def measure(
    client: Client, space: str, users: int, count: int, shard: Mapping[str, str]
) -> list[float]:
    """Seconds of each edit. ``shard`` is the data of a real shard."""
    spare = next(iter(shard))
    async with Watcher(client, USER_PREFERENCES).following() as preferences:

        async def respond(user: str, mark: int) -> None:
            wanted = str(mark).encode()
            await preferences.expect(lambda item: item.metadata.name == user and wanted in bytes(item.spec))
            await _apply(
                client, space, {**shard, f"{user}.{content.FILE}": _marked(shard[spare], mark)}, spare
            )

        return await edits.measure(client, space, users, count, LABEL, respond)


async def _apply(client: Client, space: str, data: dict[str, str], spare: str) -> None:
    """One entry changes place with another, so that the object keeps its size."""
    if len(data) > 1:
        data.pop(spare, None)
    body = {"metadata": {"name": NAME, "namespace": space, "labels": {LABEL: "yes"}}, "data": data}
    await client.apply(CONFIG_MAPS, body)


def _marked(text: str, mark: int) -> str:
    """A file of the same length with the mark in it."""
    return (text.rstrip("}\n")[:-12] + str(mark)).ljust(len(text))
