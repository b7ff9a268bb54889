"""A sandbox as recorded in its directory: enough for other processes to find, check and stop it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from trimtab.sandbox.paths import Layout, sandbox_directory, sandboxes_root
from trimtab.sandbox.processes import Process, kill

_FILE = "sandbox.json"


@dataclass(frozen=True)
class Record:
    """One sandbox. ``owner`` is the process that it must not outlive: its starter, until a detached one is ready."""

    name: str
    version: str
    binaries: str
    server: str
    ports: tuple[int, ...]
    nodes: int
    created: str
    owner: Process | None
    ready: bool = False
    components: dict[str, Process] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        return Layout(sandbox_directory(self.name), *self.ports)

    @property
    def orphaned(self) -> bool:
        """Whether its owner has exited."""
        return self.owner is not None and not self.owner.running()

    @property
    def dead(self) -> bool:
        """Whether it was ready once and no component runs now."""
        return self.ready and not any(process.running() for process in self.components.values())

    def with_component(self, name: str, process: Process) -> Record:
        return replace(self, components={**self.components, name: process})


def create(directory: Path, record: Record) -> bool:
    """Creates the directory and the record in it atomically; False if the directory exists."""
    fresh = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    write(fresh, record)
    try:
        fresh.rename(directory)
    except OSError:
        shutil.rmtree(fresh)
        return False
    return True


def write(directory: Path, record: Record) -> None:
    fresh = directory / f".{_FILE}"
    fresh.write_text(json.dumps(asdict(record), indent=2))
    fresh.rename(directory / _FILE)


def read(directory: Path) -> Record | None:
    """The record in this directory, None if there is none that this version can read."""
    try:
        content = json.loads((directory / _FILE).read_text())
        content["components"] = {name: Process(**each) for name, each in content["components"].items()}
        content["owner"] = Process(**content["owner"]) if content["owner"] else None
        return Record(**{**content, "ports": tuple(content["ports"])})
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None


def read_all() -> list[Record]:
    found = (read(directory) for directory in sorted(sandboxes_root().glob("[!.]*")))
    return [record for record in found if record is not None]


def remove(directory: Path, record: Record | None) -> None:
    """Kills the components in the record and removes the directory."""
    if record is not None:
        kill(list(record.components.values()))
    # Renamed first, so that no process reads half a sandbox and the name is free immediately.
    removed = directory.with_name(f".{directory.name}.{os.getpid()}.removed")
    with contextlib.suppress(FileNotFoundError):
        directory.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)


def remove_orphans() -> list[str]:
    """Removes sandboxes whose owner has exited and directories that exited processes left half created or removed.

    Returns the names of those sandboxes.
    """
    orphans = [record for record in read_all() if record.orphaned]
    for record in orphans:
        remove(sandboxes_root() / record.name, record)
    for leftover in sandboxes_root().glob(".*.[0-9]*"):
        pid = leftover.name.split(".")[2]
        if pid.isdigit() and Process.of(int(pid)) is None:
            shutil.rmtree(leftover, ignore_errors=True)
    return [record.name for record in orphans]
