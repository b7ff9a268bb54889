"""Processes that may outlive the Python that started them, and how to be sure that one is still the same.

A process is known by its id together with the boot and the tick at which it started, so a recycled id is
never taken for ours, and signals go through a pidfd. That makes the sandbox Linux only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIFELINE_VARIABLE = "TRIMTAB_LIFELINE_FD"

# What this very process started, and so has to wait for lest it stay a zombie.
_children: dict[Process, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """One process of this machine, in this boot."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """The process that has this id now; None where none does, or it is a zombie."""
        started = _started(pid)
        return cls(pid, started) if started is not None else None

    @classmethod
    def current(cls) -> Process:
        found = cls.of(os.getpid())
        if found is None:
            raise OSError("the sandbox needs Linux's /proc")
        return found

    def running(self) -> bool:
        return _started(self.pid) == self.started


@dataclass
class Lifeline:
    """A pipe whose far end the components watch: when the owner of the near end is gone, they exit.

    Whoever forks without exec keeps the near end open in the child too.
    """

    far: int
    near: int
    _open: bool = field(default=True, init=False)

    @classmethod
    def open(cls) -> Lifeline:
        far, near = os.pipe()
        return cls(far, near)

    def release(self, count: int) -> None:
        """Sets that many components free: they go on when this process ends."""
        os.write(self.near, b"\n" * count)
        self.close()

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self.far)
            os.close(self.near)


def spawn(command: Sequence[str | Path], log: Path, directory: Path, lifeline: Lifeline) -> Process:
    """Starts a component in a session of its own (Ctrl-C is its owner's affair), its output in ``log``."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment[LIFELINE_VARIABLE] = str(lifeline.far)
    environment["KWOK_WORKDIR"] = str(directory)  # not the user's ~/.kwok
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
    # Until it is waited for, a dead child still has its entry in /proc.
    process = Process(child.pid, _started(child.pid, dead_too=True) or "")
    _children[process] = child
    return process


def end(processes: Sequence[Process], patience: float = 10.0) -> None:
    """Kills those of them that still run, and returns when they are gone. They have nothing worth saving."""
    pidfds = []
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(process.pid)
            # The pidfd holds on to whatever has the id now: only then is it safe to look who that is.
            if process.running():
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                pidfds.append(pidfd)
            else:
                os.close(pidfd)
    deadline = time.monotonic() + patience
    for pidfd in pidfds:
        gone = select.poll()
        gone.register(pidfd, select.POLLIN)
        gone.poll(max(0.0, deadline - time.monotonic()) * 1000)
        os.close(pidfd)
    for process in processes:
        child = _children.pop(process, None)
        if child is not None:
            child.wait(patience)


def _started(pid: int, *, dead_too: bool = False) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in brackets, may itself hold blanks and brackets.
    fields = text.rpartition(")")[2].split()
    state, ticks = fields[0], fields[19]
    if state in "ZX" and not dead_too:
        return None
    return f"{boot[:8]}-{ticks}"
