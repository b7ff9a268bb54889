"""The owners of an object's entries, and what to write while some users' new entries cannot be written.

An entry belongs to a user (in a shard by its name, in a user's own object by the object), or to the group: ``GROUP``.
``want`` are an object's desired entries, ``good`` those that were last written to it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

Data = Mapping[str, str]
Owner = Callable[[str], str]
"""Returns the user of an entry, by its name."""

GROUP = ""
"""The owner of entries of no user. A user's name is not empty."""


def in_shard(entry: str) -> str:
    """The user of a shard's entry (``<user>.<fileName>``): users have no dots."""
    return entry.split(".", 1)[0]


def changed(want: Data, good: Data, owner: Owner) -> list[str]:
    """The owners of entries that are new or changed, in the order of ``want``."""
    return list(dict.fromkeys(owner(name) for name, text in want.items() if good.get(name) != text))


def arriving(want: Data, good: Data, owner: Owner) -> set[str]:
    """The owners of entries that are to be added."""
    return {owner(name) for name in want.keys() - good.keys()}


def leaving(want: Data, good: Data, owner: Owner) -> set[str]:
    """The owners of entries that are to be removed."""
    return {owner(name) for name in good.keys() - want.keys()}


def composed(
    want: Data, good: Data, owner: Owner, held: Container[str], staying: Container[str]
) -> dict[str, str]:
    """What to write: ``want``, with the last good entries of the owners that are ``held``, and with the entries
    ``staying``, which are to be removed once they exist in their new object."""
    made = {name: text for name, text in want.items() if owner(name) not in held}
    kept = {
        name: text
        for name, text in good.items()
        if owner(name) in held or (name not in want and name in staying)
    }
    return {**made, **kept}


def of_user(data: Data, owner: Owner, user: str) -> dict[str, str]:
    """One user's entries."""
    return {name: text for name, text in data.items() if owner(name) == user}
