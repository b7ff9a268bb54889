"""Long work that its caller cuts into slices: a generator that yields after each small step and returns the result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]
SOME = 500
"""How many of many items one step processes."""


def in_order(items: Iterable[T], key: Callable[[T], Any]) -> Steps[Iterator[T]]:
    """The items in order. Each step sorts some of them; the returned iterator merges these."""
    rest, sorts = iter(items), list[list[T]]()
    while some := sorted(islice(rest, SOME), key=key):
        sorts.append(some)
        yield
    return merge(*sorts, key=key)


def finished(steps: Steps[T]) -> T:
    """The result, without interruption."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
