"""The known name that was probably meant by a misspelled one, at a bounded cost for any input.

Both sides are cut to :data:`LENGTH` characters and at most :data:`CANDIDATES` are compared, in C++ (rapidfuzz). A
:class:`Guess` compares only when its result is read, so that violations that are never shown cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

LENGTH, CANDIDATES = 100, 2000
_LIKENESS = 60
"""Percent of the letters, in their order, that both must have in common."""


@dataclass(frozen=True, slots=True)
class Guess:
    """What a misspelled word probably means, computed on request."""

    word: str
    known: Iterable[str]
    """Names to choose from; never an iterator, as it may be read more than once."""

    def found(self) -> str:
        return nearest(self.word, self.known)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name closest to a misspelled one, or an empty string.

    A name that differs only in case, punctuation or invisible characters is the closest.
    """
    from rapidfuzz import fuzz, process

    wanted = _letters(word)
    names = {
        name: _letters(name) for name in islice(known, CANDIDATES) if name != word and len(name) <= 2 * LENGTH
    }
    for name, letters in names.items():
        if letters == wanted and letters:
            return name
    found = process.extractOne(wanted, names, scorer=fuzz.ratio, score_cutoff=_LIKENESS)
    return found[2] if found else ""


@lru_cache(maxsize=2 * CANDIDATES)
def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name[:LENGTH])).casefold()
