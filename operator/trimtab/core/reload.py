"""Which values a workload has to restart for."""

from __future__ import annotations

from trimtab.core.keys import Value
from trimtab.core.resolve import GroupView


def restarting(view: GroupView) -> dict[str, Value]:
    """The group's values of keys with ``reload: Restart`` (the default): while these are equal, nothing restarts."""
    keys = view.schema.keys
    return {name: value for name, value in view.values.items() if keys[name].spec.reload != "None"}
