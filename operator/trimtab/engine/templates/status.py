"""The status of ConfigTemplates, written in the background."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trimtab.core.objects import AnyObject
from trimtab.core.refs import TemplateKey
from trimtab.core.status import Verdict, findings
from trimtab.engine.content.templates import Judgement
from trimtab.engine.status.writer import ObjectStatus, StatusWriter
from trimtab.engine.store.cluster_state import ClusterState
from trimtab.kube.resources import CONFIG_TEMPLATES


@dataclass(frozen=True, slots=True)
class TemplateStatuses:
    """``drift`` counts reverted manual changes that no status reports yet."""

    cluster: ClusterState
    writer: StatusWriter
    drift: Counter[TemplateKey]

    def offer(
        self, key: TemplateKey, judgement: Judgement, verdict: Verdict, counts: Callable[[], dict[str, int]]
    ) -> None:
        """Write the status, unless a newer spec is evaluated first."""
        reported = 0

        def fields(item: AnyObject) -> dict[str, Any] | None:
            nonlocal reported
            if (item.metadata.uid, item.metadata.generation) != (judgement.uid, judgement.generation):
                return None
            reported = self.drift[key]
            drift = int(item.status.get("drift") or 0) + reported
            made = {**findings(verdict), "drift": drift or None, **counts()}
            if judgement.accepted is not None:
                made["snapshot"] = judgement.accepted.snapshot
            return made

        def written() -> None:
            self.drift[key] -= reported

        status = ObjectStatus(self.cluster.templates, key, verdict, fields, written)
        self.writer.offer_object(CONFIG_TEMPLATES, status)
