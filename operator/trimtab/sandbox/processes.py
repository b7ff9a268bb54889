"""Processes that may outlive the Python process that started them.

A process is identified by its ID and its start time, so that a reused ID is never mistaken for the process.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LIFELINE_VARIABLE = "TRIMTAB_LIFELINE_FD"

# Children of this process, which stay zombies until it waits for them.
_children: dict[Process, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """A process of this machine. ``started_at`` is in seconds after boot, because the wall clock may be set."""

    pid: int
    started_at: float

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this ID now, None if there is none or it is a zombie."""
        found = _running(pid)
        return cls(pid, _started_at(found)) if found else None

    @classmethod
    def current(cls) -> Process:
        return cls(os.getpid(), _started_at(psutil.Process()))

    def running(self) -> bool:
        return Process.of(self.pid) == self


@dataclass
class Lifeline:
    """A pipe that the components watch: when the owner of ``near`` exits, they exit.

    A process that forks without exec keeps the near end open in the child.
    """

    far: int
    near: int
    _open: bool = field(default=True, init=False)

    @classmethod
    def open(cls) -> Lifeline:
        far, near = os.pipe()
        return cls(far, near)

    def release(self, count: int) -> None:
        """Detaches that many components: they keep running when this process exits."""
        os.write(self.near, b"\n" * count)
        self.close()

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.far)
            os.close(self.near)


def spawn(command: Sequence[str | Path], log: Path, directory: Path, lifeline: Lifeline) -> Process:
    """Starts a component in a session of its own, so that Ctrl-C does not reach it, with its output in ``log``."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment[LIFELINE_VARIABLE] = str(lifeline.far)
    environment["KWOK_WORKDIR"] = str(directory)  # instead of the user's ~/.kwok
    with log.open("ab") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lifeline.far,),
        )
    process = Process(child.pid, _started_at(psutil.Process(child.pid)))
    _children[process] = child
    return process


def kill(processes: Sequence[Process], timeout: float = 10.0) -> None:
    """Kills those that still run and returns when they have exited. They have no state worth saving."""
    candidates = [(process, _running(process.pid)) for process in processes]
    running = [found for process, found in candidates if found and _started_at(found) == process.started_at]
    for found in running:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.kill()
    psutil.wait_procs(running, timeout)
    for process in processes:
        if child := _children.pop(process, None):
            child.wait(timeout)


def _running(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        found = psutil.Process(pid)
        if found.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return found
    return None


def _started_at(process: psutil.Process) -> float:
    return round(process.create_time() - psutil.boot_time(), 2)
