"""Operators that start in a fraction of a second (see forker.py)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.operator_process import SYSTEM, Operator, _die_with_parent


class Forker:
    """The program that becomes operators; they die with it, and it dies with us."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_die_with_parent,
        )

    def fork(self, **order: Any) -> int:
        """The pid of a new operator."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


class _Child:
    """A process that is not this one's child, with the part of Popen that :mod:`support.operator_process` uses."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode = pid, None
        self._file = os.pidfd_open(pid)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, seconds: float) -> int:
        code = self._ended(seconds)
        if code is None:
            raise subprocess.TimeoutExpired("trimtab run", seconds)
        return code

    def send_signal(self, number: int) -> None:
        """By its file, as its number may be another process's by now. Safe in any thread."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._file, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float) -> int | None:
        """0 once it has ended, however that was."""
        if self.returncode is None and select.select([self._file], [], [], seconds)[0]:
            self.returncode = 0
        return self.returncode

    def __del__(self) -> None:
        os.close(self._file)


class ForkedOperator(Operator):
    """`trimtab run`, forked rather than started."""

    def __init__(self, forker: Forker, kubeconfig: Path, log: Path, *options: str) -> None:
        super().__init__(kubeconfig, log, *options)
        self._forker = forker

    def start(self) -> ForkedOperator:
        self.log_file.touch()
        self._from = self.log_file.stat().st_size
        arguments = ["run", "--port", "0", "--host", "127.0.0.1", "--namespace", SYSTEM, *self.options]
        pid = self._forker.fork(arguments=arguments, kubeconfig=str(self.kubeconfig), log=str(self.log_file))
        self._process = _Child(pid)  # type: ignore[assignment]
        return self
