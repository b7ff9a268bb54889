"""Whose entries an object holds, and what it should hold while some users' new entries cannot be written.

An entry belongs to a user (in a shard by its name, in a user's own object by the object), or to the group: ``GROUP``.
``want`` is what an object should hold, ``good`` what was last written there.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping

Data = Mapping[str, str]
Owner = Callable[[str], str]
"""Gives the user of an entry, by its name."""

GROUP = ""
"""Stands for the owner of what is no user's: users have names."""


def in_shard(entry: str) -> str:
    """The user of a shard's entry (``<user>.<fileName>``): users have no dots."""
    return entry.split(".", 1)[0]


def changed(want: Data, good: Data, owner: Owner) -> list[str]:
    """Whose entries are new or others than they were, in the order of ``want``."""
    return list(dict.fromkeys(owner(name) for name, text in want.items() if good.get(name) != text))


def arriving(want: Data, good: Data, owner: Owner) -> set[str]:
    """Who gets an entry that is not there yet."""
    return {owner(name) for name in want.keys() - good.keys()}


def leaving(want: Data, good: Data, owner: Owner) -> set[str]:
    """Who has an entry there that should go."""
    return {owner(name) for name in good.keys() - want.keys()}


def composed(
    want: Data, good: Data, owner: Owner, held: Container[str], staying: Container[str]
) -> dict[str, str]:
    """What to write: ``want``, but the last good entries of those who are ``held``, and with the entries ``staying``,
    which should go and are not where they belong yet."""
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
