"""Brings a sandbox up, component by component, or leaves nothing behind.

Until it is up, every sandbox hangs on the lifeline of the process that starts it; only then is a detached one
released. So a start that is interrupted, however, takes what it started with it.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from trimtab import admission
from trimtab.sandbox import components
from trimtab.sandbox.api_server import ApiServer, connected
from trimtab.sandbox.build import Binaries
from trimtab.sandbox.certs import ADMIN, CLIENTS, make_pki
from trimtab.sandbox.components import Layout
from trimtab.sandbox.crashes import BY_ANNOTATION
from trimtab.sandbox.errors import SandboxExistsError, StartError
from trimtab.sandbox.kubeconfig import write_kubeconfig
from trimtab.sandbox.nodes import STAGE_CRD, STAGES, kwok_objects, node, ready_count
from trimtab.sandbox.places import sandbox_directory, sandboxes_root
from trimtab.sandbox.processes import Lifeline, Process, spawn
from trimtab.sandbox.record import Record, claim, erase, read, read_all, write

PATIENCE = 90.0  # seconds for any one condition; a loaded machine is slow, a broken one says so at once
_POLL = 0.03
# Below Linux's ephemeral ports, which outgoing connections take at any time.
_PORTS = range(20000, 32000)
_TRIES = 3
_ADMISSION = {
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
}


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    name: str
    nodes: int
    detached: bool


class _PortTakenError(StartError):
    """Somebody else took a port between our look and our use of it."""


def start(wanted: Wanted, binaries: Binaries) -> tuple[Record, Lifeline]:
    """A sandbox whose API server is ready and whose nodes are.

    Raises:
        SandboxExistsError: that name is taken by one that is up or being started.
        StartError: a component died or was not ready in time; nothing of the sandbox is left.
    """
    for attempt in range(_TRIES):
        try:
            return _start_once(wanted, binaries)
        except _PortTakenError:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def layout_of(record: Record) -> Layout:
    return Layout(sandbox_directory(record.name), *record.ports)


def _start_once(wanted: Wanted, binaries: Binaries) -> tuple[Record, Lifeline]:
    record = _claimed(wanted, binaries)
    lifeline = Lifeline.open()
    bring_up = _BringUp(record, layout_of(record), binaries, lifeline)
    try:
        bring_up.run()
        bring_up.finish(wanted.detached)
    except BaseException:
        erase(bring_up.layout.directory, bring_up.record)
        lifeline.close()
        raise
    return bring_up.record, lifeline


def _claimed(wanted: Wanted, binaries: Binaries) -> Record:
    directory = sandbox_directory(wanted.name)
    sandboxes_root().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (sandboxes_root() / ".lock").open("a") as lock:
        # Held until the ports are written down, so that two starts do not choose the same.
        fcntl.flock(lock, fcntl.LOCK_EX)
        existing = read(directory)
        # A folder always comes with its record: without a readable one it is rubbish.
        if existing is None or existing.dead or existing.orphaned:
            erase(directory, existing)
        ports = _free_ports(3)
        record = Record(
            name=wanted.name,
            version=binaries.version,
            binaries=str(binaries.directory),
            server=Layout(directory, *ports).server,
            ports=ports,
            nodes=wanted.nodes,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            owner=Process.current(),
        )
        if not claim(directory, record):
            raise SandboxExistsError(f"sandbox {wanted.name!r} is already there")
    return record


@dataclass
class _BringUp:
    record: Record
    layout: Layout
    binaries: Binaries
    lifeline: Lifeline

    def run(self) -> None:
        self.layout.logs.mkdir()
        self._write_identities()
        self._spawn(components.etcd(self.layout))
        self._wait("etcd to listen", lambda: _listens(self.layout.etcd_port))
        self._spawn(components.api_server(self.layout))
        with connected(self.layout) as server:
            self._wait("the API server to be ready", lambda: server.get("/readyz").ok)
            crd, stages = kwok_objects()
            if self.record.nodes:  # first, as it takes a while until the kind is served
                self._create(server, STAGE_CRD, crd)
            self._spawn(components.controller_manager(self.layout))
            self._spawn(components.scheduler(self.layout))
            self._add_admission(server)
            if self.record.nodes:
                self._wait("kwok's stages to be served", lambda: server.get(STAGES).ok)
                for stage in (*stages, BY_ANNOTATION):
                    self._create(server, STAGES, stage)
                self._add_nodes(server)
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait("the default service account", lambda: server.get(account).ok)

    def finish(self, detached: bool) -> None:
        """Declares it up, and lets go of it if it is to live on."""
        owner = None if detached else self.record.owner
        self.record = replace(self.record, owner=owner, ready=True)
        write(self.layout.directory, self.record)
        if detached:
            self.lifeline.release(len(self.record.components))

    def _write_identities(self) -> None:
        pki = make_pki(self.layout.directory / "pki", datetime.datetime.now(datetime.UTC))
        context = f"trimtab-{self.record.name}"
        for client in CLIENTS:
            own = self.layout.component_kubeconfig(client.file)
            path = self.layout.kubeconfig if client is ADMIN else own
            write_kubeconfig(path, context, self.layout.server, pki.ca.certificate, pki.pair(client.file))

    def _spawn(self, command: list[str]) -> None:
        name = command[0]
        arguments: list[str | Path] = [self.binaries.controlplane, *command]
        process = spawn(arguments, self.layout.log(name), self.layout.directory, self.lifeline)
        self.record = self.record.with_component(name, process)
        write(self.layout.directory, self.record)

    def _add_admission(self, server: ApiServer) -> None:
        """Trimtab's own policies. They need no CRD, and are in force about a second later."""
        for policy in yaml.safe_load_all(admission.text()):
            name = policy["metadata"]["name"]
            answer = server.apply(f"{_ADMISSION[policy['kind']]}/{name}", policy)
            if not answer.ok:
                raise StartError(
                    f"the API server refused {policy['kind']} {name}: {answer.code} {answer.body}"
                )

    def _add_nodes(self, server: ApiServer) -> None:
        for index in range(self.record.nodes):
            self._create(server, "/api/v1/nodes", node(index))
        self._spawn(components.kwok(self.layout))
        wanted = self.record.nodes
        self._wait(f"{wanted} nodes to be ready", lambda: _ready_nodes(server) >= wanted)

    def _create(self, server: ApiServer, path: str, body: dict[str, Any]) -> None:
        answer = server.post(path, body)
        if not answer.ok:
            what = f"{body['kind']} {body['metadata']['name']}"
            raise StartError(f"the API server refused {what}: {answer.code} {answer.body}")

    def _wait(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            for name, process in self.record.components.items():
                if not process.running():
                    raise self._failure(f"{name} died while waiting for {what}", name)
            if time.monotonic() > deadline:
                latest = list(self.record.components)[-1]
                raise self._failure(f"waited {PATIENCE:.0f} s in vain for {what}", latest)
            time.sleep(_POLL)

    def _failure(self, what: str, component: str) -> StartError:
        text = log_tail(self.layout.log(component))
        kind = _PortTakenError if "address already in use" in text else StartError
        return kind(f"sandbox {self.record.name!r}: {what}; the end of {component}'s log:\n{text}")


def log_tail(log: Path, lines: int = 20) -> str:
    with contextlib.suppress(FileNotFoundError):
        return "\n".join(line[:400] for line in log.read_text(errors="replace").splitlines()[-lines:])
    return ""


def _ready_nodes(server: ApiServer) -> int:
    answer = server.get("/api/v1/nodes")
    return ready_count(answer.body) if answer.ok else 0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_ports(count: int) -> tuple[int, ...]:
    taken = {port for record in read_all() for port in record.ports}
    candidates = random.sample(_PORTS, len(_PORTS))
    free = (port for port in candidates if port not in taken and _can_bind(port))
    return tuple(port for port, _ in zip(free, range(count), strict=False))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
