"""Starts a sandbox, component by component, and removes it if that fails.

Until a sandbox is ready, its components depend on the lifeline of the process that starts it. A detached sandbox is
released only then, so an interrupted start leaves no process behind.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from trimtab import admission
from trimtab.sandbox import components
from trimtab.sandbox.api_client import ApiClient, Response, connect
from trimtab.sandbox.build import Binaries
from trimtab.sandbox.certificates import ADMIN, CLIENTS, issue_all
from trimtab.sandbox.errors import SandboxExistsError, StartError
from trimtab.sandbox.kubeconfig import write_kubeconfig
from trimtab.sandbox.kwok import STAGE_CRD, STAGES, kwok_objects, node, ready_count
from trimtab.sandbox.paths import Layout, sandbox_directory, sandboxes_root
from trimtab.sandbox.ports import accepts_connections, free_ports
from trimtab.sandbox.processes import Lifeline, Process, spawn
from trimtab.sandbox.record import Record, create, read, read_all, remove, write

TIMEOUT = 90.0  # seconds for each condition, enough for a loaded machine; a component that exits is reported earlier
_POLL_INTERVAL = 0.03
_ATTEMPTS = 3
_ADMISSION = {
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


@dataclass(frozen=True)
class Request:
    """The sandbox to start."""

    name: str
    nodes: int
    detached: bool


class _PortTakenError(StartError):
    """Another process took a port after ``free_ports`` had found it free."""


def start(request: Request, binaries: Binaries) -> tuple[Record, Lifeline]:
    """A sandbox whose API server and nodes are ready.

    Raises:
        SandboxExistsError: a sandbox of this name runs or is starting.
        StartError: a component exited or was not ready in time; nothing of the sandbox remains.
    """
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(_PortTakenError):
            return _attempt(request, binaries)
    return _attempt(request, binaries)


def _attempt(request: Request, binaries: Binaries) -> tuple[Record, Lifeline]:
    record = _reserve(request, binaries)
    lifeline = Lifeline.open()
    startup = _Startup(record, record.layout, binaries, lifeline)
    try:
        startup.run()
        startup.finish(request.detached)
    except BaseException:
        remove(startup.layout.directory, startup.record)
        lifeline.close()
        raise
    return startup.record, lifeline


def _reserve(request: Request, binaries: Binaries) -> Record:
    """Records the name and the ports of the new sandbox."""
    directory = sandbox_directory(request.name)
    sandboxes_root().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (sandboxes_root() / ".lock").open("a") as lock:
        # Held until the ports are recorded, so that concurrent starts choose different ones.
        fcntl.flock(lock, fcntl.LOCK_EX)
        existing = read(directory)
        # A directory is created with its record in it, so one without a readable record is a leftover.
        if existing is None or existing.dead or existing.orphaned:
            remove(directory, existing)
        ports = free_ports(3, {port for record in read_all() for port in record.ports})
        record = Record(
            name=request.name,
            version=binaries.version,
            binaries=str(binaries.directory),
            server=Layout(directory, *ports).server,
            ports=ports,
            nodes=request.nodes,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            owner=Process.current(),
        )
        if not create(directory, record):
            raise SandboxExistsError(f"sandbox {request.name!r} already exists")
    return record


@dataclass
class _Startup:
    record: Record
    layout: Layout
    binaries: Binaries
    lifeline: Lifeline

    def run(self) -> None:
        self.layout.logs.mkdir()
        self._write_credentials()
        self._spawn(components.etcd(self.layout))
        self._wait("etcd to listen", lambda: accepts_connections(self.layout.etcd_port))
        self._spawn(components.api_server(self.layout))
        with connect(self.layout) as client:
            self._wait("the API server to be ready", lambda: client.get("/readyz").ok)
            crd, stages = kwok_objects()
            if self.record.nodes:  # early, because the API server needs some time until it serves a new kind
                self._create(client, STAGE_CRD, crd)
            self._spawn(components.controller_manager(self.layout))
            self._spawn(components.scheduler(self.layout))
            self._apply_admission_policies(client)
            if self.record.nodes:
                self._wait("kwok's stages to be served", lambda: client.get(STAGES).ok)
                for stage in stages:
                    self._create(client, STAGES, stage)
                self._create_nodes(client)
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait("the default service account", lambda: client.get(account).ok)

    def finish(self, detached: bool) -> None:
        """Records that it is ready and, if detached, releases it from this process."""
        owner = None if detached else self.record.owner
        self.record = replace(self.record, owner=owner, ready=True)
        write(self.layout.directory, self.record)
        if detached:
            self.lifeline.release(len(self.record.components))

    def _write_credentials(self) -> None:
        files = issue_all(self.layout.certificates.directory)
        context = f"trimtab-{self.record.name}"
        for client in CLIENTS:
            component = self.layout.component_kubeconfig(client.name)
            path = self.layout.kubeconfig if client is ADMIN else component
            write_kubeconfig(path, context, self.layout.server, files.ca.certificate, files.pair(client.name))

    def _spawn(self, command: list[str]) -> None:
        name = command[0]
        arguments: list[str | Path] = [self.binaries.controlplane, *command]
        process = spawn(arguments, self.layout.log(name), self.layout.directory, self.lifeline)
        self.record = self.record.with_component(name, process)
        write(self.layout.directory, self.record)

    def _apply_admission_policies(self, client: ApiClient) -> None:
        """Trimtab's own. They require no CRD; the API server enforces them about a second later."""
        for policy in yaml.safe_load_all(admission.text()):
            path = f"{_ADMISSION[policy['kind']]}/{policy['metadata']['name']}"
            _require(client.apply(path, policy), policy)

    def _create_nodes(self, client: ApiClient) -> None:
        wanted = self.record.nodes
        for index in range(wanted):
            self._create(client, "/api/v1/nodes", node(index))
        self._spawn(components.kwok(self.layout))
        self._wait(f"{wanted} nodes to be ready", lambda: _ready_nodes(client) >= wanted)

    def _create(self, client: ApiClient, path: str, body: dict[str, Any]) -> None:
        _require(client.post(path, body), body)

    def _wait(self, condition: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not reached():
            for name, process in self.record.components.items():
                if not process.running():
                    raise self._failure(f"{name} exited while waiting for {condition}", name)
            if time.monotonic() > deadline:
                latest = list(self.record.components)[-1]
                raise self._failure(f"timed out after {TIMEOUT:.0f}s waiting for {condition}", latest)
            time.sleep(_POLL_INTERVAL)

    def _failure(self, problem: str, component: str) -> StartError:
        text = log_tail(self.layout.log(component))
        kind = _PortTakenError if "address already in use" in text else StartError
        return kind(f"sandbox {self.record.name!r}: {problem}; the last lines of {component}'s log:\n{text}")


def log_tail(log: Path, lines: int = 20) -> str:
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(line[:400] for line in log.read_text(errors="replace").splitlines()[-lines:])
    return ""


def _require(response: Response, body: dict[str, Any]) -> None:
    if not response.ok:
        name = f"{body['kind']} {body['metadata']['name']}"
        raise StartError(f"the API server rejected {name}: {response.code} {response.body}")


def _ready_nodes(client: ApiClient) -> int:
    response = client.get("/api/v1/nodes")
    return ready_count(response.body) if response.ok else 0
