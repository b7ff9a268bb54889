"""The whole error tree of the sandbox: one class for each way in which a caller may want to react."""

from __future__ import annotations

import subprocess


class SandboxError(Exception):
    """Anything that the sandbox reports."""


class InvalidName(SandboxError, ValueError):
    """A sandbox's name has to be a DNS label."""


class BuildFailed(SandboxError, RuntimeError):
    """The control plane could not be built; the message has the compiler's last lines."""


class SandboxNotFound(SandboxError, LookupError):
    """No sandbox has that name."""


class SandboxAlreadyExists(SandboxError, RuntimeError):
    """A sandbox of that name is running or being started."""


class StartFailed(SandboxError, RuntimeError):
    """A component died or was not ready in time; the message has the end of its log. Nothing is left running."""


class KubectlFailed(SandboxError, subprocess.CalledProcessError):
    """kubectl exited non-zero; unlike its base class it shows what kubectl wrote on stderr."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr or ''}".rstrip()
