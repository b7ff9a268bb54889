"""Groups that are no more: what was rendered for them goes, after a live look at what says so."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from trimtab.core.plan import plan
from trimtab.core.schema import Schema
from trimtab.engine.observed import AnyObject
from trimtab.engine.pointers import Pointers
from trimtab.engine.preferences import GroupKey, TemplateKey
from trimtab.engine.templates import Templates
from trimtab.engine.world import World
from trimtab.engine.writer import Writer
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import CONFIG_TEMPLATES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removal:
    """Removes a group's outputs and its RenderedGroup, in every namespace."""

    api: Api
    world: World
    templates: Templates
    pointers: Pointers
    writer: Writer

    async def clean_up(self, key: GroupKey, served: Schema | None, *, template_gone: bool) -> None:
        """Remove what was rendered; with ``deletionPolicy: Retain`` of a deleted template, let it go instead.

        ``served`` is what the group was last served, if this process knows.

        :raises trimtab.kube.errors.ApiError: something is left; it is still labelled, so the next pass finds it.
        """
        outputs = list(self.world.outputs.of(key).values())
        if self.pointers.rendered_group(key) is None and not outputs:
            return
        if template_gone and await self._exists(key.template_key):
            message = f"template {key.template_key} exists; its event is on the way"
            raise errors.UnavailableError(0, "StaleStore", message)
        if template_gone and await self._retained(key, served):
            for observed in outputs:
                try:
                    await self.writer.release(observed)
                except errors.NotFoundError:
                    self.world.outputs.forget(observed)
        else:
            failures = await self.writer.carry_out(plan({}, {o.ref: o for o in outputs}))
            if failures:
                raise errors.UnavailableError(0, failures[0].reason, failures[0].message)
        await self.pointers.remove(key)
        log.info("group removed", extra={"group": str(key), "outputs": len(outputs)})
        self.world.enqueue_template(key.template_key)

    async def _exists(self, key: TemplateKey) -> bool:
        try:
            body = await self.api.get(CONFIG_TEMPLATES, key.namespace, key.name)
        except errors.NotFoundError:
            return False
        self.world.templates.put(msgspec.convert(body, AnyObject))
        return True

    async def _retained(self, key: GroupKey, served: Schema | None) -> bool:
        pointer = self.pointers.current(key)
        if served is None and pointer is not None:
            served = await self.templates.load(key.template_key, pointer["snapshot"])
        return served is not None and served.spec.deletion_policy == "Retain"
