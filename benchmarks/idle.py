"""A process that does nothing but wake up: how late that is, is what the machine alone does to any process here.

Beside the operator's longest loop iteration it tells which part of it a busy machine is to blame for.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

BEAT = 0.01


@dataclass(slots=True)
class Lateness:
    """Seconds; set when the period has ended."""

    worst: float = 0.0


@contextlib.contextmanager
def beside() -> Iterator[Lateness]:
    """Run the idle process for as long as the block takes."""
    found = Lateness()
    process = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield found
    finally:
        answer, _ = process.communicate()
        found.worst = float(answer or "nan")


def main() -> None:
    """Beat until stdin ends, then say how late the latest beat was."""
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    worst = 0.0
    while not ended.is_set():
        before = time.perf_counter()
        time.sleep(BEAT)
        worst = max(worst, time.perf_counter() - before - BEAT)
    print(worst)


if __name__ == "__main__":
    main()
