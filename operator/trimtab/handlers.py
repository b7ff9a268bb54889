"""kopf's side: it logs in, and watches templates and rollouts. A handler only tells the world what it saw."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

if "kubernetes" not in sys.modules:
    # kopf imports the official client only to borrow its login; that costs 50 MB, and we log in ourselves.
    sys.modules["kubernetes"] = None  # type: ignore[assignment]
    import kopf

    del sys.modules["kubernetes"]
else:
    import kopf

import msgspec

from trimtab.engine.observed import AnyObject
from trimtab.engine.world import World
from trimtab.kube.credentials import Credentials
from trimtab.kube.resources import GROUP, VERSION


class _NullDiffBase(kopf.DiffBaseStorage):
    """Keeps kopf from writing annotations on users' objects."""

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


class _NullProgress(kopf.ProgressStorage):
    """No handler here has progress to keep."""

    def fetch(self, *, key: str, body: kopf.Body) -> Any:
        return None

    def store(self, *, key: str, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        pass

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        pass

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        pass

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


def registry(world: World, credentials: Credentials) -> kopf.OperatorRegistry:
    """Every handler of the operator."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return _connection(credentials)

    @kopf.on.event(GROUP, VERSION, "configtemplates", registry=made)
    def template(*, event: Any, **_: Any) -> None:
        _tell(world.templates, event)

    @kopf.on.event(GROUP, VERSION, "policyrollouts", registry=made)
    def rollout(*, event: Any, **_: Any) -> None:
        _tell(world.rollouts, event)

    return made


async def operate(world: World, credentials: Credentials, stop: asyncio.Event) -> None:
    """Run kopf's operator until ``stop``; it also ends, or raises, on errors that are worth a new try."""
    await kopf.operator(
        registry=registry(world, credentials), settings=settings(), clusterwide=True, stop_flag=stop
    )


def settings() -> kopf.OperatorSettings:
    """kopf without writes of its own: no annotations, no finalizers, no peering, no events."""
    made = kopf.OperatorSettings()
    made.persistence.diffbase_storage = _NullDiffBase()
    made.persistence.progress_storage = _NullProgress()
    made.persistence.finalizer = "trimtab.dev/none"
    made.peering.standalone = True
    made.posting.enabled = False
    made.queueing.idle_timeout = 0.05
    made.watching.server_timeout = 300
    made.watching.inactivity_timeout = 130
    return made


def _tell(store: Any, event: Mapping[str, Any]) -> None:
    item = msgspec.convert(dict(event["object"]), AnyObject)
    if event["type"] == "DELETED":
        store.drop(item)
    else:
        store.put(item)


def _connection(credentials: Credentials) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_data=credentials.ca_data.encode() if credentials.ca_data else None,
        insecure=credentials.insecure,
        certificate_data=credentials.certificate,
        private_key_data=credentials.private_key,
        token=credentials.bearer(),
        default_namespace=credentials.namespace,
    )
