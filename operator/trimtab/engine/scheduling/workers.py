"""Workers that empty the queue. What fails is queued again after a delay that grows with each failure in a row."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from trimtab.engine.metrics import RECONCILE_SECONDS, RECONCILES
from trimtab.engine.scheduling.failures import fault
from trimtab.engine.scheduling.queue import SHARE, Queue, Work
from trimtab.engine.scheduling.retry import Backoff
from trimtab.kube import errors

log = logging.getLogger(__name__)

WORKERS = SHARE + 1
"""One more than a namespace may keep busy."""


class Workers:
    """``reconcile`` makes one pass over an entry of the queue."""

    def __init__(self, queue: Queue, reconcile: Callable[[Work], Awaitable[None]]) -> None:
        self._queue, self._reconcile = queue, reconcile
        self._backoff = Backoff()

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(WORKERS):
                tasks.create_task(self._work())

    async def _work(self) -> None:
        while True:
            work: Work = await self._queue.get()  # type: ignore[assignment]
            started = time.perf_counter()
            result = "ok"
            try:
                await self._reconcile(work)
                self._backoff.worked(work)
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current is None or current.cancelling():
                    raise
                result = "cancelled"  # a call inside was, not this worker
                self._retry(work, errors.UnavailableError(0, "Cancelled", "a call was cancelled"))
            except errors.NotLeaderError as error:
                result = "not-leading"  # the Lease may be renewed late, and have had no other holder
                self._retry(work, error)
            except errors.ApiError as error:
                result = "delayed"
                self._retry(work, error)
            except Exception as error:
                result = "failed"
                log.error("Reconciliation failed: %s", fault(error), extra={"key": str(work.key)})
                self._retry(work, error)
            finally:
                self._queue.done(work)
                RECONCILES.labels(work.what, result).inc()
                RECONCILE_SECONDS.labels(work.what).observe(time.perf_counter() - started)

    def _retry(self, work: Work, error: Exception) -> None:
        count, delay = self._backoff.failed(work, error)
        if count > 2:
            known = isinstance(error, (errors.ApiError, errors.NotLeaderError))
            reason = str(error) if known else type(error).__name__
            log.warning("Retrying in %.1fs: %s", delay, reason, extra={"key": str(work.key)})
        self._queue.add_after(work, work.namespace, delay)
