"""Few workloads restart at a time: those of one template that never become ready delay no rollout of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from support.in_memory import HOME, Cluster, Operator, spec
from support.wave_rollouts import APP, progress, until
from support.workload_controllers import Controllers, status, workload
from trimtab.core.refs import Ref
from trimtab.core.workload.restart_slots import AT_ONCE, MOST
from trimtab.engine.workloads.restarts import CHECK_SECONDS, SLOW_SECONDS
from trimtab.kube.port import Body
from trimtab.kube.resources import WORKLOADS


@dataclass(slots=True)
class Stuck(Controllers):
    """Workloads of names that begin so are never ready while ``stuck``."""

    stuck: bool = False
    names: tuple[str, ...] = field(default=("x",))

    async def _roll(self, key: Ref, body: Body) -> None:
        if self.stuck and key.name.startswith(self.names):
            self._say(key, status(body, updated=1, available=body["spec"]["replicas"] - 1))
            await asyncio.Event().wait()
        await Controllers._roll(self, key, body)


def template(voice: str, *names: str, **more: Body) -> Body:
    """A group with a workload of its own for each name."""
    listed = [{"name": name, "workloads": [{"kind": "Deployment", "name": name}]} for name in names]
    keys = [{"name": "agent.voice", "type": "String", "default": voice}]
    return spec(groups=listed, keys=keys, **more)


def others(voice: str) -> Body:
    return template(voice, *(f"x{number}" for number in range(25)))


def mine(voice: str, **strategy: object) -> Body:
    return template(voice, "mine", strategy={"waves": [{"name": "all", "soak": "1h"}], **strategy})


class TwoTemplates:
    """Another template of 25 workloads, and mine of one; all are well at first."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        for name in (*(f"x{number}" for number in range(25)), "mine"):
            key = Ref("Deployment", HOME, name)
            self.cluster.memory.put(WORKLOADS["Deployment"], workload(key))
        self.controllers = Stuck(self.cluster.memory)
        self.cluster.template(others("a"), name="other")
        self.cluster.template(mine("calm"))

    async def block(self) -> None:
        """The other template's workloads take all turns, and never become ready."""
        self.controllers.stuck = True
        self.cluster.template(others("b"), name="other")
        await asyncio.sleep(10)

    def message(self) -> str:
        return str(progress(self.cluster, *APP).get("message"))


@pytest.fixture
async def templates() -> AsyncIterator[TwoTemplates]:
    templates = TwoTemplates()
    async with templates.controllers:
        yield templates


async def test_a_wave_reports_that_it_waits_for_a_slot_and_gets_one(templates: TwoTemplates) -> None:
    async with Operator(templates.cluster):
        await until(templates.cluster, "Succeeded", *APP)
        await asyncio.sleep(300)
        await templates.block()
        templates.cluster.template(mine("loud"))
        await asyncio.sleep(5)
        waits = f"group mine: waits for a slot to restart Deployment {HOME}/mine: {AT_ONCE} workloads are restarting"
        assert waits in templates.message()

        await asyncio.sleep(SLOW_SECONDS + CHECK_SECONDS)
        assert progress(templates.cluster, *APP)["phase"] == "Soaking"
        assert "waits for a slot" not in templates.message()
        assert templates.controllers.most <= MOST * AT_ONCE


async def test_an_abort_waits_for_no_slot(templates: TwoTemplates) -> None:
    async with Operator(templates.cluster):
        await until(templates.cluster, "Succeeded", *APP)
        templates.cluster.template(mine("loud"))
        await until(templates.cluster, "Soaking", *APP)
        await asyncio.sleep(300)
        await templates.block()
        templates.cluster.act("Abort", "app", kind="ConfigTemplate")
        await asyncio.sleep(10)

        assert progress(templates.cluster, *APP)["phase"] == "RolledBack"


async def test_as_long_as_all_become_ready_ten_are_ten(templates: TwoTemplates) -> None:
    async with Operator(templates.cluster):
        await asyncio.sleep(300)
        templates.controllers.most = 0
        templates.cluster.template(others("b"), name="other")
        await asyncio.sleep(2)
        templates.cluster.template(mine("loud"))
        await until(templates.cluster, "Soaking", *APP)
        await asyncio.sleep(300)

        assert templates.controllers.most == AT_ONCE
