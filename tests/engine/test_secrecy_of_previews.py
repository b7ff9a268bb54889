"""A preview does not confirm a guess at a sensitive value."""

from __future__ import annotations

from support.in_memory import Cluster, settled
from support.wave_rollouts import groups
from trimtab.kube.resources import POLICY_ROLLOUTS, USER_PREFERENCES


async def test_a_preview_does_not_confirm_a_guess_at_a_sensitive_value() -> None:
    shown = set()
    for guess in ("4711", "4712"):
        cluster = Cluster()
        pin = {"name": "pin", "type": "String", "sensitive": True}
        creds = {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"}
        made = groups(keys=[*groups()["keys"], pin], outputs=[*groups()["outputs"], creds])
        made["groups"] = [{**group, "values": {"pin": "4711"}} for group in made["groups"]]
        cluster.template(made)
        cluster.preference("ann", {"session.minutes": 5})
        cluster.policy(
            "probe", {"values": {"pin": guess}}, strategy={"waves": [{"name": "all", "approval": True}]}
        )
        await settled(cluster)
        body = cluster.find(POLICY_ROLLOUTS, "probe") or {}
        preview = body["status"]["preview"]
        assert preview["keys"] == ["pin"]
        shown.add(
            str({name: value for name, value in preview.items() if name not in ("hash", "basis", "at")})
        )
        assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")

    assert len(shown) == 1
