"""``trimtab run``: the operator in the foreground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import typer

from trimtab.app import Options
from trimtab.app import run as run_operator
from trimtab.cli import logs
from trimtab.cli.errors import Failure
from trimtab.cli.options import ClusterOptions
from trimtab.core.render import sizes
from trimtab.gates.urls import AllowList
from trimtab.kube import credentials


@dataclass(frozen=True, kw_only=True)
class ListenOptions:
    """Where probes and metrics are served."""

    host: Annotated[str, typer.Option(help="Address of the probes and metrics.")] = "0.0.0.0"  # noqa: S104
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of /healthz, /readyz and /metrics; 0: any free one.")
    ] = 8080


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Timings and limits."""

    lease_duration: Annotated[
        float, typer.Option(min=1, help="Seconds until a standby replaces a leader that died.")
    ] = 15.0
    relist: Annotated[
        float, typer.Option(min=5, help="Seconds between full comparisons with the cluster.")
    ] = 600.0
    allow_gate_url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Allow gates to query URLs of this origin below this path, for example "
            "http://prometheus.monitoring:9090; repeatable. Default: none.",
        ),
    ] = None
    max_template_output: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="The most bytes of all files of one template's groups, without users' files; for example 8Mi.",
        ),
    ] = "4Mi"


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """How to log."""

    log_format: Annotated[Literal["json", "text"], typer.Option(help="The format of log lines.")] = "json"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="The lowest level that is logged.")
    ] = "info"


def run(cluster: ClusterOptions, engine: EngineOptions, listen: ListenOptions, log: LogOptions) -> None:
    """Run the operator in the foreground.

    It requires the CRDs (`trimtab crds | kubectl apply --server-side -f -`). --namespace is the namespace of the Lease
    `trimtab` and of the keys. Run two for a warm standby: one holds the Lease, the other acquires it when the first
    stops or dies. SIGTERM stops it gracefully and releases the Lease.
    """
    try:
        allowed = AllowList.parse(engine.allow_gate_url or ())
        largest = sizes.parse(engine.max_template_output)
    except ValueError as error:
        raise Failure(str(error), 2) from None
    try:
        who = credentials.load(cluster.kubeconfig, cluster.context)
        who.tls()
        who.bearer()
    except (credentials.CredentialsError, OSError) as error:
        raise Failure(f"{error}; check the kubeconfig") from None
    logs.configure(log.log_format, log.log_level)
    options = Options(
        namespace=cluster.namespace or who.namespace,
        host=listen.host,
        port=listen.port,
        lease_duration=engine.lease_duration,
        relist_seconds=engine.relist,
        allow_gates=allowed,
        max_template_output=largest,
    )
    try:
        run_operator(who, options)
    except OSError as error:
        reason = error.strerror or error
        raise Failure(
            f"cannot listen on {listen.host}:{listen.port}: {reason}; choose another --port"
        ) from None
