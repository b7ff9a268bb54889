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
    async with Watcher(client, USER_PREFERENCES).following() as preferences:

        async def respond(user: str, mark: int) -> None:
            wanted = str(mark).encode()
            await preferences.expect(lambda item: item.metadata.name == user and wanted in bytes(item.spec))
            body = {
                "metadata": {"name": NAME, "namespace": space, "labels": {LABEL: "yes"}},
                "data": _with(shard, f"{user}.{content.FILE}", mark),
            }
            await client.apply(CONFIG_MAPS, body)

        return await edits.measure(client, space, users, count, LABEL, respond)


def _with(shard: Mapping[str, str], entry: str, mark: int) -> dict[str, str]:
    """The shard with this entry in it, in the place of another, so that the object keeps its size."""
    data = dict(shard)
    text = data.pop(entry, None) or data.pop(next(iter(data)))
    return {**data, entry: _marked(text, mark)}


def _marked(text: str, mark: int) -> str:
    """A file of the same length with the mark in it."""
    return (text.rstrip("}\n")[:-12] + str(mark)).ljust(len(text))
