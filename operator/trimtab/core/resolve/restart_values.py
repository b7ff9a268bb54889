"""Which values a workload has to restart for."""

from __future__ import annotations

from trimtab.core.resolve.resolve import GroupView
from trimtab.core.schema.key import Value


def restarting(view: GroupView) -> dict[str, Value]:
    """The group's values of keys with ``reload: Restart`` (the default) that are in one of its outputs: while they are
    equal, no workload restarts."""
    schema = view.schema
    outputs = [*schema.group_outputs, *(schema.user_outputs if schema.delivery != "None" else ())]
    rendered = {name for output in outputs for name in output.keys}
    keys = schema.keys
    return {n: v for n, v in view.values.items() if n in rendered and keys[n].spec.reload != "None"}
