"""The whole error tree of the sandbox: one class for each way in which a caller may want to react."""

from __future__ import annotations

import subprocess


class SandboxError(Exception):
    """Anything that the sandbox reports."""


class InvalidNameError(SandboxError, ValueError):
    """A sandbox's name has to be a DNS label."""


class BuildError(SandboxError, RuntimeError):
    """The control plane could not be built; the message has the compiler's last lines."""


class SandboxNotFoundError(SandboxError, LookupError):
    """No sandbox has that name."""


class SandboxExistsError(SandboxError, RuntimeError):
    """A sandbox of that name is running or being started."""


class StartError(SandboxError, RuntimeError):
    """A component died or was not ready in time: its log's end is in the message. Nothing is left running."""


class KubectlError(SandboxError, subprocess.CalledProcessError):
    """kubectl exited non-zero; unlike its base class it shows what kubectl wrote on stderr."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr or ''}".rstrip()
