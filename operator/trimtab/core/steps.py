"""Long work that its caller cuts into slices: a generator that yields after each small step and returns the result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
SOME = 500
"""Of many, those that one step looks at."""


def in_order(items: Iterable[T], key: Callable[[T], Any]) -> Steps[Iterator[T]]:
    """Sort them, some a step; what is returned compares the rest as it goes."""
    rest, sorts = iter(items), list[list[T]]()
    while some := sorted(islice(rest, SOME), key=key):
        sorts.append(some)
        yield
    return merge(*sorts, key=key)


def finished(steps: Steps[T]) -> T:
    """All of it at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: T = end.value
            return made
