"""An API port on which any write may fail, before or after it has taken effect."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from simulation import Cluster
from trimtab.engine.leadership.write_guard import Fence
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import EVENTS, Resource

WRITES = ("create", "apply", "merge_patch", "replace_status", "delete")
FAILURES = ((503, "x", "x"), (409, "x", "x"), (0, "x", "x"), (403, "x", "x"))


class Flaky(Fence):
    """``calm`` ends it."""

    def __init__(self, cluster: Cluster, chance: random.Random) -> None:
        super().__init__(cluster.memory, lambda: True)
        self.chance, self.calm = chance, False

    def wrote(self, resource: Resource, answer: Body | None) -> None:
        """Something was written, and the API server answers with this."""

    def __getattribute__(self, name: str) -> Any:
        call = super().__getattribute__(name)
        if name not in WRITES:
            return call

        async def one(resource: Resource, *args: Any, **options: Any) -> Any:
            luck = 1.0 if self.calm else self.chance.random()
            for _ in range(self.chance.choice([0, 0, 3])):
                await asyncio.sleep(0)
            if luck < 0.06:
                taken_for_good = resource is EVENTS  # an Event that is forbidden is not tried again
                raise errors.of(*self.chance.choice(FAILURES[: 3 if taken_for_good else 4]))
            answer = await call(resource, *args, **options)
            self.wrote(resource, answer)
            if luck > 0.95 and not self.calm:
                raise errors.UnavailableError(0, "NoAnswer", "the answer was lost")
            return answer

        return one
