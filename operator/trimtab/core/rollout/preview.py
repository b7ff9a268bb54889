"""What a rollout would change: counts, and samples of the changes."""

from __future__ import annotations

from trimtab.api.rollout_status import KeyChange

REDACTED = "(sensitive)"


def is_redacted(sample: KeyChange) -> bool:
    """Whether its values are not shown."""
    return {sample.old, sample.new} <= {None, REDACTED}
