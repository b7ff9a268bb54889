"""Sensitive values in rollouts: previews, status and stored content."""

from __future__ import annotations

from support.in_memory import Cluster, rendered, settled, spec
from support.wave_rollouts import calm, progress
from trimtab.kube.resources import CONTROLLER_REVISIONS, POLICY_ROLLOUTS, USER_PREFERENCES


async def test_a_key_that_becomes_sensitive_is_removed_from_clear_text() -> None:
    secret = "s3cr3t-canary"
    token = {"name": "music.token", "type": "String", "default": "x"}
    outputs = [*spec()["outputs"], {"name": "c", "kind": "Secret", "format": "TOML", "fileName": "c.toml"}]
    base = calm(outputs=outputs, keys=[*calm()["keys"], token])
    cluster = await rendered(base, lock={"values": {"music.token": secret}})

    assert secret in str(progress(cluster)), "its preview shows it"

    cluster.template({**base, "keys": [*base["keys"][:3], {**token, "sensitive": True}]})
    await settled(cluster)
    assert progress(cluster)["phase"] == "Succeeded"
    assert secret not in str(progress(cluster))
    assert secret not in str(cluster.memory.objects(CONTROLLER_REVISIONS))
    assert any(secret in text for place, text in cluster.documents().items() if place[0] == "Secret")
    assert await settled(cluster) == []


async def test_a_preview_does_not_confirm_a_guess_at_a_sensitive_value() -> None:
    shown = set()
    for guess in ("4711", "4712"):
        cluster = Cluster()
        pin = {"name": "pin", "type": "String", "sensitive": True}
        creds = {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"}
        made = calm(keys=[*calm()["keys"], pin], outputs=[*calm()["outputs"], creds])
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
