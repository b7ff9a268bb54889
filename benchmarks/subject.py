"""The operator under test: `trimtab run` as a process of its own, watched from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import Usage, usage

PATIENCE = 1800.0
_QUIET_CPU = 0.02  # of a core
_QUIET_FOR = 1.0


@dataclass(slots=True)
class Subject:
    """One running process; ``log`` is its stderr."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float
    port: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def usage(self) -> Usage:
        return usage(self.pid)

    def alive(self) -> None:
        """:raises RuntimeError: it ended, with the end of its log."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the process ended with {self.process.returncode}:\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
        return {name: float(value) for name, value in samples}

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=30) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def said(self, message: str) -> bool:
        """Whether a log line with this message has been written."""
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                if json.loads(line).get("message") == message:
                    return True
            except ValueError:
                continue
        return False

    async def until_quiet(self, seconds: float = _QUIET_FOR, patience: float = PATIENCE) -> float:
        """Wait until it has used next to no CPU for ``seconds``; when that began (perf_counter)."""
        deadline = time.perf_counter() + patience
        since, cpu = time.perf_counter(), self.usage().cpu
        while time.perf_counter() < deadline:
            await asyncio.sleep(0.05)
            self.alive()
            now, used = time.perf_counter(), self.usage().cpu
            if used - cpu > max(0.02, _QUIET_CPU * (now - since)):
                since, cpu = now, used
            elif now - since >= seconds:
                return since
        raise TimeoutError(f"not quiet after {patience:.0f} s:\n{self.tail()}")

    def stop(self) -> bool:
        """End it; whether it was enough to ask."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                return False
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    command: list[str],
    log: Path,
    kubeconfig: Path,
    *,
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> Subject:
    """Start any operator with this kubeconfig."""
    settings = {**os.environ, **(environment or {}), "KUBECONFIG": str(kubeconfig)}
    started = time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=output, stdin=subprocess.DEVNULL, env=settings
        )
    return Subject(process, log, started, port)


def start_trimtab(log: Path, kubeconfig: Path, *options: str) -> Subject:
    """`trimtab run` as anybody would run it, with these options."""
    port = free_port()
    command = [sys.executable, "-m", "trimtab", "run", "--host", "127.0.0.1", "--port", str(port)]
    return start([*command, *options], log, kubeconfig, port=port)


def writes(metrics: dict[str, float]) -> dict[str, int]:
    """Successful API writes by what they were: ``ConfigMap apply`` and so on."""
    made = {}
    for name, value in metrics.items():
        if name.startswith("trimtab_writes_total{"):
            labels = dict(part.split("=") for part in name[name.index("{") + 1 : -1].split(","))
            made[f"{labels['kind']} {labels['verb']}".replace('"', "")] = int(value)
    return made


async def started_and_idle(log: Path, kubeconfig: Path, *options: str) -> Subject:
    """A Trimtab, with these options of `trimtab run`, that has done all there is to do."""
    subject = start_trimtab(log, kubeconfig, *options)
    try:
        await acting(subject)
        await settled(subject)
    except BaseException:
        subject.stop()
        raise
    return subject


async def acting(subject: Subject, patience: float = PATIENCE) -> None:
    """Wait until it leads."""
    deadline = time.perf_counter() + patience
    while not subject.said("acting"):
        subject.alive()
        if time.perf_counter() > deadline:
            raise TimeoutError(f"not acting after {patience:.0f} s:\n{subject.tail()}")
        await asyncio.sleep(0.05)


async def settled(subject: Subject, patience: float = PATIENCE) -> float:
    """Wait until nothing waits or is written any more; when that began (perf_counter)."""
    deadline = time.perf_counter() + patience
    before: object = None
    quiet = 0.0
    while time.perf_counter() < deadline:
        since = await subject.until_quiet(0.3, patience)
        found = subject.metrics()
        waiting = found["trimtab_queue_depth"] + found["trimtab_status_queue_depth"]
        seen = (writes(found), found["trimtab_users_resolved_total"])
        if not waiting and seen == before:
            return quiet
        if seen != before:
            before, quiet = seen, since
        await asyncio.sleep(0.5)
    raise TimeoutError(f"still at work after {patience:.0f} s:\n{subject.tail()}")
