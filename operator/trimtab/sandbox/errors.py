"""The errors of the sandbox: one class for each way in which a caller may react."""

from __future__ import annotations

import subprocess


class SandboxError(Exception):
    """The base class of all errors of the sandbox."""


class InvalidNameError(SandboxError, ValueError):
    """The name of a sandbox must be a DNS label of at most 40 characters."""


class BuildError(SandboxError, RuntimeError):
    """The control plane could not be built; the message contains the compiler's last lines."""


class SandboxNotFoundError(SandboxError, LookupError):
    """No sandbox of that name is ready."""


class SandboxExistsError(SandboxError, RuntimeError):
    """A sandbox of that name runs or is starting."""


class StartError(SandboxError, RuntimeError):
    """A component exited or was not ready in time. The message contains its last log lines; no process remains."""


class KubectlError(SandboxError, subprocess.CalledProcessError):
    """kubectl exited non-zero. Unlike that of its base class, the message contains kubectl's stderr."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr or ''}".rstrip()
