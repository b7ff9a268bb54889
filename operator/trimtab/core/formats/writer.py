"""What every output format shares: the shape of a writer, and what can be wrong with what it is given.

A writer is compiled once per output, from the keys that the output includes, so that whatever depends only on names
is not computed again for each of 100,000 users. It expects values as core resolves them: exact types (no subclasses),
finite numbers, text without lone surrogates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core.violations import Notice

Value = bool | int | float | str | list[str] | dict[str, float] | dict[str, str]


@dataclass(frozen=True, slots=True)
class Clash:
    """Two keys that have the same ``name`` in a format."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that a format cannot hold; ``message`` never contains the value."""

    key: str
    message: str


class UnwritableError(ValueError):
    """A value that :meth:`Writer.problems` reports: a writer never writes a value inexactly instead."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.key}: {problem.message}")


class Writer(ABC):
    """One output's format and keys, compiled. Equal values, in any order, give equal text."""

    __slots__ = ()

    @abstractmethod
    def text(self, values: Mapping[str, Value]) -> str:
        """One file, in the order of the compiled keys; keys absent from ``values`` are omitted.

        :raises UnwritableError: for a value that :meth:`problems` reports.
        """

    def entries(self, values: Mapping[str, Value]) -> dict[str, str]:
        """One data entry per key, unquoted, for ``envFrom``; for formats in ``WITH_ENTRIES``.

        :raises UnwritableError: for a value that :meth:`problems` reports.
        """
        raise TypeError("this format needs a fileName")

    def warnings(self, values: Mapping[str, Value]) -> list[Notice]:
        """Values that some readers of :meth:`text` do not read exactly (:meth:`entries` are always exact)."""
        return []

    def problems(self, values: Mapping[str, Value]) -> list[Problem]:
        """The values that this format cannot hold at all."""
        return []


@dataclass(frozen=True, slots=True)
class Format:
    """A format's name, the ``names`` that keys get in it, and how to ``compile`` a writer.

    ``names(keys, prefix)`` maps each key to its name in the format: two equal names are a clash.
    ``compile(keys, prefix, compact)`` returns the writer; a format without prefix or compact gets ``""`` and ``False``.
    """

    name: str
    names: Callable[[Sequence[str], str], dict[str, str]]
    compile: Callable[[Sequence[str], str, bool], Writer]
