"""Writes as the API server itself has counted them: whoever made them, and with or without a metric of their own.

It does not say who made a write; while a benchmark counts, nobody but the operator writes these kinds.
"""

from __future__ import annotations

import re

from trimtab.kube.client import Client
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    EVENTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
)

_KINDS = {
    (resource.group, resource.plural): resource.kind
    for resource in (
        CONFIG_MAPS,
        CONFIG_TEMPLATES,
        CONTROLLER_REVISIONS,
        DEPLOYMENTS,
        EVENTS,
        POLICY_ROLLOUTS,
        RENDERED_GROUPS,
        SECRETS,
        USER_PREFERENCES,
    )
}
_VERBS = {"APPLY": "apply", "DELETE": "delete", "PATCH": "patch", "POST": "create", "PUT": "update"}
_LABEL = re.compile(r'(\w+)="([^"]*)"')
REFUSED = "refused"


async def writes(client: Client) -> dict[str, int]:
    """Since its start, by what they were: ``RenderedGroup status`` and so on; those that it answered with an error
    are ``RenderedGroup status refused``. Leases are left out."""
    made: dict[str, int] = {}
    for line in (await client.request("GET", "/metrics")).decode().splitlines():
        if line.startswith("apiserver_request_total{"):
            labels, _, number = line.rpartition(" ")
            what = _what(dict(_LABEL.findall(labels)))
            if what:
                made[what] = made.get(what, 0) + int(float(number))
    return made


def _what(labels: dict[str, str]) -> str:
    kind, verb = _KINDS.get((labels["group"], labels["resource"])), _VERBS.get(labels["verb"])
    if kind is None or verb is None:
        return ""
    refused = "" if labels["code"].startswith("2") else f" {REFUSED}"
    return f"{kind} {labels['subresource'] or verb}{refused}"


def since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was written between two looks."""
    return {what: count - before.get(what, 0) for what, count in after.items() if count > before.get(what, 0)}
