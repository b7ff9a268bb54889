"""Lines that tell who watches what a run is doing."""

from __future__ import annotations

import time

_started = time.perf_counter()


def say(text: str) -> None:
    print(f"[{time.perf_counter() - _started:6.1f} s] {text}", flush=True)
