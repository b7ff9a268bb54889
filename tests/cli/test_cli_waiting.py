"""Commands that wait report for what; commands that need a confirmation prompt on a terminal."""

from __future__ import annotations

import asyncio
import io

import pytest
import typer

from trimtab.cli.cluster.actions import confirm
from trimtab.cli.waiting import progress


async def test_a_long_wait_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    said = ""
    async with progress("querying the cluster", moment=0):
        while not said:
            await asyncio.sleep(0)
            said = capsys.readouterr().err
    assert said == "querying the cluster ...\n"


@pytest.mark.parametrize(("about", "moment"), [("querying the cluster", 60.0), ("", 0.0)])
async def test_a_short_wait_is_not_reported(
    capsys: pytest.CaptureFixture[str], about: str, moment: float
) -> None:
    async with progress(about, moment):
        await asyncio.sleep(0)
    assert capsys.readouterr().err == ""


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "done"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_on_a_terminal_nothing_is_approved_unasked(
    monkeypatch: pytest.MonkeyPatch, answer: str, done: bool
) -> None:
    monkeypatch.setattr("sys.stdin", _Terminal(answer))
    monkeypatch.setattr("sys.stderr", _Terminal())
    if done:
        confirm("approve?", yes=False)
    else:
        with pytest.raises(typer.Exit):
            confirm("approve?", yes=False)


@pytest.mark.parametrize("terminal", [True, False])
def test_yes_and_scripts_are_not_prompted(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr("sys.stdin", _Terminal("n\n") if terminal else io.StringIO("n\n"))
    monkeypatch.setattr("sys.stderr", _Terminal())
    confirm("approve?", yes=terminal)
