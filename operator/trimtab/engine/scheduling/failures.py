"""Failures that stop nothing else, and log lines about them that quote no value."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Iterable, Iterator
from typing import TypeVar

from trimtab.kube.errors import ApiError, NotLeaderError

log = logging.getLogger(__name__)

T = TypeVar("T")


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """All at once, and all to their ends, also where one fails: nothing of them is under way afterwards."""
    made = []
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        made.append(result)
    return made


@contextlib.contextmanager
def apart(failures: list[Exception]) -> Iterator[None]:
    """What fails in it stops nothing else of the pass, which raises the first of ``failures`` in the end."""
    try:
        yield
    except NotLeaderError:
        raise
    except Exception as error:
        if failures:
            log.warning("and another part of the pass failed: %s", fault(error))
        failures.append(error)


def fault(error: BaseException) -> str:
    """What it is and where it was raised, without its own words, which may quote a value that is sensitive; of the API
    server's refusals what they say."""
    if isinstance(error, ApiError):
        return str(error)
    return f"{type(error).__qualname__}\n{''.join(traceback.format_tb(error.__traceback__))}".rstrip()
