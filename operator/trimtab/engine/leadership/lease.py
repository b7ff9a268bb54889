"""Leader election by a coordination.k8s.io Lease, fenced by time and by resourceVersion.

Runs in a thread of its own with its own event loop and connection, so that nothing that happens on the main loop
delays a renewal. Expiry is measured on the monotonic clock from when a renewal was *sent*; another holder's Lease
counts as expired once its record has not changed for its duration by our own clock, so clocks need not agree
(as in client-go's leaderelection, https://pkg.go.dev/k8s.io/client-go/tools/leaderelection).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trimtab.kube import errors
from trimtab.kube.client import Client
from trimtab.kube.credentials import Credentials
from trimtab.kube.resources import LEASES

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """``duration`` in seconds: how long a Lease outlives its last renewal."""

    namespace: str
    identity: str
    name: str = "trimtab"
    duration: float = 15.0

    @property
    def retry(self) -> float:
        """Seconds between renewals, and between a standby's looks."""
        return min(self.duration / 6, 2.0)

    @property
    def margin(self) -> float:
        """Seconds before expiry at which we stop writing; no write takes longer."""
        return self.duration / 3


class Leader:
    """``changed(leading)`` is called from the lease thread; :meth:`may_write` is safe from any thread."""

    def __init__(
        self, credentials: Credentials, settings: LeaseSettings, changed: Callable[[bool], None]
    ) -> None:
        self.settings = settings
        self._credentials, self._changed = credentials, changed
        self._until = 0.0
        self._leading = False
        self._stop = threading.Event()
        self._seen: tuple[str, float] = ("", 0.0)
        self._thread = threading.Thread(target=self._main, name="lease", daemon=True)

    def may_write(self) -> bool:
        """Whether a write started now ends before anybody else may lead."""
        return time.monotonic() < self._until

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop renewing and give the Lease back; returns when that is done."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        async with Client(self._credentials, user_agent="trimtab-lease") as client:
            while not self._stop.is_set():
                started = time.monotonic()
                held: bool | None
                try:
                    async with asyncio.timeout(max(1.0, self.settings.duration / 2)):
                        held = await self._attempt(client)
                except Exception as error:  # the thread continues after any error
                    held = None
                    log.warning("lease: %s", self._trouble(error))
                if held:
                    if self._leading and not self.may_write():
                        self._set(
                            False
                        )  # it expired for a moment: the engine retries what the write guard refused
                    self._until = started + self.settings.duration - self.settings.margin
                # Not knowing is no reason to step down before the Lease we have runs out.
                self._set(self.may_write() and (held is True or (held is None and self._leading)))
                await self._pause()
            if self._leading:
                self._until = 0.0
                await self._release(client)
                self._set(False)

    def _trouble(self, error: Exception) -> str:
        if isinstance(error, errors.NotFoundError):
            # to create an object is refused so where its namespace is not
            home = self.settings.namespace
            return f"namespace {home} does not exist, so no instance can lead; create it, or choose another --namespace"
        return str(error) or type(error).__name__

    async def _pause(self) -> None:
        await asyncio.to_thread(self._stop.wait, self.settings.retry)

    def _set(self, leading: bool) -> None:
        if leading != self._leading:
            self._leading = leading
            if not leading:
                self._until = 0.0
            log.info("leading" if leading else "standing by", extra={"identity": self.settings.identity})
            self._changed(leading)

    async def _attempt(self, client: Client) -> bool | None:
        """Take or renew the Lease: True if it is ours now, False if it is another's, None if unknown.

        Every write is a compare-and-swap on the Lease's resourceVersion.
        """
        settings = self.settings
        try:
            lease = await client.get(LEASES, settings.namespace, settings.name)
        except errors.NotFoundError:
            return await self._swap(client, None)
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        record = f"{holder} {spec.get('renewTime')} {spec.get('leaseTransitions')}"
        now = time.monotonic()
        if record != self._seen[0]:
            self._seen = (record, now)
        expired = now - self._seen[1] > float(spec.get("leaseDurationSeconds") or settings.duration)
        if holder and holder != settings.identity and not expired:
            return False
        return await self._swap(client, lease)

    async def _swap(self, client: Client, lease: dict[str, Any] | None) -> bool | None:
        settings = self.settings
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec") or {}
        same = old.get("holderIdentity") == settings.identity
        spec = {
            "holderIdentity": settings.identity,
            "leaseDurationSeconds": max(1, round(settings.duration)),
            "acquireTime": old.get("acquireTime") if same else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if same or not lease else 1),
        }
        metadata: dict[str, Any] = {"name": settings.name, "namespace": settings.namespace}
        try:
            if lease is None:
                await client.create(
                    LEASES,
                    {
                        "apiVersion": LEASES.api_version,
                        "kind": LEASES.kind,
                        "metadata": metadata,
                        "spec": spec,
                    },
                )
            else:
                patch = {"metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]}, "spec": spec}
                await client.merge_patch(LEASES, settings.namespace, settings.name, patch)
        except errors.ConflictError:
            return None
        return True

    async def _release(self, client: Client) -> None:
        try:
            lease = await client.get(LEASES, self.settings.namespace, self.settings.name)
            if (lease.get("spec") or {}).get("holderIdentity") == self.settings.identity:
                patch = {
                    "metadata": {"resourceVersion": lease["metadata"]["resourceVersion"]},
                    "spec": {"holderIdentity": ""},
                }
                await client.merge_patch(LEASES, self.settings.namespace, self.settings.name, patch)
        except errors.ApiError as error:
            log.warning("lease not released, it will expire: %s", error)
