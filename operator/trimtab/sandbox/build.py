"""Builds the control plane once and keeps it in the user's cache.

A build takes minutes, so it is shown as it goes, happens once however many processes want it, and appears
whole or not at all: it is made in a folder of its own under a lock and renamed into place. The key is the Go
module's content with the platform; which (adequate) Go compiled it does not matter.
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
from trimtab.sandbox.places import builds_root
from trimtab.sandbox.progress import BuildStep, Progress, ShowProgress
from trimtab.sandbox.toolchain import find_go, go_environment, required_version

MODULE = Path(__file__).parent / "controlplane"
_BINARY = "controlplane"
_PACKAGE_LINE = re.compile(r"[\w.~-]+(/[\w.~-]+)*")


@dataclass(frozen=True)
class Binaries:
    """What a build made: one binary, and kubectl as a name by which to call it like any other kubectl."""

    directory: Path
    version: str

    @property
    def controlplane(self) -> Path:
        return self.directory / _BINARY

    @property
    def kubectl(self) -> Path:
        return self.directory / "kubectl"


def built_binaries() -> Binaries | None:
    """What ``ensure_binaries`` would return at once; None where it would have to build."""
    binaries = Binaries(builds_root() / _key(), kubernetes_version())
    return binaries if binaries.kubectl.exists() else None


def ensure_binaries(progress: Progress | None = None) -> Binaries:
    """The binaries of this Trimtab's control plane, built first if need be (5 to 12 minutes on two cores).

    ``progress`` is told how the build goes; by default it is shown on stderr. A second process that wants the
    same build waits for the first.

    Raises:
        BuildError: no Go could be found or installed, or it did not compile.
    """
    built = built_binaries()
    if built is not None:
        return built
    report = progress or ShowProgress()
    root = builds_root()
    root.mkdir(parents=True, exist_ok=True)
    with _only_one(root / ".lock", report):
        return built_binaries() or _build(root, report)


def kubernetes_version() -> str:
    """The version of Kubernetes that go.mod asks for."""
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

    def say(doing: str) -> None:
        report(BuildStep(time.monotonic() - started, doing, milestone=True))

    version = kubernetes_version()
    say(f"building Kubernetes {version}, etcd and kwok into {root}, once (5 to 12 minutes on two cores)")
    go = find_go(required_version(MODULE / "go.mod"), say)
    for abandoned in root.glob(".building-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as scratch:
        fresh = Path(scratch) / "build"
        fresh.mkdir()
        _compile(go, fresh / _BINARY, version, report, started)
        (fresh / "kubectl").symlink_to(_BINARY)
        binaries = Binaries(root / _key(), version)
        shutil.rmtree(binaries.directory, ignore_errors=True)
        fresh.rename(binaries.directory)
    size = binaries.controlplane.stat().st_size / 1e6
    say(f"built in {time.monotonic() - started:.0f} s, {size:.0f} MB")
    return binaries


def _compile(go: Path, output: Path, version: str, report: Progress, started: float) -> None:
    def downloading(line: str) -> None:
        report(BuildStep(time.monotonic() - started, line or "reading the module"))

    packages = _run_go([str(go), "list", "-deps", "."], downloading).splitlines()
    compiled = 0
    latest = "checking what is compiled already"

    def compiling(line: str) -> None:
        nonlocal compiled, latest
        if _PACKAGE_LINE.fullmatch(line):
            compiled += 1
            latest = line
        # The program itself comes last. Nothing is said while it is linked, and nothing of what was cached.
        linking = latest == packages[-1]
        step = ("linking", len(packages)) if linking else (latest, compiled)
        report(BuildStep(time.monotonic() - started, *step, total=len(packages)))

    flags = ["-v", "-trimpath", "-ldflags", _linker_flags(version), "-o", str(output)]
    _run_go([str(go), "build", *flags, "."], compiling)


def _linker_flags(version: str) -> str:
    major, minor = version.removeprefix("v").split(".")[:2]
    named = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    variables = [f"-X {package}.{name}={value}" for package in packages for name, value in named.items()]
    return " ".join(["-s", "-w", *variables])


def _run_go(command: list[str], on_line: Callable[[str], None]) -> str:
    """Its stdout; ``on_line`` gets each line of stderr, and an empty one about every second without any."""
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
            # A go build that is asked to end removes its work; it is a process group of compilers otherwise.
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
def _only_one(lock: Path, report: Progress) -> Iterator[None]:
    started = time.monotonic()
    with lock.open("a+") as file:
        said = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                file.seek(0)
                doing = f"waiting for process {file.read().strip() or '?'}, which is building the same"
                report(BuildStep(time.monotonic() - started, doing, milestone=not said))
                said = True
                time.sleep(1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
