"""What the demo is played on: a control plane, the operator as a child process, and eyes on the cluster.

Everything that the demo shows it reads back from the API server by these, and every wait is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from trimtab.kube import errors
from trimtab.kube.client import Client
from trimtab.kube.credentials import from_kubeconfig
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    DEPLOYMENTS,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)
from trimtab.sandbox import Sandbox, SandboxError, ensure_binaries
from trimtab.sandbox.build import built_binaries
from trimtab.sandbox.cluster import remove
from trimtab.sandbox.processes import Process, end

Body = dict[str, Any]
T = TypeVar("T")

KEPT = "demo"
"""The sandbox that --keep leaves running."""
NODES = 2
STARTING = 60.0
"""Seconds that the operator may take to lead: a loaded machine compiles and imports slowly."""
PATIENCE = 30.0
"""Seconds that anything may take to come true; on an idle machine nothing here takes more than two."""
SYSTEM = "trimtab-system"
OURS = "app.kubernetes.io/managed-by=trimtab"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class DemoError(Exception):
    """Something that the demo was about to show did not come true."""


@dataclass(frozen=True)
class Seen(Generic[T]):
    """What was waited for, and when (``time.perf_counter``) its event arrived."""

    value: T
    at: float


class Mirror:
    """One kind of object as the cluster has it now, by one list and one watch: no wait here polls."""

    def __init__(self, client: Client, resource: Resource, selector: str = "") -> None:
        self._client, self.resource, self._selector = client, resource, selector
        self._items: dict[tuple[str, str], Body] = {}
        self._waiting: list[tuple[Callable[[], Any], asyncio.Future[Seen[Any]]]] = []

    def get(self, namespace: str, name: str) -> Body | None:
        return self._items.get((namespace, name))

    def all(self) -> list[Body]:
        """All of them, by name."""
        return [item for _, item in sorted(self._items.items())]

    async def until(self, what: str, look: Callable[[], T | None]) -> Seen[T]:
        """The first true answer of ``look``, which is asked again with each change.

        :raises DemoError: it did not come within :data:`PATIENCE`.
        """
        answer = look()
        if answer:
            return Seen(answer, time.perf_counter())
        future: asyncio.Future[Seen[Any]] = asyncio.get_running_loop().create_future()
        entry = (look, future)
        self._waiting.append(entry)
        try:
            return await asyncio.wait_for(future, PATIENCE)
        except TimeoutError:
            raise DemoError(f"waited {PATIENCE:.0f} s in vain until {what}") from None
        finally:
            self._waiting.remove(entry)

    async def follow(self) -> None:
        """Keep up until cancelled."""
        while True:
            version = await self._list()
            with contextlib.suppress(errors.ApiError):
                async for event in self._client.watch(
                    self.resource, dict, version=version, selector=self._selector
                ):
                    if event.type == "DELETED":
                        self._items.pop(_key(event.object), None)
                    elif event.type != "BOOKMARK":
                        self._items[_key(event.object)] = event.object
                    self._tell()

    async def _list(self) -> str:
        version, items = "", {}
        async for page in self._client.pages(self.resource, dict, selector=self._selector):
            items.update({_key(item): item for item in page.items or ()})
            version = page.metadata.resourceVersion
        self._items = items
        self._tell()
        return version

    def _tell(self) -> None:
        now = time.perf_counter()
        for look, future in self._waiting:
            if not future.done():
                answer = look()
                if answer:
                    future.set_result(Seen(answer, now))


def _key(item: Body) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


@dataclass(frozen=True)
class Cluster:
    """A client and a mirror of each kind that the demo looks at."""

    client: Client
    preferences: Mirror
    templates: Mirror
    groups: Mirror
    maps: Mirror
    secrets: Mirror
    deployments: Mirror

    @classmethod
    @contextlib.asynccontextmanager
    async def seen_by(cls, kubeconfig: Path) -> AsyncIterator[Cluster]:
        """Watch until the block ends."""
        async with Client(from_kubeconfig(kubeconfig), user_agent="trimtab-demo") as client:
            made = cls(
                client,
                preferences=Mirror(client, USER_PREFERENCES),
                templates=Mirror(client, CONFIG_TEMPLATES),
                groups=Mirror(client, RENDERED_GROUPS),
                maps=Mirror(client, CONFIG_MAPS, OURS),
                secrets=Mirror(client, SECRETS, OURS),
                deployments=Mirror(client, DEPLOYMENTS),
            )
            mirrors = (
                made.preferences,
                made.templates,
                made.groups,
                made.maps,
                made.secrets,
                made.deployments,
            )
            tasks = [asyncio.create_task(mirror.follow()) for mirror in mirrors]
            try:
                yield made
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


class Operator:
    """`trimtab run` as a child process. Unless it is to be kept, it dies with this process, even by kill -9."""

    def __init__(self, kubeconfig: Path, log: Path, *, kept: bool) -> None:
        self.log = log
        self._parent = os.getpid()
        command = [sys.executable, "-m", "trimtab", "run", "--namespace", SYSTEM]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", "0"],
                env={**os.environ, "KUBECONFIG": str(kubeconfig)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the demo's affair
                preexec_fn=None if kept else self._die_with_parent,
            )

    def _die_with_parent(self) -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # it died before we could say so
            os._exit(1)

    async def acting(self) -> Body:
        """Wait until it leads; the log line in which it said where it listens.

        :raises DemoError: it ended, or took too long.
        """
        until = time.perf_counter() + STARTING
        while time.perf_counter() < until:
            said = {line.get("message"): line for line in self._lines()}
            if "acting" in said:
                return said["starting"]
            if self.process.poll() is not None:
                raise DemoError(f"the operator ended with exit code {self.process.returncode}")
            await asyncio.sleep(0.02)
        raise DemoError(f"waited {STARTING:.0f} s in vain until the operator leads")

    def _lines(self) -> Iterator[Body]:
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)

    def stop(self) -> None:
        """Gracefully, so that it gives its Lease back; by force where that takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Stage:
    """A sandbox of the demo's own, and the operator in it."""

    sandbox: Sandbox
    keep: bool
    took: float
    """Seconds until it was up, without a build."""
    folder: Path
    operator: Operator | None = None
    complete: bool = False
    """All has been shown: what is to be kept may stay."""
    failed: bool = False
    """Somebody will want to read the log."""

    @classmethod
    @contextlib.contextmanager
    def up(cls, *, keep: bool, building: Callable[[], None]) -> Iterator[Stage]:
        """Everything ends with the block, unless it is to be kept and all went well.

        :raises trimtab.sandbox.SandboxError: there is no control plane to be had.
        """
        if built_binaries() is None:
            building()
            ensure_binaries()
        started = time.perf_counter()
        name, lifetime = (KEPT, "detached") if keep else (None, "process")
        sandbox = Sandbox.start(name, nodes=NODES, lifetime=lifetime)  # type: ignore[arg-type]
        took = time.perf_counter() - started
        stage = cls(sandbox, keep, took, Path(tempfile.mkdtemp(prefix="trimtab-demo-")))
        try:
            yield stage
        finally:
            stage._down()

    @property
    def log_file(self) -> Path:
        """The operator's."""
        return self.folder / "trimtab.log"

    def start_operator(self) -> Operator:
        self.operator = Operator(self.sandbox.kubeconfig, self.log_file, kept=self.keep)
        process = Process.of(self.operator.process.pid)
        if self.keep and process is not None:
            note = {"pid": process.pid, "started": process.started, "folder": str(self.folder)}
            _note(self.sandbox).write_text(json.dumps(note))
        return self.operator

    def end_of_log(self, lines: int = 15) -> list[str]:
        return (
            self.log_file.read_text(errors="replace").splitlines()[-lines:] if self.log_file.exists() else []
        )

    def _down(self) -> None:
        if self.keep and self.complete:
            return
        if self.operator is not None:
            self.operator.stop()
        self.sandbox.stop()
        if not self.failed or not self.log_file.exists():
            shutil.rmtree(self.folder, ignore_errors=True)


def stop_kept() -> bool:
    """Ends what an earlier --keep left running; False where there was nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError, SandboxError):
        note = json.loads(_note(Sandbox.find(KEPT)).read_text())
        process = Process(note["pid"], note["started"])
        if process.running():
            os.kill(process.pid, signal.SIGTERM)
        until = time.monotonic() + 15
        while process.running() and time.monotonic() < until:
            time.sleep(0.05)
        end([process])
        shutil.rmtree(note["folder"], ignore_errors=True)
    return remove(KEPT)


def _note(sandbox: Sandbox) -> Path:
    return sandbox.directory / "trimtab-operator.json"
