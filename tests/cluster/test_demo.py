"""`make demo` as a new user runs it: it succeeds and leaves nothing; when it fails, it reports why and exits 1."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from support.live_objects import wait_for
from trimtab.sandbox.processes import Process
from trimtab.sandbox.status import all_statuses

EXAMPLE = Path(__file__).parents[2] / "examples" / "music-agent"
LEADING = re.compile(r"leading .*process (\d+)")
SERVER = re.compile(r"(https://127\.0\.0\.1:\d+)")
LOG = re.compile(r"the operator's log: (\S+)")
MOVES = re.compile(r"^ +\d+\.\d s  (\w+) +(\d/\d) +(\d/\d) ", re.MULTILINE)
ROLLOUTS = [
    *("AwaitingApproval 2/2 1/3", "Succeeded 2/2 3/3"),
    *("RollingBack 1/2", "RolledBack 1/2 0/3"),
]
"""Where the two rollouts stand still or turn round; between these they pass through what takes how long it takes."""

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("demo")]


def demo(folder: Path = EXAMPLE) -> list[str]:
    return [sys.executable, "-u", str(folder / "demo.py")]


def environment(tmp_path: Path) -> dict[str, str]:
    """Plain: no terminal, no colours asked for, and temporary files where they can be counted."""
    kept = {name: value for name, value in os.environ.items() if name not in {"KUBECONFIG", "FORCE_COLOR"}}
    return {**kept, "TMPDIR": str(tmp_path)}


def sandboxes_at(server: str) -> list[str]:
    return [found.name for found in all_statuses() if found.server == server]


def processes_under(folder: Path) -> list[int]:
    """Processes whose output goes to a file below the folder: the operator."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                target = os.readlink(entry / "fd" / "1")
            except OSError:
                continue
            if target.startswith(str(folder)):
                found.append(int(entry.name))
    return found


def in_order(output: str) -> Iterator[str]:
    """Of the live lines of rollouts, those that every run has."""
    last = ""
    for phase, wave, updated in MOVES.findall(output):
        moving = phase in ("Pending", "Progressing", "Soaking")
        said = f"{phase} {wave}" if phase == "RollingBack" else f"{phase} {wave} {updated}"
        if not moving and said != last:
            yield said
            last = said


@pytest.mark.timeout(600)  # the whole product, on a machine that does other things too
def test_it_plays_without_a_terminal_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        demo(),
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    for shown in (
        "renderedgroup.trimtab.dev/music-agent-free",  # what is in the cluster
        "median",  # how long an edit takes
        "nearest: agent.temperature",  # why a preference is refused
        "profile/prod",  # who set a value
        "unchanged",  # whose workload restarted
        "Rejected",  # what becomes of a bad template
        "was clamped from 1.05 to 1.0 by PolicyRollout calmer-agents (COST-7)",  # what a policy did to a user
        "has refused bob",  # whom the API server refuses
        "approved by system:serviceaccount:music:ann",  # who let it go on
        "the main ring never saw it",  # how far a bad policy came
        "there was no second attempt",  # what becomes of it when it comes again
        "bystander",  # what is left in the end
    ):
        assert shown in done.stdout
    assert [*in_order(done.stdout)] == ROLLOUTS
    server = SERVER.search(done.stdout)
    assert server
    assert sandboxes_at(server[1]) == []
    assert processes_under(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def until_line(output: IO[str], pattern: re.Pattern[str], read: list[str]) -> re.Match[str]:
    for line in output:
        read.append(line)
        found = pattern.search(line)
        if found:
            return found
    raise AssertionError(f"no {pattern.pattern!r} in {''.join(read)}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
def test_however_it_ends_it_takes_the_operator_and_the_control_plane_along(
    tmp_path: Path, number: signal.Signals
) -> None:
    read: list[str] = []
    with subprocess.Popen(
        demo(), env=environment(tmp_path), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as playing:
        assert playing.stdout is not None
        server = until_line(playing.stdout, SERVER, read)[1]
        operator = Process.of(int(until_line(playing.stdout, LEADING, read)[1]))
        assert operator is not None
        playing.send_signal(number)
        playing.stdout.read()
    codes = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
    assert playing.returncode == codes[number]

    wait_for(lambda: not operator.running(), "the operator is gone")

    def components_gone() -> bool:
        return not any(c.running for s in all_statuses() if s.server == server for c in s.components)

    wait_for(components_gone, "the control plane is gone")


def broken_copy(tmp_path: Path, file: str, change: Callable[[str], str]) -> Path:
    folder = tmp_path / "music-agent"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / file).read_text()
    assert change(text) != text
    (folder / file).write_text(change(text))
    eyes = folder / "mirror.py"
    eyes.write_text(re.sub(r"^PATIENCE = .*$", "PATIENCE = 2.0", eyes.read_text(), flags=re.MULTILINE))
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("template.yaml", "type: Duration", "type: Integer", "waiting until the template is Rendered"),
        ("template.yaml", "kind: ConfigTemplate", "kind: NoSuchKind", "NoSuchKind"),
    ],
    ids=["what it waits for does not come", "a command fails"],
)
def test_a_step_that_does_not_come_true_ends_it_with_exit_code_1_and_the_log(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    folder = broken_copy(tmp_path, file, lambda text: text.replace(old, new))
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run(
            demo(folder), env=environment(Path(temporary)), capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert said in done.stdout

        log = LOG.search(done.stdout)
        assert log
        assert '"message": "acting"' in Path(log[1]).read_text()
        assert processes_under(Path(temporary)) == []
    server = SERVER.search(done.stdout)

    assert server
    assert sandboxes_at(server[1]) == []
