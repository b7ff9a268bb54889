"""Which values a workload has to restart for."""

from __future__ import annotations

from trimtab.core.resolve.resolve import GroupView
from trimtab.core.schema.key import Value


def restarting(view: GroupView) -> dict[str, Value]:
    """The group's values of keys with ``reload: Restart`` (the default) that are in what it serves: while these are
    equal, nothing restarts."""
    schema = view.schema
    outputs = [*schema.group_outputs, *(schema.user_outputs if schema.delivery != "None" else ())]
    served = {name for output in outputs for name in output.keys}
    keys = schema.keys
    return {n: v for n, v in view.values.items() if n in served and keys[n].spec.reload != "None"}
