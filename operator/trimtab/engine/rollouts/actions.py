"""What people ask of rollouts by RolloutActions, and what they are told of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from trimtab.core import reasons
from trimtab.core.objects import AnyObject, template_of
from trimtab.core.refs import TemplateKey
from trimtab.core.rollout import ActionResult, Request
from trimtab.core.rollout.source import POLICY, TEMPLATE, RolloutSource
from trimtab.core.status import TRUE, Verdict, composed, refused
from trimtab.engine.status.writer import StatusWriter
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.engine.store.rollout_sources import RolloutSources, resource_of
from trimtab.kube import errors
from trimtab.kube.port import Api
from trimtab.kube.resources import ROLLOUT_ACTIONS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answers:
    api: Api
    cluster: ClusterState
    sources: RolloutSources
    statuses: StatusWriter

    def requests(self, source: RolloutSource) -> Iterable[Request]:
        """What people ask of this rollout and nobody has answered, the oldest first."""
        mine = [a for a in self.cluster.open_actions.values() if _about(a.item, source)]
        for item in (action.item for action in sorted(mine, key=lambda action: action.order)):
            spec = item.spec
            yield Request(
                uid=item.metadata.uid,
                action=str(spec.get("action")),
                content_hash=spec.get("contentHash") or "",
                requester=str(spec.get("requester") or ""),
                reason=str(spec.get("reason") or ""),
            )

    async def refuse_strays(self, key: TemplateKey) -> None:
        """Actions on what is not there, or does not roll out."""
        for item in [action.item for action in self.cluster.open_actions.values()]:
            reference = item.spec.get("rolloutRef") or {}
            place = TemplateKey(item.metadata.namespace, str(reference.get("name")))
            if key not in (place, self._template_of(place)):
                continue
            kind = TEMPLATE if reference.get("kind") == TEMPLATE else POLICY
            known = self._is_known(kind, place)
            there = known or await self._look(kind, place)
            known = known or self._is_known(kind, place)
            missing = f"there is no {kind} {place.name} in namespace {place.namespace}"
            if there:
                missing = f"{kind} {place.name} has no strategy, so that its changes do not roll out"
            if not known:
                await self.tell([ActionResult(item.metadata.uid, False, missing)])

    def _template_of(self, place: TemplateKey) -> TemplateKey:
        rollout = self.cluster.rollouts.get(place)
        return place if rollout is None else template_of(rollout)

    def _is_known(self, kind: str, place: TemplateKey) -> bool:
        if kind == TEMPLATE:
            return self.sources.template(place) is not None
        return self.cluster.rollouts.get(place) is not None

    async def _look(self, kind: str, place: TemplateKey) -> bool:
        """Asked of the API server itself: its event may come after the action's."""
        resource = resource_of(kind)
        try:
            found = await self.api.get(resource, *place)
        except errors.NotFoundError:
            return False
        self.sources.store(kind).put(msgspec.convert(found, AnyObject))
        return True

    async def tell(self, answers: Iterable[ActionResult]) -> None:
        """Write each answer into the status of its RolloutAction. One that cannot be written keeps back no other.

        :raises trimtab.kube.errors.ApiError: one could not be written; it is to be tried again.
        """
        by_uid = {action.item.metadata.uid: action.item for action in self.cluster.open_actions.values()}
        failures: list[errors.ApiError] = []
        for answer in answers:
            item = by_uid.get(answer.uid)
            if item is None:
                continue
            try:
                await self._tell(item, answer)
            except errors.NotFoundError:
                continue
            except errors.ApiError as error:
                if errors.lasts(error) or isinstance(error, errors.InvalidError):
                    log.error("an answer was refused: %s", error.reason, extra={"action": str(item.key)})
                failures.append(error)
        if failures:
            raise failures[0]

    async def _tell(self, item: AnyObject, answer: ActionResult) -> None:
        verdict = (
            Verdict(TRUE, reasons.ACCEPTED, answer.message)
            if answer.accepted
            else refused(reasons.REFUSED, answer.message)
        )
        status = composed(item.status, verdict, item.metadata.generation, self.statuses.now(), {})
        await self.statuses.replace(ROLLOUT_ACTIONS, self.cluster.actions, item, status)


def _about(action: AnyObject, source: RolloutSource) -> bool:
    reference = action.spec.get("rolloutRef") or {}
    return (action.metadata.namespace, reference.get("kind"), reference.get("name")) == (
        source.key.namespace,
        source.kind,
        source.name,
    )
