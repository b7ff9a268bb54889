"""The whole product in a minute or two, on a real control plane: `make demo`.

Each step acts as a platform team, a user or an admin, and shows the effect, read from the API server. If an effect does
not occur in time, the demo ends with exit code 1 and the operator's log.

    demo.py           runs the demo and stops everything
    demo.py --keep    runs the demo and leaves the sandbox `demo` and the operator running (make demo KEEP=1)
    demo.py --stop    stops what --keep left running
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from acts import tell_all
from mirror import Cluster, DemoError
from scene import MUSIC
from stage import KEPT, SYSTEM, Stage, stop_kept
from telling import Telling

from trimtab import crd
from trimtab.api import GROUP, KINDS
from trimtab.kube import errors
from trimtab.sandbox import SandboxError


def set_up(stage: Stage, tell: Telling) -> None:
    """What every installation needs: the CRDs, and a namespace for the operator's Lease and keys."""
    tell.title("The custom resources, and the operator")
    tell.command("trimtab", "crds", "|", "kubectl", "apply", "--server-side", "-f", "-")
    tell.output(stage.sandbox.kubectl("apply", "--server-side", "-f", "-", input=crd.text()).stdout)
    tell.text(
        "admission policies check the RBAC verbs of users. The sandbox has installed them; in a cluster,"
    )
    tell.text("`trimtab crds --admission` prints them")
    kinds = [f"crd/{model.info.plural}.{GROUP}" for model in KINDS]
    stage.sandbox.kubectl("wait", "--for=condition=Established", "--timeout=30s", *kinds)
    stage.sandbox.kubectl("create", "namespace", SYSTEM)


async def perform(stage: Stage, tell: Telling) -> None:
    started = time.perf_counter()
    operator = stage.start_operator()
    tell.command("trimtab", "run", "--namespace", SYSTEM)
    said = await operator.acting()
    took = time.perf_counter() - started
    tell.fact(
        f"leading {took:.1f} s after its start; process {operator.process.pid}, probes on port {said['port']}"
    )
    async with Cluster.seen_by(stage.sandbox.kubeconfig) as cluster:
        await tell_all(stage, cluster, tell)


def play(tell: Telling, *, keep: bool) -> None:
    tell.title("A real control plane, without Docker")
    if keep and stop_kept():
        tell.text(f"removed an earlier demo (sandbox {KEPT})")
    with Stage.up(keep=keep, building=lambda: tell.text("building it first, once per machine")) as stage:
        record = stage.sandbox.record
        tell.fact(
            f"Kubernetes {record.version} at {record.server}, {record.nodes} nodes, "
            f"up {stage.took:.1f} s after its start"
        )
        try:
            set_up(stage, tell)
            asyncio.run(perform(stage, tell))
        except (DemoError, SandboxError, TimeoutError, errors.ApiError) as error:
            stage.failed = True
            tell.failure(str(error), stage.end_of_log())
            tell.text(f"the operator's log: {stage.log_file}")
            raise SystemExit(1) from None
        stage.complete = True
    total = time.perf_counter() - tell.started
    if keep:
        farewell(stage, tell)
    else:
        tell.title(f"Everything is stopped and removed. That took {total:.0f} s")


def farewell(stage: Stage, tell: Telling) -> None:
    python = Path(sys.executable)
    trimtab, here = os.path.relpath(python.parent / "trimtab"), os.path.relpath(__file__)
    tell.title("Still running")
    for line, means in (
        (f"export KUBECONFIG={stage.sandbox.kubeconfig}", "for kubectl and trimtab"),
        (f"{trimtab} status -A", ""),
        (f"{trimtab} sandbox kubectl --name {KEPT} -- get upref -A", "or any kubectl"),
        (f"{trimtab} sandbox kubectl --name {KEPT} -- edit upref bela -n {MUSIC}", ""),
        (
            f"{trimtab} rollout status newer-model -n {MUSIC}",
            "what failed, and why; retry would start a new attempt",
        ),
        (f"{trimtab} diff music-agent free -n {MUSIC}", "what the previous policy changed"),
        (f"tail -f {stage.log_file}", "the operator's log"),
        (f"{os.path.relpath(python)} {here} --stop", "stops the operator and removes the sandbox"),
    ):
        tell.text(f"{line}   # {means}" if means else line)


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--keep", action="store_true", help="leave the sandbox and the operator running")
    choice.add_argument("--stop", action="store_true", help="stop what --keep left running")
    options = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # no mark is worth failing for in an ASCII terminal
    tell = Telling()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        if options.stop:
            tell.text("stopped and removed" if stop_kept() else "nothing to stop")
        else:
            play(tell, keep=options.keep)
    except KeyboardInterrupt:
        tell.failure("interrupted; everything is stopped and removed")
        raise SystemExit(130) from None
    except SandboxError as error:
        tell.failure(f"no control plane: {error}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
