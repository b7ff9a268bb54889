"""Deletes the objects of a group that no longer exists, after a direct read of its template."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

import msgspec

from trimtab.core import naming
from trimtab.core.objects import AnyObject
from trimtab.core.refs import GroupKey, TemplateKey
from trimtab.core.render.plan import Delete, Observed
from trimtab.engine.content.templates import Judgement
from trimtab.engine.groups.revisions import Revisions
from trimtab.engine.groups.writer import Writer
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.ownership import Ownership
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import CONFIG_TEMPLATES

log = logging.getLogger(__name__)

RETAIN = "Retain"


@dataclass(frozen=True, slots=True)
class Removal:
    """Deletes a group's outputs in every namespace, and its RenderedGroup."""

    api: Api
    cluster: ClusterState
    revisions: Revisions
    writer: Writer
    origins: Ownership

    async def clean_up(self, key: GroupKey, judgement: Judgement | None) -> errors.ApiError | None:
        """Delete the outputs; those of a deleted template with deletionPolicy Retain are released instead. The first
        refusal of the API server is returned: all other objects are deleted, and the next pass finds the rest.

        ``judgement`` is about the template without the group: None if the template was deleted. Nothing is deleted
        while the whole kind may have been removed.

        :raises trimtab.kube.errors.ApiError: nothing is decided; the API server could not be reached.
        """
        outputs = self.origins.proved(key)
        nothing_left = self.cluster.rendered_group(key) is None and not outputs
        if nothing_left or (judgement is None and key.template_key in self.cluster.kept.templates):
            return None
        await self._confirm(key.template_key, judgement)
        kept = list(filter(_is_retained, outputs)) if judgement is None else []
        surplus = [o for o in outputs if o not in kept]
        left = await self._remove(kept, surplus)
        if left is not None:
            return left
        try:
            await self.revisions.remove(key)
        except errors.ApiError as error:
            return error
        log.info("Deleted a group", extra={"group": str(key), "deleted": len(surplus), "released": len(kept)})
        self.cluster.report(key.template_key)
        return None

    async def _remove(self, kept: list[Observed], surplus: list[Observed]) -> errors.ApiError | None:
        """Release and delete these objects; the first refusal, if there are any."""
        works = [*map(self._release, kept), *map(self._delete, surplus)]
        results = [r for r in await asyncio.gather(*works, return_exceptions=True) if r is not None]
        for result in results:
            if not isinstance(result, errors.ApiError):
                raise result
        return next((result for result in results if isinstance(result, errors.ApiError)), None)

    async def _release(self, observed: Observed) -> None:
        try:
            await self.writer.release(observed)
        except errors.NotFoundError:
            self.cluster.outputs.forget(observed)
        except errors.ApiError as error:  # of a Secret it may quote data
            detail = f"{error.status} {error.reason}" if observed.ref.kind == "Secret" else str(error)
            message = f"{observed.ref}: the API server refused to release it: {detail}"
            raise errors.UnavailableError(0, error.reason, message) from None

    async def _delete(self, observed: Observed) -> None:
        failure = await self.writer.write(Delete(observed))
        if failure is not None:
            raise errors.UnavailableError(0, failure.reason, failure.message)

    async def _confirm(self, key: TemplateKey, judgement: Judgement | None) -> None:
        """Read the template directly before anything is deleted: the store may be behind.

        :raises UnavailableError: it was; the store knows now.
        """
        try:
            body = await self.api.get(CONFIG_TEMPLATES, key.namespace, key.name)
        except errors.NotFoundError:
            if judgement is None:
                return
            item = self.cluster.templates.get(key)
            if item is not None:
                self.cluster.templates.drop(item)
        else:
            live = msgspec.convert(body, AnyObject)
            seen = (live.metadata.uid, live.metadata.generation)
            if judgement is not None and seen == (judgement.uid, judgement.generation):
                return
            self.cluster.templates.put(live)
        raise errors.UnavailableError(0, "StaleStore", f"template {key} changed meanwhile")


def _is_retained(observed: Observed) -> bool:
    return observed.labels.get(naming.LABEL_DELETION_POLICY) == RETAIN
