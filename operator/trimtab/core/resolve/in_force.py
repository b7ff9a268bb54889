"""The values in force for a user whose spec is refused."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trimtab.core.resolve.preference import Accepted
from trimtab.core.resolve.resolve import GroupView, Resolution


def in_force(view: GroupView, accepted: Accepted | None) -> Resolution:
    """The values that were accepted last, without those that are no longer valid; else the group's values."""
    if accepted is not None:
        values: Mapping[str, object] = msgspec.json.decode(accepted.values)
        for _ in range(2):
            resolution = view.resolve(values)
            if not resolution.violations:
                return resolution
            misfits = {violation.key for violation in resolution.violations}
            values = {key: value for key, value in values.items() if key not in misfits}
    return Resolution(view.values, {})
