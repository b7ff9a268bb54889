"""What tests of rollouts begin with: a template that is served, and what a policy makes of it."""

from __future__ import annotations

import datetime
from typing import Any

from support.live_objects import KINDS, Body
from support.namespace import Namespace

NEW, OLD_FREE, OLD_PRO = {"session.minutes": 25}, {"session.minutes": 30}, {"session.minutes": 120}


def given(ns: Namespace, *, users: int = 0, **spec: Any) -> None:
    """A template that is served, with some users in each group."""
    ns.template(**spec)
    for number in range(users):
        ns.preference(
            f"user-{number}", {"session.greeting": f"hi {number}"}, group=("free", "pro")[number % 2]
        )
    ns.rendered()
    for number in range(users):
        ns.accepted(f"user-{number}")


def freeze_now(reason: str = "fair week") -> Body:
    """A freeze that began this minute."""
    now = datetime.datetime.now(datetime.UTC)
    return {"schedule": f"{now.minute} {now.hour} * * *", "duration": "2h", "reason": reason}


def replace(ns: Namespace, body: Body) -> None:
    """As `kubectl replace`. A server-side apply that empties a struct is refused: the API server makes it null."""
    name, kind = body["metadata"]["name"], body["kind"]
    version = ns.one(kind, name)["metadata"]["resourceVersion"]
    whole = {**body, "metadata": {**body["metadata"], "resourceVersion": version}}
    ns.api.call("PUT", KINDS[kind].path(ns.name, name), whole)
