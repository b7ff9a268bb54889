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
from trimtab.sandbox.crashes import CRASH_LOOP, DIGEST, Crashes
from trimtab.sandbox.errors import SandboxNotFoundError
from trimtab.sandbox.kubectl import Kubectl
from trimtab.sandbox.places import sandbox_directory
from trimtab.sandbox.processes import Lifeline
from trimtab.sandbox.progress import Progress
from trimtab.sandbox.record import Record, erase, read, sweep
from trimtab.sandbox.start import Wanted, layout_of, start
from trimtab.sandbox.status import Status, status_of


@dataclass(frozen=True, repr=False)
class Sandbox:
    """A handle on one control plane. Several may run at once, started by this process or others."""

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
        """A new sandbox, ready to use; builds the binaries first if need be.

        ``lifetime="process"``: it dies with this process, even by kill -9, and is removed when this process
        exits. ``"detached"``: it stays until somebody stops it. Without a name it gets a unique one.

        Raises:
            InvalidNameError: that is no sandbox's name.
            BuildError: the binaries could not be built.
            SandboxExistsError: one of that name is up or being started.
            StartError: a component died or was not ready in time.
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
            InvalidNameError: that is no sandbox's name.
            SandboxNotFoundError: there is none, or it is not up yet, or its owner is gone.
        """
        record = read(sandbox_directory(name))
        if record is None or not record.ready or record.orphaned:
            raise SandboxNotFoundError(
                f"no sandbox {name!r} is up; `trimtab sandbox up --name {name}` starts one"
            )
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

    @property
    def kubectl_here(self) -> Kubectl:
        """The bundled kubectl as the admin of this sandbox."""
        return Kubectl(self.binaries.kubectl, self.kubeconfig, self.directory / "kubectl-cache")

    def kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - as subprocess calls it
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Runs the bundled kubectl as the admin.

        Raises:
            KubectlError: it exited non-zero and ``check`` is true.
        """
        return self.kubectl_here.run(*args, stdin=input, check=check)

    def crash_pods(self, value: str, annotation: str = DIGEST, reason: str = CRASH_LOOP) -> None:
        """From now on pods with that annotation (by default: made for that digest) crash and never become ready.

        With another ``reason`` than CrashLoopBackOff their containers never start. It needs nodes; several values
        may crash at once.

        Raises:
            SandboxError: pods that there are already did not crash in time.
        """
        Crashes(self.kubectl).start(value, annotation, reason)

    def mend_pods(self, value: str, annotation: str = DIGEST) -> None:
        """Pods with that annotation run and become ready again, as all others.

        Raises:
            SandboxError: pods that there are already did not recover in time.
        """
        Crashes(self.kubectl).stop(value, annotation)

    def __repr__(self) -> str:
        return f"<Sandbox {self.name} {self.server}>"

    def status(self) -> Status:
        return status_of(self.name)

    def stop(self) -> None:
        """Ends all of it and removes its data. Does nothing when it is gone already."""
        current = read(self.directory)
        # By now the name may be another sandbox's.
        if current is not None and (current.created, current.ports) == (
            self.record.created,
            self.record.ports,
        ):
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
        InvalidNameError: that is no sandbox's name.
    """
    directory = sandbox_directory(name)
    there = directory.exists()
    erase(directory, read(directory))
    return there
