"""`trimtab sandbox`: what can be tested without a control plane."""

from __future__ import annotations

import pytest

from support.cli_manifests import Call
from trimtab.sandbox import commands
from trimtab.sandbox.status import Status


@pytest.mark.parametrize(
    ("args", "code"), [([], 0), (["--nodes", "2"], 0), (["--nodes", "3"], 1), (["--nodes", "0"], 1)]
)
def test_nodes_of_a_sandbox_that_runs_do_not_change(
    trimtab: Call, monkeypatch: pytest.MonkeyPatch, args: list[str], code: int
) -> None:
    running = Status("default", "Running", nodes=2)
    monkeypatch.setattr(commands, "status_of", lambda _: running)
    monkeypatch.setattr(commands, "_remove_orphans", lambda: None)

    answer = trimtab("sandbox", "up", *args)

    assert answer.code == code
    said = answer.err if code else answer.out
    assert "Sandbox default is already running, with 2 nodes" in said
    assert ("sandbox down --name default` first" in answer.err) == bool(code)
