"""A real Prometheus on loopback for tests and demonstrations, and a small server of metrics for it to scrape.

It is the machine's own, or Debian's package unpacked into the user's cache (nothing is installed, no service started).
Where neither can be had that is a failure that says so, never a reason to skip.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.server
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.sandbox.paths import cache_root

PATIENCE = 60.0
_LISTENING = re.compile(r'msg="Listening on" address=\S*:(\d+)')


class PrometheusMissingError(RuntimeError):
    """There is none, and it could not be fetched."""


def binary() -> Path:
    """The program. Fetched once a machine, whoever else is at it.

    :raises PrometheusMissingError: neither here nor to be had, and what to do.
    """
    if found := shutil.which("prometheus"):
        return Path(found)
    folder = cache_root() / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "prometheus"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(program)
    return program


def _fetch(program: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PrometheusMissingError("no prometheus on the PATH, and no apt-get to fetch it with: install it")
    with tempfile.TemporaryDirectory(dir=program.parent) as place:
        said = _apt(["download", "prometheus"], place)
        if said:  # the lists may be missing or old; reading new ones needs root
            said = _apt(["update"], place) or _apt(["download", "prometheus"], place)
        packages = sorted(Path(place).glob("prometheus_*.deb"))
        if said or not packages:
            raise PrometheusMissingError(
                f"no prometheus on the PATH, and apt-get could not fetch Debian's package: {said}\n"
                "run `apt-get update` as root, or install prometheus"
            )
        subprocess.run(["dpkg-deb", "-x", packages[-1], place], check=True, capture_output=True)
        Path(place, "usr/bin/prometheus").rename(program)


def _apt(arguments: list[str], place: str) -> str:
    """An empty string, or the end of what went wrong."""
    done = subprocess.run(
        ["apt-get", "-q", *arguments], cwd=place, capture_output=True, text=True, timeout=600, check=False
    )
    return "" if done.returncode == 0 else (done.stderr or done.stdout)[-500:].strip() or "it failed"


@dataclass
class Metrics:
    """What is scraped: gauges by name. A name that is taken away is gone with the next scrape."""

    port: int
    gauges: dict[str, float] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def metrics_server(**gauges: float) -> Iterator[Metrics]:
    """A server of these gauges on a free port of loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lines = [f"# TYPE {name} gauge\n{name} {value}\n" for name, value in list(metrics.gauges.items())]
            body = "".join(lines).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    metrics = Metrics(server.server_address[1], dict(gauges))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield metrics
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Prometheus:
    """One running server. ``port`` stays the same when it is stopped and started again. It scrapes first 5 s after each
    start, whatever its settings (`updatert` in its discovery manager)."""

    folder: Path
    targets: Mapping[str, str]
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it answers. It dies with the thread that calls this, even by kill -9."""
        self.folder.mkdir(parents=True, exist_ok=True)
        jobs = [{"job_name": j, "static_configs": [{"targets": [a]}]} for j, a in self.targets.items()]
        often = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
        (self.folder / "prometheus.yml").write_text(json.dumps({"global": often, "scrape_configs": jobs}))
        (self.folder / "log").write_text("")
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", str(binary())),
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", "")},
            )
        self._wait_for(self._ready)

    def stop(self) -> None:
        """Kill it; nothing of it is worth saving. It may be started again."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def wait_for(self, query: str, value: float) -> None:
        """Wait until the query's first sample is that."""
        self._wait_for(lambda: self.query(query) == value)

    def query(self, query: str) -> float | None:
        """The first sample; None: there is none."""
        with urllib.request.urlopen(
            f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=PATIENCE
        ) as answer:
            found = json.load(answer)["data"]["result"]
        number = float(found[0]["value"][1]) if found else math.nan
        return None if math.isnan(number) else number

    def _ready(self) -> bool:
        listening = _LISTENING.search((self.folder / "log").read_text())
        if listening is None:
            return False
        self.port = int(listening[1])
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=PATIENCE):
                return True
        except urllib.error.URLError:
            return False

    def _wait_for(self, condition: object) -> None:
        assert callable(condition)
        until = time.monotonic() + PATIENCE
        while not condition():
            if self._process is None or self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(
                    f"prometheus did not come to it: {(self.folder / 'log').read_text()[-2000:]}"
                )
            time.sleep(0.02)


@contextlib.contextmanager
def prometheus(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A server that keeps its data in ``folder`` and scrapes ``targets``, job to host:port, five times a second."""
    server = Prometheus(folder, targets)
    try:
        server.start()
        yield server
    finally:
        server.stop()
