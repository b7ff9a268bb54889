"""A deletion as stores report it. It is carried out once the kind itself is known to stay
(:mod:`trimtab.engine.store.kind_deletions`)."""

from __future__ import annotations

from typing import NamedTuple


class Gone(NamedTuple):
    """An object that a watch, a list or a response reports as deleted, as of ``version``."""

    namespace: str
    name: str
    uid: str
    version: int
    created: str

    @property
    def key(self) -> tuple[str, str, str]:
        return self.namespace, self.name, self.uid
