"""CPU and memory of a process, from /proc: nothing is installed, nothing is asked of the process."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds since its start (user and system), resident bytes now and at most."""

    cpu: float
    rss: int
    peak: int


def usage(pid: int) -> Usage:
    """:raises FileNotFoundError: there is no such process (any more)."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    memory = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return Usage(
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        rss=_kib(memory.get("VmRSS", "0")),
        peak=_kib(memory.get("VmHWM", "0")),
    )


def waited(pid: int) -> float:
    """Seconds that its threads were runnable but had no core: the machine's doing, not the process's."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended, or a kernel without statistics
            total += int((thread / "schedstat").read_text().split()[1])
    return total / 1e9


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024
