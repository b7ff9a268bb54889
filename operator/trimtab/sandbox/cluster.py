"""The sandbox as tests and the demo see it: start one, use it, stop it."""

from __future__ import annotations

import atexit
import os
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from trimtab.sandbox.build import Binaries, ensure_binaries
from trimtab.sandbox.errors import KubectlFailed, SandboxNotFound
from trimtab.sandbox.places import sandbox_directory
from trimtab.sandbox.processes import Lifeline
from trimtab.sandbox.progress import Progress
from trimtab.sandbox.record import Record, erase, read, sweep
from trimtab.sandbox.start import Wanted, layout_of, start
from trimtab.sandbox.status import Status, status_of


@dataclass(frozen=True)
class Sandbox:
    """A handle on one running control plane. Several may exist, in this process or others."""

    record: Record = field(repr=False)
    _lifeline: Lifeline | None = field(default=None, repr=False, compare=False)
    _starter: int = field(default_factory=os.getpid, repr=False, compare=False)

    @classmethod
    def start(
        cls,
        name: str | None = None,
        *,
        nodes: int = 0,
        lifetime: Literal["process", "detached"] = "process",
        progress: Progress | None = None,
    ) -> Self:
        """A new sandbox, ready to use; builds the binaries first if need be.

        ``lifetime="process"``: it dies with this process, even by kill -9, and is removed when this process exits.
        ``"detached"``: it stays until somebody stops it. Without a name it gets a unique one.

        Raises:
            InvalidName: that is no sandbox's name.
            BuildFailed: the binaries could not be built.
            SandboxAlreadyExists: one of that name is up or being started.
            StartFailed: a component died or was not ready in time.
        """
        chosen = name or f"p{os.getpid()}-{secrets.token_hex(3)}"
        sandbox_directory(chosen)  # a bad name is refused before anything is built
        binaries = ensure_binaries(progress)
        sweep()
        record, lifeline = start(Wanted(chosen, nodes, lifetime == "detached"), binaries)
        if lifetime == "detached":
            return cls(record)
        sandbox = cls(record, lifeline)
        atexit.register(sandbox._stop_at_exit)
        return sandbox

    @classmethod
    def find(cls, name: str) -> Self:
        """The sandbox of that name, started by whichever process; ``status()`` tells how it is.

        Raises:
            InvalidName: that is no sandbox's name.
            SandboxNotFound: there is none, or it is not up yet, or its owner is gone.
        """
        record = read(sandbox_directory(name))
        if record is None or not record.ready or record.orphaned:
            raise SandboxNotFound(f"no sandbox {name!r} is up; `trimtab sandbox up --name {name}` starts one")
        return cls(record)

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def directory(self) -> Path:
        return layout_of(self.record).directory

    @property
    def kubeconfig(self) -> Path:
        """The admin's, in group system:masters."""
        return layout_of(self.record).kubeconfig

    @property
    def logs(self) -> Path:
        return layout_of(self.record).logs

    @property
    def server(self) -> str:
        return self.record.server

    @property
    def binaries(self) -> Binaries:
        """Those that it was started with."""
        return Binaries(Path(self.record.binaries), self.record.version)

    def kubectl(self, *args: str, input: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:  # noqa: A002
        """Runs the bundled kubectl as the admin.

        Raises:
            KubectlFailed: it exited non-zero and ``check`` is true.
        """
        command = [str(self.binaries.kubectl), *args]
        run = subprocess.run(
            command, env=self.kubectl_environment(), input=input, capture_output=True, text=True, check=False
        )
        if check and run.returncode != 0:
            raise KubectlFailed(run.returncode, command, run.stdout, run.stderr)
        return run

    def kubectl_environment(self) -> dict[str, str]:
        """This process's environment, with the user's own kubectl settings and caches kept out."""
        own = {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.directory / "kubectl-cache"),
            "KUBERC": "off",
        }
        return {**os.environ, **own}

    def status(self) -> Status:
        return status_of(self.name)

    def stop(self) -> None:
        """Ends all of it and removes its data. Does nothing when it is gone already."""
        current = read(self.directory)
        # By now the name may be another sandbox's.
        if current is not None and current.created == self.record.created and current.ports == self.record.ports:
            erase(self.directory, current)
        if self._lifeline is not None:
            self._lifeline.close()
            atexit.unregister(self._stop_at_exit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _stop_at_exit(self) -> None:
        if os.getpid() == self._starter:
            self.stop()


def remove(name: str) -> bool:
    """Stops the sandbox of that name in whatever state and removes its data; False where there was none.

    Raises:
        InvalidName: that is no sandbox's name.
    """
    directory = sandbox_directory(name)
    record = read(directory)
    if record is None:
        return False
    erase(directory, record)
    return True
