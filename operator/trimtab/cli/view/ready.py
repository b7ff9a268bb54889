"""What an object's Ready condition says, and what no operator has looked at yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_UNSEEN = "no operator has looked at it yet; is `trimtab run` running?"
_STALE = "the operator has not looked at its latest generation yet"


def verdict(meta: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, str]:
    """``ready``, ``reason`` and ``message``."""
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    if ready is None:
        return {"ready": "Unknown", "reason": "NotObserved", "message": _UNSEEN}
    seen = ready.get("observedGeneration", status.get("observedGeneration", 0))
    if seen < meta.get("generation", 0):
        return {"ready": "Unknown", "reason": "Stale", "message": _STALE}
    return {"ready": ready["status"], "reason": ready["reason"], "message": ready.get("message", "")}
