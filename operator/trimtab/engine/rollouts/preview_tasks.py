"""Previews in the making: nobody waits long for one, as another rollout of the template may have to go back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.api.rollout_status import Content, Preview
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout.source import RolloutSource
from trimtab.engine.rollouts.preview import Previews

PATIENCE_SECONDS = 0.2
"""How long a look waits for a preview before it goes on without."""


class _Draft(NamedTuple):
    """``about`` is the content's hash, what its effects follow from, and the groups."""

    about: tuple[str, str, tuple[str, ...]]
    task: asyncio.Task[Preview]


@dataclass(slots=True)
class Drafts:
    """``again(template)`` is called when a preview that somebody did not wait for is done. ``now`` gives RFC 3339
    text."""

    previews: Previews
    again: Callable[[TemplateKey], None]
    now: Callable[[], str]
    _drafts: dict[str, _Draft] = field(default_factory=dict)
    """By the rollout's uid."""

    async def of(
        self, key: TemplateKey, source: RolloutSource, target: Content, groups: Sequence[str], basis: str
    ) -> Preview | None:
        """What it would change in these groups, or None while that is worked out. It is kept until forgotten, or until
        ``basis`` changes: what its effects follow from besides.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        about = target.hash, basis, tuple(groups)
        draft = self._drafts.get(source.uid)
        if draft is None or draft.about != about:
            self.forget(source.uid)
            task = asyncio.create_task(self._made(source, target, groups, basis))
            draft = self._drafts[source.uid] = _Draft(about, task)
        if not draft.task.done():
            done, _ = await asyncio.wait({draft.task}, timeout=PATIENCE_SECONDS)
            if not done:
                draft.task.add_done_callback(lambda task: None if task.cancelled() else self.again(key))
                return None
        if draft.task.exception() is not None:
            self._drafts.pop(source.uid, None)
        return draft.task.result()

    async def _made(
        self, source: RolloutSource, target: Content, groups: Sequence[str], basis: str
    ) -> Preview:
        made = await self.previews.of(source, target, groups)
        return made.model_copy(update={"basis": basis, "at": self.now()})

    def forget(self, uid: str) -> None:
        """Nobody wants it any more."""
        draft = self._drafts.pop(uid, None)
        if draft is not None:
            draft.task.cancel()

    def keep(self, uids: Container[str]) -> None:
        """Only these rollouts are left."""
        for uid in [uid for uid in self._drafts if uid not in uids]:
            self.forget(uid)
