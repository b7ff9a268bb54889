"""Builds the control plane once and keeps it in the user's cache.

A build takes minutes, so it reports its progress, runs once even if several processes need it, and appears atomically:
it runs in a temporary directory under a lock and is renamed at the end. Its key is a hash of the Go module and the
platform, not of the Go version.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab.sandbox.errors import BuildError
from trimtab.sandbox.paths import builds_root
from trimtab.sandbox.progress import BuildStep, Progress, ShowProgress
from trimtab.sandbox.toolchain import find_go, go_environment, required_version

MODULE = Path(__file__).parent / "controlplane"
_BINARY = "controlplane"
_PACKAGE_LINE = re.compile(r"[\w.~-]+(/[\w.~-]+)*")


@dataclass(frozen=True)
class Binaries:
    """The result of a build: one binary, and a symbolic link to it that behaves as kubectl."""

    directory: Path
    version: str

    @property
    def controlplane(self) -> Path:
        return self.directory / _BINARY

    @property
    def kubectl(self) -> Path:
        return self.directory / "kubectl"


def built_binaries() -> Binaries | None:
    """The binaries if they exist already."""
    binaries = Binaries(builds_root() / _key(), kubernetes_version())
    return binaries if binaries.kubectl.exists() else None


def ensure_binaries(progress: Progress | None = None) -> Binaries:
    """The binaries of the control plane, built first if necessary (5 to 12 minutes on two cores).

    ``progress`` receives the steps of the build, which are shown on stderr by default. A second process that needs
    the same build waits for the first.

    Raises:
        BuildError: Go could not be found or installed, or it reported an error.
    """
    if built := built_binaries():
        return built
    root = builds_root()
    root.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        report = progress or stack.enter_context(ShowProgress())
        stack.enter_context(_exclusive(root / ".lock", report))
        return built_binaries() or _build(root, report)


def kubernetes_version() -> str:
    """The version of Kubernetes in go.mod."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError("go.mod does not require k8s.io/kubernetes")
    return found[1]


def _key() -> str:
    version = kubernetes_version()
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()} {_linker_flags(version)}\n".encode())
    for file in (*sorted(MODULE.glob("*.go")), MODULE / "go.mod", MODULE / "go.sum"):
        digest.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return f"{version}-{digest.hexdigest()[:12]}"


def _build(root: Path, report: Progress) -> Binaries:
    started = time.monotonic()

    def milestone(text: str) -> None:
        report(BuildStep(text, milestone=True))

    version = kubernetes_version()
    milestone(f"building Kubernetes {version}, etcd and kwok in {root}, once (5 to 12 minutes on two cores)")
    go = find_go(required_version(MODULE / "go.mod"), milestone)
    for abandoned in root.glob(".building-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as scratch:
        fresh = Path(scratch) / "build"
        fresh.mkdir()
        _compile(go, fresh / _BINARY, version, report)
        (fresh / "kubectl").symlink_to(_BINARY)
        binaries = Binaries(root / _key(), version)
        shutil.rmtree(binaries.directory, ignore_errors=True)
        fresh.rename(binaries.directory)
    size = binaries.controlplane.stat().st_size / 1e6
    milestone(f"built in {time.monotonic() - started:.0f}s, {size:.0f} MB")
    return binaries


def _compile(go: Path, output: Path, version: str, report: Progress) -> None:
    def downloading(line: str) -> None:
        report(BuildStep(line or "reading the module"))

    packages = _run_go([str(go), "list", "-deps", "."], downloading).splitlines()
    compiled = 0
    latest = "checking which packages are compiled already"

    def compiling(line: str) -> None:
        nonlocal compiled, latest
        if _PACKAGE_LINE.fullmatch(line):
            compiled += 1
            latest = line
        # The program itself is last. Go prints nothing while it links, and nothing about cached packages.
        linking = latest == packages[-1]
        step = ("linking", len(packages)) if linking else (latest, compiled)
        report(BuildStep(*step, total=len(packages)))

    flags = ["-v", "-trimpath", "-ldflags", _linker_flags(version), "-o", str(output)]
    _run_go([str(go), "build", *flags, "."], compiling)


def _linker_flags(version: str) -> str:
    major, minor = version.removeprefix("v").split(".")[:2]
    named = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    variables = [f"-X {package}.{name}={value}" for package in packages for name, value in named.items()]
    return " ".join(["-s", "-w", *variables])


def _run_go(command: list[str], on_line: Callable[[str], None]) -> str:
    """Its stdout. ``on_line`` receives each line of stderr, and an empty one about every second without any."""
    last_lines: deque[str] = deque(maxlen=40)
    with tempfile.TemporaryFile("w+") as stdout:
        process = subprocess.Popen(
            command,
            cwd=MODULE,
            env=go_environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stderr is not None  # noqa: S101
        reader = threading.Thread(target=_follow, args=(process.stderr, last_lines, on_line), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                on_line("")
        finally:
            # On SIGTERM, a go build ends its compilers and removes its temporary files.
            if process.poll() is None:
                process.terminate()
                process.wait()
            reader.join(5)
        if process.returncode != 0:
            raise BuildError(f"{' '.join(command[:2])} failed:\n" + "\n".join(last_lines))
        stdout.seek(0)
        return stdout.read()


def _follow(stream: Iterator[str], last_lines: deque[str], on_line: Callable[[str], None]) -> None:
    for line in stream:
        last_lines.append(line.rstrip())
        on_line(line.rstrip())


@contextlib.contextmanager
def _exclusive(lock: Path, report: Progress) -> Iterator[None]:
    with lock.open("a+") as file:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                doing = f"waiting for process {file.read().strip() or '?'}, which runs the same build"
                report(BuildStep(doing, milestone=not waiting))
                waiting = True
                time.sleep(1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
