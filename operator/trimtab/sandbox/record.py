"""What is written down about a sandbox, in its folder: enough for others to find, judge and end it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from trimtab.sandbox.places import sandboxes_root
from trimtab.sandbox.processes import Process, end

_FILE = "sandbox.json"


@dataclass(frozen=True)
class Record:
    """One sandbox. ``owner`` is set while it lives only as long as that process: always until it is up."""

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
    def orphaned(self) -> bool:
        """Whether the process that it should not outlive is gone."""
        return self.owner is not None and not self.owner.running()

    @property
    def dead(self) -> bool:
        """Whether nothing of it runs, though it was up."""
        return self.ready and not any(process.running() for process in self.components.values())

    def with_component(self, name: str, process: Process) -> Record:
        return replace(self, components={**self.components, name: process})


def claim(directory: Path, record: Record) -> bool:
    """Makes the folder with its record in it, at once; False where there is one already."""
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
    """The record in this folder; None where there is no such folder, or no record this version can read."""
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


def erase(directory: Path, record: Record | None) -> None:
    """Ends what still runs of it, as far as its record tells, and removes its folder."""
    if record is not None:
        end(list(record.components.values()))
    # Renamed first: nobody sees half a sandbox, and the name is free at once.
    grave = directory.with_name(f".{directory.name}.{os.getpid()}.gone")
    with contextlib.suppress(FileNotFoundError):
        directory.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


def sweep() -> list[str]:
    """Removes what the dead left behind: sandboxes whose owner is gone, and folders made or removed by half.

    Returns the names of those sandboxes.
    """
    swept = []
    for record in read_all():
        if record.orphaned:
            erase(sandboxes_root() / record.name, record)
            swept.append(record.name)
    for left in sandboxes_root().glob(".*.[0-9]*"):
        pid = left.name.split(".")[2]
        if pid.isdigit() and Process.of(int(pid)) is None:
            shutil.rmtree(left, ignore_errors=True)
    return swept
