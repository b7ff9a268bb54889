"""The environment of the demo: a control plane, and the operator as a child process."""

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mirror import Body, DemoError

from trimtab.sandbox import Sandbox, SandboxError, ensure_binaries
from trimtab.sandbox.build import built_binaries
from trimtab.sandbox.cluster import remove
from trimtab.sandbox.processes import Process, kill

KEPT = "demo"
"""The sandbox that --keep leaves running."""
NODES = 2
STARTING = 60.0
"""Timeout for the operator to become the leader, in seconds. A loaded machine imports slowly."""
SYSTEM = "trimtab-system"
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Operator:
    """`trimtab run` as a child process. Unless it is kept, it ends with this process, even after kill -9."""

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
                start_new_session=True,  # the demo handles Ctrl-C
                preexec_fn=None if kept else self._die_with_parent,
            )

    def _die_with_parent(self) -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._parent:  # the parent ended before prctl
            os._exit(1)

    async def acting(self) -> Body:
        """Wait until the operator leads. Returns the log line with its listen address.

        :raises DemoError: the operator ended, or took too long.
        """
        until = time.perf_counter() + STARTING
        while time.perf_counter() < until:
            logged = {line.get("message"): line for line in self._lines()}
            if "acting" in logged:
                return logged["starting"]
            if self.process.poll() is not None:
                raise DemoError(f"the operator ended with exit code {self.process.returncode}")
            await asyncio.sleep(0.02)
        raise DemoError(f"timed out after {STARTING:.0f}s, waiting until the operator leads")

    def _lines(self) -> Iterator[Body]:
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)

    def stop(self) -> None:
        """End the operator gracefully, so that it releases its Lease; kill it if that takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@dataclass
class Stage:
    """A sandbox for the demo, and the operator in it."""

    sandbox: Sandbox
    keep: bool
    took: float
    """Startup time in seconds, without the build."""
    folder: Path
    operator: Operator | None = None
    complete: bool = False
    """The demo is complete, so that it may be kept running."""
    failed: bool = False
    """The demo failed: keep the log."""

    @classmethod
    @contextlib.contextmanager
    def up(cls, *, keep: bool, building: Callable[[], None]) -> Iterator[Stage]:
        """Start everything. It ends with the block, unless it is kept and the demo is complete.

        :raises trimtab.sandbox.SandboxError: the control plane did not start.
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
        """The operator's log."""
        return self.folder / "trimtab.log"

    def start_operator(self) -> Operator:
        self.operator = Operator(self.sandbox.kubeconfig, self.log_file, kept=self.keep)
        process = Process.of(self.operator.process.pid)
        if self.keep and process is not None:
            note = {"pid": process.pid, "started_at": process.started_at, "folder": str(self.folder)}
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
    """End what an earlier --keep left running. False if there was nothing."""
    with contextlib.suppress(OSError, ValueError, KeyError, SandboxError):
        note = json.loads(_note(Sandbox.find(KEPT)).read_text())
        process = Process(note["pid"], note["started_at"])
        if process.running():
            os.kill(process.pid, signal.SIGTERM)
        until = time.monotonic() + 15
        while process.running() and time.monotonic() < until:
            time.sleep(0.05)
        kill([process])
        shutil.rmtree(note["folder"], ignore_errors=True)
    return remove(KEPT)


def _note(sandbox: Sandbox) -> Path:
    return sandbox.directory / "trimtab-operator.json"
