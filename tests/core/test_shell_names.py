"""Which variables a shell reserves, as the shells themselves report."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from trimtab.core.formats.env import SHELL_NAMES

VALUE = "/kept value"
SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]


def _of_bash() -> list[str]:
    names = subprocess.run(["bash", "-c", "compgen -v"], capture_output=True, text=True, check=True).stdout
    return sorted({*names.split(), "PATH", "HOME", "ORDINARY"})


@pytest.mark.parametrize("shell", SHELLS)
def test_a_variable_that_a_shell_does_not_keep_is_warned_of(shell: str, tmp_path: Path) -> None:
    for name in {*_of_bash(), *SHELL_NAMES} - SHELL_NAMES:
        file = tmp_path / "values.env"
        file.write_text(f"{name}='{VALUE}'\n")
        script = f'. "{file}"; printf %s "${{{name}}}"'
        done = subprocess.run([shell, "-c", script], capture_output=True, text=True, timeout=10)
        assert (done.stdout, done.stderr) == (VALUE, ""), name
