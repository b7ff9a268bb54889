"""Runs kubectl against one cluster, without the user's own kubectl settings and caches."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from trimtab.sandbox.errors import KubectlError


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one kubeconfig. ``cache`` is its directory for discovery caches."""

    binary: Path
    kubeconfig: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.cache), "KUBERC": "off"}
        return {**os.environ, **own}

    def run(
        self, *args: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """The finished process, with its output as text.

        Raises:
            KubectlError: it exited non-zero and ``check`` is true.
        """
        command = [str(self.binary), *args]
        run = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, text=True, check=False
        )
        if check and run.returncode != 0:
            raise KubectlError(run.returncode, command, run.stdout, run.stderr)
        return run
