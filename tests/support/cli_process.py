"""The command line as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


class Shell:
    """`trimtab` as a person calls it."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def __call__(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trimtab", *args],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def json(self, *args: str, stdin: str = "") -> Any:
        return json.loads(self(*args, "-o", "json", stdin=stdin).stdout)
