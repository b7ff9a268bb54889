"""Many preferences at once: how long after the last was written everything is rendered, and at what cost in writes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks import content, load, subject
from benchmarks.edits import Watched, Watcher
from benchmarks.subject import Subject
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_MAPS

PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Bulk:
    """``beyond`` is the time from the last create's answer to the sight of the last rendered user, ``settled`` to the
    last status written; ``writes`` the operator's API writes by what they were; ``cpu`` the operator's seconds."""

    users: int
    loading: float
    beyond: float
    settled: float
    shards: int
    writes: dict[str, int]
    cpu: float
    lag: float


class Rendered:
    """Which users' files a namespace's ConfigMaps hold."""

    def __init__(self, space: str, users: int) -> None:
        self._space, self._missing = space, {f"{content.user_name(n)}.{content.FILE}" for n in range(users)}
        self.objects: set[str] = set()

    def look(self, item: Watched) -> bool:
        """Whether nobody is missing any more."""
        if item.metadata.namespace == self._space and item.data:
            self._missing.difference_update(item.data)
            self.objects.add(item.metadata.name)
        return not self._missing

    def __repr__(self) -> str:
        return f"{len(self._missing)} users are still to be rendered, as {sorted(self._missing)[:3]}"


async def measure(client: Client, operator: Subject, space: str, users: int) -> Bulk:
    """Load ``users`` preferences into a namespace whose template is served already and has no users."""
    before, cpu = operator.metrics(), operator.usage().cpu
    rendered = Rendered(space, users)
    async with Watcher(client, CONFIG_MAPS, content.outputs_of(space)).following() as outputs:
        complete = outputs.expect(rendered.look)
        loading = await load.preferences(client, space, range(users))
        last = time.perf_counter()
        try:
            beyond = await asyncio.wait_for(complete, PATIENCE) - last
        except TimeoutError:
            raise TimeoutError(f"after {PATIENCE:.0f} s {rendered!r}:\n{operator.tail()}") from None
    quiet = await subject.settled(operator)
    after = operator.metrics()
    was, made = subject.writes(before), subject.writes(after)
    return Bulk(
        users=users,
        loading=loading,
        beyond=max(0.0, beyond),
        settled=quiet - last,
        shards=sum("-users-" in name for name in rendered.objects),
        writes={what: count - was.get(what, 0) for what, count in made.items() if count > was.get(what, 0)},
        cpu=operator.usage().cpu - cpu,
        lag=after["trimtab_loop_lag_max_seconds"],
    )
