"""Previews that are computed in tasks: no pass waits long for one, as another rollout may have to roll back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab.api.rollout_status import Content, Preview
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout.source import RolloutSource
from trimtab.engine.rollouts.memory import PreviewTask, RolloutMemories
from trimtab.engine.rollouts.preview import Previews

PATIENCE_SECONDS = 0.2
"""How long a pass waits for a preview before it continues without."""


@dataclass(frozen=True, slots=True)
class PreviewTasks:
    """A preview for which a pass did not wait queues the template's rollouts when it is finished. ``now`` gives
    RFC 3339 text."""

    previews: Previews
    memories: RolloutMemories
    now: Callable[[], str]

    async def of(
        self, key: TemplateKey, source: RolloutSource, target: Content, groups: Sequence[str], basis: str
    ) -> Preview | None:
        """What it would change in these groups; None while that is being computed. ``basis`` is a hash of what else
        its effects depend on; when it changes, the preview is computed again.

        :raises trimtab.kube.errors.ApiError: some content could not be read now.
        """
        about, memory = (target.hash, basis, tuple(groups)), self.memories.of(source.uid)
        if memory.preview is None or memory.preview.about != about:
            memory.drop_preview()
            memory.preview = PreviewTask(
                about, asyncio.create_task(self._preview(source, target, groups, basis))
            )
        task = memory.preview.task
        if not task.done():
            done, _ = await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
            if not done:
                task.add_done_callback(lambda task: None if task.cancelled() else self._finished(key))
                return None
        if task.exception() is not None:
            memory.preview = None
        return task.result()

    def _finished(self, key: TemplateKey) -> None:
        self.memories.cluster.enqueue_rollouts(key)

    async def _preview(
        self, source: RolloutSource, target: Content, groups: Sequence[str], basis: str
    ) -> Preview:
        made = await self.previews.of(source, target, groups)
        return made.model_copy(update={"basis": basis, "at": self.now()})
