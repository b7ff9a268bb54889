"""Stored content counts only if its name matches it, and the digests that it shows are bound to their path."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from support.in_memory import HOME, Cluster, Operator, rendered, settled
from support.wave_rollouts import (
    LOCK,
    REST,
    broken,
    calm,
    loud,
    progress,
    revisions,
    until,
    voice,
    voices,
    waves,
)
from trimtab.core.refs import TemplateKey
from trimtab.core.resolve import snapshot
from trimtab.core.resolve.snapshot import Part
from trimtab.crypto import Keys, UnreadableError
from trimtab.engine import term
from trimtab.engine.content.sealing import LIMIT, Content, Vault
from trimtab.engine.content.snapshots import Snapshots
from trimtab.engine.workloads import restarts as engine_workloads
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_TEMPLATES,
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    POLICY_ROLLOUTS,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
)

KEYS = Keys.fresh()
PIN: list[Body] = [
    {"name": "pin", "type": "String", "sensitive": True},
    {"name": "pin2", "type": "String", "sensitive": True},
]
SECRET: Body = {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"}
FREE = "app-free"


def pins(*names: str, **more: Any) -> Body:
    """A template whose groups all hold the same two sensitive values, and a workload each."""
    made = [
        {
            "name": name,
            "values": {"pin": "4711", "pin2": "4711"},
            "workloads": [{"kind": "Deployment", "name": f"web-{name}"}],
        }
        for name in names
    ]
    return {"keys": PIN, "groups": made, "outputs": [SECRET], **more}


def deployment(cluster: Cluster, name: str, namespace: str = HOME) -> None:
    body = {"spec": {"template": {"metadata": {"labels": {"app": name}}}}}
    cluster.memory.put(DEPLOYMENTS, {"metadata": {"name": name, "namespace": namespace}, **body})


def names(cluster: Cluster, part: str = "") -> list[str]:
    found = (body["metadata"]["name"] for body in cluster.memory.objects(CONTROLLER_REVISIONS))
    return [name for name in found if part in name]


def forge(cluster: Cluster, name: str, change: Any) -> None:
    """What whoever may write ControllerRevisions can do: delete one and create another one in its place."""
    body = cluster.find(CONTROLLER_REVISIONS, name)
    assert body is not None
    cluster.remove(CONTROLLER_REVISIONS, name)
    meta = {field: body["metadata"][field] for field in ("name", "namespace", "labels")}
    data = change(body["data"])
    cluster.memory.put(CONTROLLER_REVISIONS, {**body, "metadata": meta, "data": data})


def forged(data: Body) -> Body:
    keys = [
        {**key, "default": "FORGED"} if key["name"] == "agent.voice" else key for key in data["spec"]["keys"]
    ]
    return {**data, "spec": {**data["spec"], "keys": keys}}


# The vault.


SPEC: Body = {"keys": PIN, "groups": [{"name": "free", "values": {"pin": "4711", "pin2": "<4711>é"}}]}
POLICY: Body = {"templateRef": {"name": "app"}, "policy": {"values": {"pin": "4711"}}}


def stored(part: Part = "spec", stem: str = "app") -> tuple[TemplateKey, Body]:
    halves = snapshot.split(SPEC) if part == "spec" else snapshot.split_policy(POLICY, {"pin"})
    vault, whole = Vault(KEYS), SPEC if part == "spec" else POLICY
    place = TemplateKey(HOME, f"{stem}-{vault.hash(part, HOME, stem, whole)}")
    return place, vault.body(place, Content(part, *halves, {}, 1))


@pytest.mark.parametrize("part", ["spec", "policy"])
def test_stored_content_is_read_unchanged(part: Part) -> None:
    place, body = stored(part)

    assert Vault(KEYS).opened(place, part, body).whole == (SPEC if part == "spec" else POLICY)
    assert "4711" not in str(body)


def test_an_altered_copied_or_renamed_snapshot_does_not_open() -> None:
    place, body = stored()
    data, other = body["data"], stored("policy")[1]["data"]
    altered: list[tuple[TemplateKey, Body]] = [
        (place, {**data, "spec": {**data["spec"], "schemaVersion": 2}}),
        (place, {**data, "sealed": other["sealed"]}),
        (place, {**data, "sealed": KEYS.seal([])}),
        (place, {**data, "sealed": "x"}),
        (place, {name: value for name, value in data.items() if name != "sealed"}),
        (place, {**data, "spec": 3}),
        (place, {**data, "spec": {"groups": 3}}),
        (place, {"spec": {"values": [{"name": "pin"}]}, "sealed": other["sealed"]}),
        (place, None),
        (place, []),
        (place, other),
        (place, {}),
        (TemplateKey("elsewhere", place.name), data),
        (TemplateKey(HOME, f"other-{place.name.rpartition('-')[2]}"), data),
        (TemplateKey(HOME, f"app-{'0' * 20}"), data),
        (TemplateKey(HOME, f"app-{'0' * 16}"), data),
        (TemplateKey(HOME, "app"), data),
    ]

    for where, held in altered:
        with pytest.raises(UnreadableError):
            Vault(KEYS).opened(where, "spec", {**body, "data": held})
    with pytest.raises(UnreadableError):
        Vault(Keys.fresh()).opened(place, "spec", body)


@pytest.mark.parametrize(
    "digests", [[], ["x"], 5, "x", {}, {"keys/pin/default": 5}, {"groups/free/values/pin": "0" * 20}]
)
def test_a_snapshot_whose_digests_were_altered_is_to_be_replaced(digests: Any) -> None:
    place, body = stored()
    vault = Vault(KEYS)
    content = vault.opened(place, "spec", body)
    assert vault.is_current(place, body, content)

    altered = {**body, "data": {**body["data"], "digests": digests}}

    assert vault.opened(place, "spec", altered).whole == SPEC
    assert not vault.is_current(place, altered, content)


def test_digests_compare_at_one_path_of_one_owner_only() -> None:
    owners: list[tuple[Part, str]] = [("spec", "app"), ("spec", "app2"), ("policy", "app")]
    shown = [digest for part, stem in owners for digest in stored(part, stem)[1]["data"]["digests"].values()]

    assert len(shown) == len(set(shown)) == 5
    assert stored()[1]["data"]["digests"] == stored()[1]["data"]["digests"]


# The engine.


async def test_equal_values_elsewhere_look_different_wherever_a_digest_is_shown() -> None:
    cluster = Cluster(HOME, "other")
    for namespace in (HOME, "other"):
        for group in ("free", "paid"):
            deployment(cluster, f"web-{group}", namespace)
        cluster.template(pins("free", "paid"), namespace=namespace)
    cluster.template(pins("gold"), name="second")
    deployment(cluster, "web-gold")
    for name in ("one", "two"):
        cluster.policy(name, {"values": {"pin": "4711"}})
    await settled(cluster)

    shown: list[str] = []
    for body in cluster.memory.objects(CONTROLLER_REVISIONS):
        shown += [body["metadata"]["name"].rpartition("-")[2], *body["data"]["digests"].values()]
    for body in cluster.memory.objects(SECRETS):
        shown += re.findall("[0-9a-f]{16,}", str(body["metadata"].get("annotations") or {}))
    for body in cluster.memory.objects(DEPLOYMENTS):
        shown.append(body["spec"]["template"]["metadata"]["annotations"]["trimtab.dev/digest"])

    assert len(shown) == len(set(shown)) > 20


async def test_a_forged_snapshot_is_not_rendered_and_status_reports_it() -> None:
    cluster = await rendered(calm())
    cluster.template(broken())
    await settled(cluster)
    forge(cluster, names(cluster)[0], forged)
    cluster.preference("ann", {"session.minutes": 7})

    await settled(cluster)

    assert voices(cluster) == ["calm", "calm"]
    assert cluster.ready(USER_PREFERENCES, "ann") == ("False", "ContentUnreadable")
    assert f"RenderedGroup {HOME}/{FREE}" in cluster.message(USER_PREFERENCES, "ann")
    assert names(cluster)[0] not in cluster.message(USER_PREFERENCES, "ann")
    assert cluster.ready(RENDERED_GROUPS, FREE) == ("False", "ContentUnreadable")
    assert names(cluster)[0] in cluster.message(RENDERED_GROUPS, FREE)
    cluster.template(calm())
    await settled(cluster)
    assert cluster.ready(RENDERED_GROUPS, FREE) == ("True", "Rendered")
    assert cluster.ready(USER_PREFERENCES, "ann") == ("True", "Accepted")
    assert "FORGED" not in str(cluster.memory.objects(CONTROLLER_REVISIONS))


async def test_a_leader_replaces_a_forged_snapshot_by_what_it_stored() -> None:
    cluster = Cluster()
    cluster.template(calm())
    async with Operator(cluster):
        await asyncio.sleep(REST)
        before = cluster.find(CONTROLLER_REVISIONS, names(cluster)[0])
        assert before is not None

        forge(cluster, names(cluster)[0], forged)
        await asyncio.sleep(REST)

        after = cluster.find(CONTROLLER_REVISIONS, names(cluster)[0])
        assert after is not None
        assert after["data"] == before["data"]
        assert voices(cluster) == ["calm", "calm"]


async def test_a_controllerrevision_with_copied_labels_is_left_unchanged() -> None:
    cluster = await rendered(calm())
    mine = cluster.memory.objects(CONTROLLER_REVISIONS)[0]
    labels = mine["metadata"]["labels"]
    for name, data in (("db-5d4f", {"spec": {"template": {}}}), ("app-copy", mine["data"]), ("empty", {})):
        meta = {"name": name, "namespace": HOME, "labels": labels}
        cluster.memory.put(CONTROLLER_REVISIONS, {"metadata": meta, "data": data, "revision": 1})
    cluster.template(loud(revisionHistoryLimit=1))
    await settled(cluster)

    cluster.remove(CONFIG_TEMPLATES, "app")
    await settled(cluster)

    assert names(cluster) == ["app-copy", "db-5d4f", "empty"]


async def test_a_snapshot_that_was_labelled_as_another_templates_is_not_deleted_with_that_one() -> None:
    cluster = Cluster()
    for name in ("app", "second"):
        cluster.template(calm(), name=name)
        cluster.policy(f"lock-{name}", {**LOCK, "values": {}}, template=name)
    await settled(cluster)
    cluster.template(loud(), name="second")
    await settled(cluster)
    kept = names(cluster, "second-")
    for body in cluster.memory.objects(CONTROLLER_REVISIONS):
        if body["metadata"]["name"] in kept:
            body["metadata"]["labels"]["trimtab.dev/template"] = "app"
            cluster.memory.put(CONTROLLER_REVISIONS, body)

    cluster.remove(CONFIG_TEMPLATES, "app")
    await settled(cluster)

    assert len(kept) == 3
    assert names(cluster, "second-") == kept


async def test_a_deleted_stable_snapshot_is_restored_or_reported_once_its_content_is_unknown() -> None:
    cluster = Cluster()
    cluster.template(calm())
    async with Operator(cluster):
        cluster.policy("lock", LOCK, strategy=waves(soak="1s"))
        await until(cluster, "Succeeded")
        cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": "dark"}]}, strategy=waves())
        await until(cluster, "Soaking")
        cluster.act("Abort", "lock")
        await until(cluster, "RolledBack")
        kept = progress(cluster)["stable"]["snapshot"]
        body = cluster.find(CONTROLLER_REVISIONS, kept)
        cluster.remove(CONTROLLER_REVISIONS, kept)
        await asyncio.sleep(REST)
        assert cluster.find(CONTROLLER_REVISIONS, kept)

    cluster.remove(CONTROLLER_REVISIONS, kept)
    cluster.preference("ann", {"session.minutes": 5})
    async with Operator(cluster):
        await asyncio.sleep(REST)
        assert cluster.ready(RENDERED_GROUPS, FREE) == ("False", "ContentUnreadable")
        assert "PolicyRollout lock" in cluster.message(RENDERED_GROUPS, FREE)
        assert cluster.ready(CONFIG_TEMPLATES, "app") == ("False", "ContentUnreadable")
        assert "ContentUnreadable" in str(progress(cluster)["warnings"])
        assert voice(cluster, "free") == "bright"

        assert body is not None
        meta = {field: body["metadata"][field] for field in ("name", "namespace", "labels")}
        cluster.memory.put(CONTROLLER_REVISIONS, {**body, "metadata": meta})
        await asyncio.sleep(2 * REST)
        assert cluster.ready(RENDERED_GROUPS, FREE) == ("True", "Rendered")
        assert '"minutes":5' in str(cluster.file("ann"))


async def test_content_that_cannot_be_stored_is_rejected_with_its_size() -> None:
    cluster = Cluster()
    big = [{**key, "default": "z" * (LIMIT // 3)} for key in (*PIN, {**PIN[0], "name": "pin3"})]
    cluster.template(calm(keys=[*calm()["keys"], *PIN, {**PIN[0], "name": "pin3"}]))
    await settled(cluster)
    cluster.template(calm(keys=[*calm()["keys"], *big]), name="big")
    cluster.policy("lock", {"values": {key["name"]: key["default"] for key in big}})
    await settled(cluster)

    assert cluster.ready(CONFIG_TEMPLATES, "big") == ("False", "Rejected")
    assert cluster.ready(POLICY_ROLLOUTS, "lock") == ("False", "Rejected")
    for message in (cluster.message(CONFIG_TEMPLATES, "big"), cluster.message(POLICY_ROLLOUTS, "lock")):
        assert re.search(r"would have 1,\d{3},\d{3} bytes .* stores at most 1,000,000; shorten", message)
    assert voices(cluster) == ["calm", "calm"]


async def test_an_upgrade_from_unbound_digests_moves_and_restarts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster()
    for group in ("free", "paid"):
        deployment(cluster, f"web-{group}")
    with monkeypatch.context() as earlier:  # as versions before wrote it
        earlier.setattr(
            Snapshots, "hash", lambda self, part, ns, stem, whole, status: self._vault().keys.unbound(whole)
        )
        earlier.setattr(
            Vault, "_digest", lambda self, place, part, path, value: self.keys.unbound([path, value])
        )
        earlier.setattr(
            term,
            "restart_digest",
            lambda keys, view: keys.unbound(engine_workloads.restarting(view)),
        )
        cluster.template(pins("free", "paid"))
        cluster.template(calm(strategy=waves(soak="1s"), keys=[*calm()["keys"], *PIN]), name="second")
        cluster.policy("lock", {**LOCK, "values": {"pin": "4712"}}, template="second")
        await settled(cluster)
    before = {n: revisions(cluster, n) for n in ("free", "paid")}
    stamps = [body["metadata"]["generation"] for body in cluster.memory.objects(DEPLOYMENTS)]
    kept = names(cluster)
    assert all(len(name.rpartition("-")[2]) == 16 for name in kept)

    await settled(cluster)

    assert {n: revisions(cluster, n) for n in before} == before
    assert [body["metadata"]["generation"] for body in cluster.memory.objects(DEPLOYMENTS)] == stamps
    assert names(cluster) == kept
    assert progress(cluster)["phase"] == "Succeeded"
    assert progress(cluster)["attempt"] == 1
    digests = [
        d for b in cluster.memory.objects(CONTROLLER_REVISIONS) for d in b["data"].get("digests", {}).values()
    ]
    assert {len(digest) for digest in digests} == {20}, "those of what is in force are bound now"

    cluster.policy("lock", {"enforced": [{"key": "agent.voice", "value": "dark"}]}, template="second")
    await settled(cluster)
    assert voices(cluster, "second") == ["dark", "dark"]
    assert [len(n.rpartition("-")[2]) for n in names(cluster, "-policy-")].count(20) == 1
