"""What every output format shares: the shape of a writer, and what can be wrong with what it is given.

A writer is compiled once an output, from the keys that the output includes, so that whatever depends on names
alone is not computed again for each of 100,000 users. Values are taken as core resolved them: exact types (no
subclasses), finite numbers, text without lone surrogates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from trimtab.core.violations import Notice

Value = bool | int | float | str | list[str] | dict[str, float] | dict[str, str]


@dataclass(frozen=True, slots=True)
class Clash:
    """Two keys that readers of one format would meet under one ``name``."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A value that a format cannot hold; ``message`` never contains the value."""

    key: str
    message: str


class UnwritableError(ValueError):
    """A value was written that :meth:`Writer.problems` names: nothing is ever written inexactly instead."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.key}: {problem.message}")


class Writer(ABC):
    """One output's format and keys, compiled. Same values, in whatever order: same text."""

    __slots__ = ()

    @abstractmethod
    def text(self, values: Mapping[str, Value]) -> str:
        """One file, in the order of the compiled keys; keys absent from ``values`` are left out.

        :raises UnwritableError: for a value that :meth:`problems` names.
        """

    def entries(self, values: Mapping[str, Value]) -> dict[str, str]:
        """One data entry a key, unquoted, as ``envFrom`` wants it; for formats in ``WITH_ENTRIES``.

        :raises UnwritableError: for a value that :meth:`problems` names.
        """
        raise TypeError("this format needs a fileName")

    def warnings(self, values: Mapping[str, Value]) -> list[Notice]:
        """What some readers of :meth:`text` will not see exactly (:meth:`entries` are always exact)."""
        return []

    def problems(self, values: Mapping[str, Value]) -> list[Problem]:
        """The values that this format cannot hold at all."""
        return []


@dataclass(frozen=True, slots=True)
class Format:
    """A format's name, the ``names`` that keys get in it, and how to ``compile`` a writer.

    ``names(keys, prefix)`` maps each key to the name that readers tell it by: two equal names are a clash.
    ``compile(keys, prefix, compact)`` makes the writer; a format that takes no prefix or compact is given
    ``""`` and ``False``.
    """

    name: str
    names: Callable[[Sequence[str], str], dict[str, str]]
    compile: Callable[[Sequence[str], str, bool], Writer]
