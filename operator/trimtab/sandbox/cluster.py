"""The Python API of the sandbox: start, find, use and stop a control plane."""

from __future__ import annotations

import atexit
import os
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from trimtab.sandbox import record as records
from trimtab.sandbox.build import Binaries, ensure_binaries
from trimtab.sandbox.errors import SandboxNotFoundError
from trimtab.sandbox.kubectl import Kubectl
from trimtab.sandbox.paths import sandbox_directory
from trimtab.sandbox.processes import Lifeline
from trimtab.sandbox.progress import Progress
from trimtab.sandbox.record import Record
from trimtab.sandbox.start import Request, start
from trimtab.sandbox.status import Status, status_of


@dataclass(frozen=True, repr=False)
class Sandbox:
    """A handle on one control plane. Several may run at the same time, started by this process or others."""

    record: Record
    _lifeline: Lifeline | None = field(default=None, compare=False)
    _starter: int = field(default_factory=os.getpid, compare=False)

    @classmethod
    def start(
        cls,
        name: str | None = None,
        *,
        nodes: int = 0,
        lifetime: Literal["process", "detached"] = "process",
        progress: Progress | None = None,
    ) -> Self:
        """A new sandbox that is ready to use; builds the binaries first if necessary.

        ``lifetime="process"``: it stops when this process exits, even on SIGKILL, and is removed. ``"detached"``: it
        runs until it is stopped. The default name is unique.

        Raises:
            InvalidNameError: the name is not a valid sandbox name.
            BuildError: the binaries could not be built.
            SandboxExistsError: a sandbox of this name runs or is starting.
            StartError: a component exited or was not ready in time.
        """
        chosen = name or f"p{os.getpid()}-{secrets.token_hex(3)}"
        sandbox_directory(chosen)  # rejects an invalid name before the build
        binaries = ensure_binaries(progress)
        records.remove_orphans()
        record, lifeline = start(Request(chosen, nodes, lifetime == "detached"), binaries)
        if lifetime == "detached":
            return cls(record)
        sandbox = cls(record, lifeline)
        atexit.register(sandbox._stop_at_exit)
        return sandbox

    @classmethod
    def find(cls, name: str) -> Self:
        """The sandbox of that name, whichever process started it. Its ``status()`` may not be Running.

        Raises:
            InvalidNameError: the name is not a valid sandbox name.
            SandboxNotFoundError: there is none, it is not ready yet, or its owner has exited.
        """
        record = records.read(sandbox_directory(name))
        if record is None or not record.ready or record.orphaned:
            raise SandboxNotFoundError(
                f"sandbox {name!r} does not run; start it with `trimtab sandbox up --name {name}`"
            )
        return cls(record)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def directory(self) -> Path:
        return self.record.layout.directory

    @property
    def kubeconfig(self) -> Path:
        """The admin's kubeconfig; the admin is in the group system:masters."""
        return self.record.layout.kubeconfig

    @property
    def logs(self) -> Path:
        return self.record.layout.logs

    @property
    def server(self) -> str:
        return self.record.server

    @property
    def binaries(self) -> Binaries:
        """The binaries that its components run."""
        return Binaries(Path(self.record.binaries), self.record.version)

    @property
    def admin_kubectl(self) -> Kubectl:
        """The bundled kubectl as the admin of this sandbox."""
        return Kubectl(self.binaries.kubectl, self.kubeconfig, self.directory / "kubectl-cache")

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - the name that subprocess uses
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs the bundled kubectl as the admin.

        Raises:
            KubectlError: it exited non-zero and ``check`` is true.
        """
        return self.admin_kubectl.run(*args, stdin=input, check=check)

    def __repr__(self) -> str:
        return f"<Sandbox {self.name} {self.server}>"

    def status(self) -> Status:
        return status_of(self.name)

    def stop(self) -> None:
        """Stops all components and removes the data. Does nothing if the sandbox does not exist."""
        current = records.read(self.directory)
        # A newer sandbox may have the same name.
        identity = (self.record.created, self.record.ports)
        if current is not None and (current.created, current.ports) == identity:
            records.remove(self.directory, current)
        if self._lifeline is not None:
            self._lifeline.close()
            atexit.unregister(self._stop_at_exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._starter:
            self.stop()


def remove(name: str) -> bool:
    """Stops the sandbox of that name in whatever state and removes its data; False if there was none.

    Raises:
        InvalidNameError: the name is not a valid sandbox name.
    """
    directory = sandbox_directory(name)
    existed = directory.exists()
    records.remove(directory, records.read(directory))
    return existed
