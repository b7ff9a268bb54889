"""Groups that are no more: what was rendered for them goes, after a live look at what says so."""

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
    """Removes a group's outputs and its RenderedGroup, in every namespace."""

    api: Api
    cluster: ClusterState
    revisions: Revisions
    writer: Writer
    origins: Ownership

    async def clean_up(self, key: GroupKey, judgement: Judgement | None) -> errors.ApiError | None:
        """Remove what was rendered; what a deleted template said to Retain is let go instead. What the API server
        refuses keeps nothing else from going: it is still marked, so the next pass finds it.

        ``judgement`` is what the group is missing from: None if its template is gone. Nothing is removed while nothing
        says that a person deleted it.

        :raises trimtab.kube.errors.ApiError: nothing is decided; the API server could not be asked.
        """
        outputs = self.origins.proved(key)
        if self.cluster.rendered_group(key) is None and not outputs:
            return None
        if judgement is None and key.template_key in self.cluster.kept.templates:
            return None
        await self._look_again(key.template_key, judgement)
        kept = [
            o for o in outputs if judgement is None and o.labels.get(naming.LABEL_DELETION_POLICY) == RETAIN
        ]
        surplus = [o for o in outputs if o not in kept]
        works = [*map(self._release, kept), *map(self._delete, surplus)]
        results = await asyncio.gather(*works, return_exceptions=True)
        left = [result for result in results if result is not None]
        for result in sorted(left, key=lambda result: isinstance(result, errors.ApiError)):
            if isinstance(result, errors.ApiError):
                return result
            raise result
        try:
            await self.revisions.remove(key)
        except errors.ApiError as error:
            return error
        log.info("group removed", extra={"group": str(key), "deleted": len(surplus), "released": len(kept)})
        self.cluster.report(key.template_key)
        return None

    async def _release(self, observed: Observed) -> None:
        try:
            await self.writer.release(observed)
        except errors.NotFoundError:
            self.cluster.outputs.forget(observed)
        except errors.ApiError as error:  # of a Secret it may quote data
            said = f"{error.status} {error.reason}" if observed.ref.kind == "Secret" else str(error)
            message = f"{observed.ref}: the API server refused to let it go: {said}"
            raise errors.UnavailableError(0, error.reason, message) from None

    async def _delete(self, observed: Observed) -> None:
        failure = await self.writer.write(Delete(observed))
        if failure is not None:
            raise errors.UnavailableError(0, failure.reason, failure.message)

    async def _look_again(self, key: TemplateKey, judgement: Judgement | None) -> None:
        """Ask the API server itself before anything is removed: the store may be behind.

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
        raise errors.UnavailableError(0, "StaleStore", f"template {key} has changed meanwhile")
