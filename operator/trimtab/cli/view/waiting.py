"""Whoever waits longer than a moment is told for what: by a spinner on a terminal, else by a line; always on stderr."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from trimtab.cli.view.output import console, plain, say

MOMENT = 2.0
"""Seconds."""


@contextlib.asynccontextmanager
async def patience(about: str, moment: float = MOMENT) -> AsyncIterator[None]:
    """Say what is being done if it is not done within a moment. With nothing to say it says nothing."""
    telling = asyncio.create_task(_tell(about, moment)) if about else None
    try:
        yield
    finally:
        if telling is not None:
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await telling


async def _tell(about: str, moment: float) -> None:
    await asyncio.sleep(moment)
    if not sys.stderr.isatty():
        say(f"{about} ...", stderr=True)
        return
    with console(stderr=True).status(plain(about)):
        await asyncio.Event().wait()
