"""Failures that stop nothing else, and log lines about them that quote no value."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TypeVar

from trimtab.kube.errors import ApiError, NotLeaderError

log = logging.getLogger(__name__)

T = TypeVar("T")


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """Run all concurrently and to the end, also if one fails. Raises the first error."""
    made = []
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
        made.append(result)
    return made


@contextlib.contextmanager
def apart(failures: list[Exception]) -> Iterator[None]:
    """An error in it stops nothing else of the pass, which raises the first of ``failures`` at its end."""
    try:
        yield
    except NotLeaderError:
        raise
    except Exception as error:
        if failures:
            log.warning("Another part of the pass failed: %s", fault(error))
        failures.append(error)


@contextlib.contextmanager
def independent_parts() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A context manager for each part of a pass: an error in one stops no other; raises the first at the end."""
    failures: list[Exception] = []
    yield lambda: apart(failures)
    if failures:
        raise failures[0]


def fault(error: BaseException) -> str:
    """The type of an error and where it was raised, without its message, which may quote a sensitive value; of an error
    of the API server its message."""
    if isinstance(error, ApiError):
        return str(error)
    return f"{type(error).__qualname__}\n{''.join(traceback.format_tb(error.__traceback__))}".rstrip()
