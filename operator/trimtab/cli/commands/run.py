"""``trimtab run``: the operator in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from trimtab.cli import logs
from trimtab.cli.errors import Failure
from trimtab.kube import credentials


def run(
    namespace: Annotated[
        str | None,
        typer.Option(help="Namespace of the Lease `trimtab` and of the keys; default: the context's."),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Default: $KUBECONFIG, the pod, ~/.kube/config.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="The kubeconfig's context to use.")] = None,
    lease_duration: Annotated[
        float, typer.Option(min=1, help="Seconds until a standby takes over from a leader that died.")
    ] = 15.0,
    host: Annotated[str, typer.Option(help="Address that probes and metrics listen on.")] = "0.0.0.0",  # noqa: S104
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of /healthz, /readyz and /metrics; 0: a free one.")
    ] = 8080,
    relist: Annotated[
        float, typer.Option(min=5, help="Seconds between full comparisons of the stores with the cluster.")
    ] = 600.0,
    allow_gate_url: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time
        typer.Option(
            metavar="PREFIX",
            help="Let gates ask URLs of this origin below this path, as http://prometheus.monitoring:9090; "
            "repeatable. Default: none.",
        ),
    ] = None,
    max_template_output: Annotated[
        str,
        typer.Option(
            metavar="SIZE",
            help="Bytes that the files of one template's groups may be together, as 8Mi; users' files apart.",
        ),
    ] = "4Mi",
    log_format: Annotated[Literal["json", "text"], typer.Option(help="How log lines are written.")] = "json",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="The least level that is logged.")
    ] = "info",
) -> None:
    """Run the operator in the foreground.

    It needs the CRDs (`trimtab crds | kubectl apply --server-side -f -`). Run two for a warm standby: one leads by
    the Lease, the other takes over when it stops or dies. SIGTERM stops gracefully and gives the Lease back.
    """
    from trimtab.app import Options
    from trimtab.app import run as run_operator
    from trimtab.core.render import sizes
    from trimtab.gates.urls import AllowList

    try:
        allowed = AllowList.parse(allow_gate_url or ())
        largest = sizes.parse(max_template_output)
    except ValueError as error:
        raise Failure(str(error), 2) from None
    try:
        who = credentials.load(kubeconfig, context)
        who.tls()
        who.bearer()
    except (credentials.CredentialsError, OSError) as error:
        raise Failure(f"{error}; check the kubeconfig") from None
    logs.configure(log_format, log_level)
    options = Options(
        namespace=namespace or who.namespace,
        host=host,
        port=port,
        lease_duration=lease_duration,
        relist_seconds=relist,
        allow_gates=allowed,
        max_template_output=largest,
    )
    try:
        run_operator(who, options)
    except OSError as error:
        raise Failure(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --port"
        ) from None
