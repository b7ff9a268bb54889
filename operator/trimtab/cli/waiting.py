"""What a command waits for, if it takes long: a spinner on a terminal, else a line; always on stderr."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from trimtab.cli.output import console, plain, say

MOMENT = 2.0
"""Seconds until it is shown."""


@contextlib.asynccontextmanager
async def progress(about: str, moment: float = MOMENT) -> AsyncIterator[None]:
    """Show ``about`` while the body runs longer than a moment; nothing if it is empty."""
    showing = asyncio.create_task(_show(about, moment)) if about else None
    try:
        yield
    finally:
        if showing is not None:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing


async def _show(about: str, moment: float) -> None:
    await asyncio.sleep(moment)
    if not sys.stderr.isatty():
        say(f"{about} ...", stderr=True)
        return
    with console(stderr=True).status(plain(about)):
        await asyncio.Event().wait()
