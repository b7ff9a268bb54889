"""What a run ran on."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "trimtab",
    "kopf",
    "kubernetes",
    "aiohttp",
    "msgspec",
    "pydantic",
    "pydantic-core",
    "omegaconf",
)


def describe(api_server: str) -> str:
    """Markdown: a machine's name is not part of it."""
    rows = [
        ("date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("CPU", f"{_cpu()}, {os.cpu_count()} cores"),
        ("memory", f"{_memory() / 2**30:.1f} GiB"),
        ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("API server", api_server),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ("load before", f"{os.getloadavg()[0]:.2f} (1 minute)"),
    ]
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
