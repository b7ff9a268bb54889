"""A cluster's live objects as the snapshot that the desired state follows from."""

from __future__ import annotations

from typing import Any

import msgspec

from support.expected_contents import POLICY, TEMPLATE, Objects
from support.rollout_meaning import Body
from trimtab.core.evaluate.cluster import Cluster
from trimtab.core.objects import AnyObject, MetaOnly
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.preference import PreferenceObject, read
from trimtab.core.rollout.user_share import position_of
from trimtab.crypto import Keys


def snapshot_of(objects: Objects, keys: Keys | None = None) -> Cluster:
    """All objects, read once; ``keys`` are the operator's, for what is sealed and for shares of users."""

    def position(seed: str, user: str) -> float:
        assert keys is not None
        return position_of(keys.unbound({"seed": seed, "user": user}))

    return Cluster(
        templates=[_as(item, AnyObject) for item in objects(TEMPLATE)],
        policies=[_as(item, AnyObject) for item in objects(POLICY)],
        preferences=[read(_as(item, PreferenceObject)) for item in objects("UserPreference")],
        groups=[_as(item, AnyObject) for item in objects("RenderedGroup")],
        namespaces={item["metadata"]["name"]: _as(item, MetaOnly) for item in objects("Namespace")},
        contents={
            TemplateKey(item["metadata"]["namespace"], item["metadata"]["name"]): _content(item["data"], keys)
            for item in objects("ControllerRevision")
        },
        position=position,
    )


def _content(data: Body, keys: Keys | None) -> Body:
    taken = keys.open(data["sealed"]) if keys is not None and "sealed" in data else []
    part: snapshot.Part = "spec" if "spec" in data else "policy"
    return snapshot.joined(part, data[part], taken)


def _as(body: Body, kind: type[Any]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind, strict=False)
