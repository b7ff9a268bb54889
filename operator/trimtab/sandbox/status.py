"""How a sandbox is, judged from its record, its processes and its API server."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from trimtab.sandbox.api_server import connected
from trimtab.sandbox.places import sandbox_directory
from trimtab.sandbox.record import Record, read, read_all
from trimtab.sandbox.start import layout_of

State = Literal["Running", "Starting", "Degraded", "Stopped", "Absent"]


@dataclass(frozen=True)
class Component:
    """One process of a sandbox."""

    name: str
    pid: int
    running: bool


@dataclass(frozen=True)
class Status:
    """A sandbox as it is now.

    Running: all components run and the API server is ready. Degraded: one died or is not ready, as ``reason``
    says. Stopped: it was up and nothing of it runs; its logs are still there. Absent: none has that name.
    """

    name: str
    state: State
    reason: str = ""
    server: str = ""
    version: str = ""
    kubeconfig: str = ""
    nodes: int = 0
    age_seconds: int = 0
    owner_pid: int | None = None  # it dies with this process; None: it is on its own
    components: tuple[Component, ...] = ()

    @property
    def running(self) -> bool:
        return self.state == "Running"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "components": [asdict(component) for component in self.components]}


def status_of(name: str) -> Status:
    """Never raises for a missing sandbox: that is a state too.

    Raises:
        InvalidNameError: no sandbox can have that name.
    """
    record = read(sandbox_directory(name))
    if record is None:
        return Status(name, "Absent", f"there is no sandbox {name!r}")
    return _judged(record)


def all_statuses() -> list[Status]:
    return [_judged(record) for record in read_all()]


def _judged(record: Record) -> Status:
    layout = layout_of(record)
    components = tuple(Component(name, p.pid, p.running()) for name, p in record.components.items())
    state, reason = _state(record, components)
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(record.created)
    return Status(
        name=record.name,
        state=state,
        reason=reason,
        server=record.server,
        version=record.version,
        kubeconfig=str(layout.kubeconfig),
        nodes=record.nodes,
        age_seconds=max(0, int(age.total_seconds())),
        owner_pid=record.owner.pid if record.owner else None,
        components=components,
    )


def _state(record: Record, components: tuple[Component, ...]) -> tuple[State, str]:
    logs: Path = layout_of(record).logs
    if not record.ready:
        return "Starting", f"being started by process {record.owner.pid if record.owner else '?'}"
    gone = [component.name for component in components if not component.running]
    if len(gone) == len(components):
        return "Stopped", f"nothing of it runs any more; logs in {logs}"
    if gone:
        return "Degraded", f"not running: {', '.join(gone)}; logs in {logs}"
    with connected(layout_of(record), timeout=3) as server:
        if not server.get("/readyz").ok:
            return "Degraded", f"the API server is not ready; logs in {logs}"
    return "Running", ""
