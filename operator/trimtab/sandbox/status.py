"""The status of a sandbox, from its record, its processes and its API server."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trimtab.sandbox.api_client import connect
from trimtab.sandbox.paths import sandbox_directory
from trimtab.sandbox.record import Record, read, read_all

State = Literal["Running", "Starting", "Degraded", "Stopped", "Absent"]


@dataclass(frozen=True)
class Component:
    """One process of a sandbox."""

    name: str
    pid: int
    running: bool


@dataclass(frozen=True)
class Status:
    """The current state of a sandbox.

    Running: all components run and the API server is ready. Starting: it was not ready yet. Degraded: a component
    exited or the API server is not ready. Stopped: no component runs; the logs still exist. Absent: no sandbox has
    that name. ``reason`` explains all but Running.
    """

    name: str
    state: State
    reason: str = ""
    server: str = ""
    version: str = ""
    kubeconfig: str = ""
    nodes: int = 0
    age_seconds: int = 0
    owner_pid: int | None = None  # stops when this process exits; None: runs until it is stopped
    components: tuple[Component, ...] = ()

    @property
    def running(self) -> bool:
        return self.state == "Running"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "components": [asdict(component) for component in self.components]}


def status_of(name: str) -> Status:
    """The status of the sandbox of that name, also if there is none.

    Raises:
        InvalidNameError: the name is not a valid sandbox name.
    """
    record = read(sandbox_directory(name))
    if record is None:
        return Status(name, "Absent", f"there is no sandbox {name!r}")
    return _status(record)


def all_statuses() -> list[Status]:
    return [_status(record) for record in read_all()]


def _status(record: Record) -> Status:
    components = tuple(Component(name, p.pid, p.running()) for name, p in record.components.items())
    state, reason = _state(record, components)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(record.created)
    return Status(
        name=record.name,
        state=state,
        reason=reason,
        server=record.server,
        version=record.version,
        kubeconfig=str(record.layout.kubeconfig),
        nodes=record.nodes,
        age_seconds=max(0, int(age.total_seconds())),
        owner_pid=record.owner.pid if record.owner else None,
        components=components,
    )


def _state(record: Record, components: tuple[Component, ...]) -> tuple[State, str]:
    logs = record.layout.logs
    if not record.ready:
        return "Starting", f"process {record.owner.pid if record.owner else '?'} is starting it"
    exited = [component.name for component in components if not component.running]
    if len(exited) == len(components):
        return "Stopped", f"no component runs; logs are in {logs}"
    if exited:
        return "Degraded", f"not running: {', '.join(exited)}; logs are in {logs}"
    with connect(record.layout, timeout=3) as client:
        if not client.get("/readyz").ok:
            return "Degraded", f"the API server is not ready; logs are in {logs}"
    return "Running", ""
