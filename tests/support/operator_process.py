"""`trimtab run` as a child process: its output, and signals to it."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from support.live_objects import Body, wait_for

SYSTEM = "trimtab-system"
_PR_SET_PDEATHSIG = 1
_METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Operator:
    """One `trimtab run`. It dies with the process that runs the tests."""

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self.kubeconfig, self.log_file, self.options = kubeconfig, log, options
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0

    def start(self) -> Operator:
        """Start the process; it is not ready yet."""
        self._from = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = [sys.executable, "-m", "trimtab", "run", "--port", "0", "--host", "127.0.0.1"]
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--namespace", SYSTEM, *self.options],
                env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "COLUMNS": "200"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,
            )
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the operator was never started"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # What it says.

    def text(self) -> str:
        """All of this start's output."""
        with self.log_file.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace")

    def records(self) -> list[Body]:
        """The log lines of this start that are complete."""
        made = []
        for line in self.text().split("\n")[:-1]:
            with contextlib.suppress(json.JSONDecodeError):
                made.append(json.loads(line))
        return made

    def said(self, message: str) -> Body | None:
        return next((r for r in self.records() if r.get("message") == message), None)

    def wait_said(self, message: str) -> Body:
        def look() -> Body | None:
            if not self.running:
                pytest.fail(f"the operator ended with {self.process.returncode}: {self.text()[-3000:]}")
            return self.said(message)

        return wait_for(look, lambda: f"the operator says {message!r}; it says {self.text()[-3000:]}")  # type: ignore[return-value]

    def acting(self) -> Operator:
        """Wait until it leads and works."""
        self.wait_said("acting")
        return self

    def standing_by(self) -> Operator:
        """Wait until its stores are full and it looks at the Lease."""
        self.wait_said("stores are complete")
        return self

    def http(self, path: str) -> tuple[int, str]:
        port = self.wait_said("starting")["port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """Samples by name, summed over their labels, and by ``name{labels}``."""
        found: dict[str, float] = {}
        for line in self.http("/metrics")[1].splitlines():
            match = _METRIC.match(line)
            if match:
                name, labels, value = match[1], match[2], float(match[3])
                found[name] = found.get(name, 0.0) + value
                if labels:
                    found[f"{name}{{{labels}}}"] = value
        return found

    def quiet(self) -> None:
        """Wait until it has nothing to do: queues are empty, and two looks in a row count no work between them."""
        seen: list[tuple[float, ...]] = []

        def look() -> bool:
            now = self.metrics()
            work = tuple(
                now.get(name, 0.0)
                for name in (
                    "trimtab_events_total",
                    "trimtab_writes_total",
                    "trimtab_reconciles_total",
                    "trimtab_queue_depth",
                    "trimtab_status_queue_depth",
                )
            )
            seen.append(work)
            return len(seen) > 2 and seen[-3] == seen[-2] == work and not any(work[3:])

        wait_for(look, lambda: f"the operator is quiet; it counts {seen[-1:]}")

    # What is done to it.

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        if not self.running:
            return self.process.returncode
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL: no goodbye."""
        if self.running:
            self.process.kill()
            self.process.wait(60)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def restart(self) -> Operator:
        """Stop gracefully, start, and wait until it acts."""
        assert self.stop() == 0
        return self.start().acting()
