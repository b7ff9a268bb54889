"""The API server that all benchmarks of a run share, and the namespaces that are loaded on it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import load, subject
from benchmarks.progress import say
from benchmarks.subject import Subject
from trimtab import crd
from trimtab.kube import credentials
from trimtab.kube.client import Client
from trimtab.kube.resources import CONFIG_TEMPLATES, LEASES, USER_PREFERENCES
from trimtab.sandbox import Sandbox


@dataclass(slots=True)
class Cluster:
    """``users`` tells how many preferences a namespace has; everybody in it has been rendered."""

    client: Client
    kubeconfig: Path
    logs: Path
    version: str
    users: dict[str, int] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def operator(self, name: str, *options: str) -> AsyncIterator[Subject]:
        """A Trimtab, with these options of `trimtab run`, that has done all there is to do."""
        operator = await subject.started_and_idle(self.logs / f"{name}.log", self.kubeconfig, *options)
        try:
            yield operator
        finally:
            await self.stop(operator)

    async def stop(self, operator: Subject) -> None:
        """End it. One that had to be killed leaves its Lease behind, which the next would have to wait for."""
        if not operator.stop():
            say("the operator did not stop when asked, and was killed")
            await self.client.request("DELETE", LEASES.path("default", "trimtab"))

    async def empty(self, space: str, groups: int = 0) -> None:
        """A namespace with a template and no users."""
        if space not in self.users:
            await load.namespace(self.client, space)
            await load.template(self.client, space, groups)
            self.users[space] = 0

    async def only(self, space: str, users: int, groups: int = 0) -> None:
        """Let there be ``users`` preferences in this namespace, rendered, and none in any other.

        They are in the template's usual groups, or spread over so many of them; these are written once, as the
        operator comes when all users are there.
        """
        others = [other for other, held in self.users.items() if other != space and held]
        missing = users - self.users.get(space, 0)
        await self.empty(space, groups)
        if not others and missing <= 0:
            return
        for other in others:
            say(f"deleting the {self.users[other]:,} preferences of {other}")
            await load.delete_all(self.client, USER_PREFERENCES, other)
            await load.delete_all(self.client, CONFIG_TEMPLATES, other)
            del self.users[other]
        if missing > 0 and groups:
            await self._load(space, users, groups)
        async with self.operator(f"load-{space}") as operator:
            if missing > 0 and not groups:
                await self._load(space, users)
                await subject.settled(operator)
        self.users[space] = users

    async def _load(self, space: str, users: int, groups: int = 0) -> None:
        numbers = range(self.users[space], users)
        say(f"loading {len(numbers):,} preferences into {space}")
        seconds = await load.preferences(self.client, space, numbers, groups)
        say(f"loaded in {seconds:.0f} s; waiting for their statuses")


@contextlib.asynccontextmanager
async def started(logs: Path, nodes: int = 0) -> AsyncIterator[Cluster]:
    """A sandbox with the CRDs, for as long as the block takes."""
    say("starting a sandbox")
    with Sandbox.start(lifetime="process", nodes=nodes) as sandbox:
        sandbox.kubectl("apply", "--server-side", "-f", "-", input=crd.text())
        sandbox.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        who = credentials.load(sandbox.kubeconfig)
        async with Client(who, user_agent="trimtab-benchmarks") as client:
            yield Cluster(
                client,
                sandbox.kubeconfig,
                logs,
                f"kube-apiserver {sandbox.record.version}, etcd without fsync",
            )
