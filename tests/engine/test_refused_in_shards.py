"""Entries of shards that the API server refuses: their users' status reports it, and everything else is written."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from support.failing_writes import BROKEN, DENIED, QUOTA, REFUSALS, SILENT, Refusing, named, new_objects, word
from support.in_memory import HOME, Cluster, Operator, settled
from support.wave_rollouts import LOCK, calm, loud, progress, until, voices, waves
from trimtab.core.refs import Ref
from trimtab.engine.groups.delivery import MOST_TRIES
from trimtab.kube import errors
from trimtab.kube.port import Body
from trimtab.kube.resources import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    RENDERED_GROUPS,
    SECRETS,
    USER_PREFERENCES,
    Resource,
)

EVIL = {"agent.voice": "FORBIDDEN"}


def minutes(cluster: Cluster, user: str, group: str = "free") -> int | None:
    text = cluster.file(user, group)
    return int(json.loads(text)["session"]["minutes"]) if text else None


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster()
    cluster.template(calm())
    cluster.users(8, {"session.minutes": 5})
    return cluster


async def with_users(cluster: Cluster, count: int) -> None:
    """Have so many users, and all of them served."""
    for number in range(8, count):
        cluster.preference(f"user-{number}", {"session.minutes": 5})
    await settled(cluster)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: str(error.status))
async def test_a_refused_entry_fails_only_its_user(cluster: Cluster, error: errors.ApiError) -> None:
    await settled(cluster)
    api = Refusing(cluster, word("FORBIDDEN", error))
    async with Operator(cluster, api) as operator:
        cluster.preference("user-0", EVIL)
        cluster.preference("new-evil", EVIL)
        cluster.preference("user-1", {"session.minutes": 9})
        cluster.preference("new-good", {"session.minutes": 9})
        cluster.remove(USER_PREFERENCES, "user-2")
        cluster.template(calm(profiles=[{"name": "p"}]))
        await operator.quiet()

        assert minutes(cluster, "user-0") == 5
        assert minutes(cluster, "new-evil") is None
        assert minutes(cluster, "user-1") == minutes(cluster, "new-good") == 9
        assert minutes(cluster, "user-2") is None
        for name in ("user-0", "new-evil"):
            assert cluster.ready(USER_PREFERENCES, name) == ("False", "WriteFailed")
            assert error.message in cluster.message(USER_PREFERENCES, name)
        assert "the values of generation 1 stay in force" in cluster.message(USER_PREFERENCES, "user-0")
        assert cluster.find_status("user-0")["accepted"]["values"] == {"session.minutes": 5}
        assert "nothing is written for this user yet" in cluster.message(USER_PREFERENCES, "new-evil")
        assert "accepted" not in cluster.find_status("new-evil")
        for name in ("user-1", "new-good", "user-3"):
            assert cluster.ready(USER_PREFERENCES, name) == ("True", "Accepted")
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")

        cluster.preference("user-0", {"session.minutes": 7})
        await asyncio.sleep(0.1)
        assert minutes(cluster, "user-0") == 7
        api.rules.clear()
        await operator.quiet()
        assert minutes(cluster, "new-evil") == 20
        assert cluster.ready(USER_PREFERENCES, "new-evil") == ("True", "Accepted")
        assert cluster.ready(USER_PREFERENCES, "user-0") == ("True", "Accepted")


async def test_what_was_refused_is_not_what_was_accepted_last(cluster: Cluster) -> None:
    """A preference that is not valid after one that was refused, and an operator that starts anew: the last good file
    stays, and history never lists what was refused."""
    await settled(cluster)

    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN"))) as operator:
        cluster.preference("user-0", EVIL)
        await operator.quiet()
        cluster.preference("user-0", {"session.minutes": 0})
        await operator.quiet()

        assert cluster.ready(USER_PREFERENCES, "user-0") == ("False", "Invalid")
        assert minutes(cluster, "user-0") == 5
    await settled(cluster)
    assert minutes(cluster, "user-0") == 5

    cluster.preference("user-0", {"session.minutes": 6})
    await settled(cluster)
    status = cluster.find_status("user-0")
    assert [entry["values"] for entry in (status["accepted"], *status["history"])] == [
        {"session.minutes": 6},
        {"session.minutes": 5},
    ]


async def test_a_refused_user_who_has_the_groups_values_learns_that_they_stay(
    cluster: Cluster,
) -> None:
    cluster.preference("new", {"session.minutes": 0})
    await settled(cluster)
    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN"))) as operator:
        cluster.preference("new", EVIL)
        await operator.quiet()
        assert "what was written last for this user stays" in cluster.message(USER_PREFERENCES, "new")


def ready_of_group(cluster: Cluster) -> tuple[str, str]:
    return cluster.ready(RENDERED_GROUPS, "app-free")


def alone() -> Cluster:
    """One user in the group."""
    cluster = Cluster()
    cluster.template(calm())
    cluster.preference("only", {"session.minutes": 5})
    return cluster


async def test_the_only_user_s_shard_that_is_refused_whatever_it_holds_fails_the_group() -> None:
    cluster = alone()
    await settled(cluster)

    api = Refusing(cluster, named("app-free-users-0"))

    async with Operator(cluster, api) as operator:
        cluster.preference("only", {"session.minutes": 9})
        await operator.quiet()
        assert cluster.ready(USER_PREFERENCES, "only") == ("False", "WriteFailed")
        assert ready_of_group(cluster) == ("False", "WriteFailed")

        api.rules.clear()
        await operator.quiet()
        assert ready_of_group(cluster) == ("True", "Rendered")
        assert minutes(cluster, "only") == 9


@pytest.mark.parametrize("only", [True, False])
async def test_one_user_s_content_that_is_refused_leaves_the_group_ready_with_a_count(
    cluster: Cluster, only: bool
) -> None:
    cluster, user, of = (alone(), "only", 1) if only else (cluster, "user-0", 8)
    await settled(cluster)
    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN"))) as operator:
        cluster.preference(user, EVIL)
        await operator.quiet()
        assert ready_of_group(cluster) == ("True", "Rendered")
        said = cluster.message(RENDERED_GROUPS, "app-free")
        assert f"files of 1 of {of} users are refused; see their UserPreferences" in said
        group = cluster.find(RENDERED_GROUPS, "app-free") or {}
        assert group["status"]["invalidUsers"] == 1

        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Succeeded")
        cluster.preference(user, {"session.minutes": 6})
        await operator.quiet()
        assert cluster.message(RENDERED_GROUPS, "app-free").endswith("is rendered")
        assert (cluster.find(RENDERED_GROUPS, "app-free") or {})["status"]["invalidUsers"] == 0


async def test_a_user_who_edits_continuously_delays_no_other(cluster: Cluster) -> None:
    await settled(cluster)

    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN", BROKEN))):
        cluster.preference("user-0", EVIL)
        await asyncio.sleep(10)
        for number in range(1, 20):
            cluster.preference("user-0", EVIL | {"session.minutes": number})
            cluster.preference("user-1", {"session.minutes": number})
            await asyncio.sleep(0.1)
            assert minutes(cluster, "user-1") == number
            assert cluster.ready(USER_PREFERENCES, "user-0") == ("False", "WriteFailed")


async def test_an_api_server_that_does_not_respond_blames_no_user(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(cluster)
    api = Refusing(cluster, named("app-free-users-0", SILENT))

    async def silence(*_: object) -> Body:
        raise SILENT

    async with Operator(cluster, api) as operator:
        await operator.engine.idle()
        monkeypatch.setattr(api, "get", silence)
        cluster.users(8, {"session.minutes": 9})
        await asyncio.sleep(120)
        assert {cluster.ready(USER_PREFERENCES, f"user-{number}") for number in range(8)} == {("", "")}
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("False", "WriteFailed")

        monkeypatch.undo()
        api.rules.clear()
        await operator.quiet()
        assert [minutes(cluster, f"user-{number}") for number in range(8)] == [9] * 8


async def test_few_tries_find_who_is_refused(cluster: Cluster) -> None:
    await with_users(cluster, 60)
    api = Refusing(cluster, word("FORBIDDEN"))
    async with Operator(cluster, api):
        for number in range(60):
            cluster.preference(f"user-{number}", EVIL if number in (7, 40) else {"session.minutes": 9})
        await asyncio.sleep(0.2)

        assert [minutes(cluster, f"user-{number}") for number in range(60)] == [
            5 if number in (7, 40) else 9 for number in range(60)
        ]
        assert api.refused <= 16


async def test_a_shard_that_is_refused_whatever_it_holds_costs_few_tries(cluster: Cluster) -> None:
    await with_users(cluster, 60)
    api = Refusing(cluster, named("app-free-users-0"))
    async with Operator(cluster, api) as operator:
        cluster.users(60, {"session.minutes": 9})
        await asyncio.sleep(0.2)
        assert api.refused <= 12 < MOST_TRIES, "four a pass, and the edits may come in some passes"
        await asyncio.sleep(600)
        assert api.refused <= 200
        assert cluster.ready(USER_PREFERENCES, "user-3") == ("False", "WriteFailed")
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("False", "WriteFailed"), (
            "most users are not reached"
        )

        api.rules.clear()
        await operator.quiet()
        assert minutes(cluster, "user-3") == 9
        assert cluster.ready(USER_PREFERENCES, "user-3") == ("True", "Accepted")
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


async def test_a_long_search_for_refused_users_fails_no_group(cluster: Cluster) -> None:
    await with_users(cluster, 400)
    api = Refusing(cluster, word("FORBIDDEN"))

    async with Operator(cluster, api) as operator:
        for number in range(400):
            cluster.preference(f"user-{number}", EVIL if number % 3 == 0 else {"session.minutes": 9})
        seen = set()
        for _ in range(300):
            await asyncio.sleep(0.1)
            seen.add(cluster.ready(RENDERED_GROUPS, "app-free"))
        assert seen == {("True", "Rendered")}
        assert all(minutes(cluster, f"user-{n}") == (9 if n % 3 else 5) for n in range(400))

        told = {cluster.ready(USER_PREFERENCES, f"user-{n}") for n in range(0, 400, 3)}
        assert told == {("False", "WriteFailed")}
        assert not operator.engine.cluster.queue.busy


async def test_a_shard_that_is_refused_temporarily_is_retried_with_backoff(cluster: Cluster) -> None:
    await settled(cluster)

    api = Refusing(cluster, named("app-free-users-0", errors.of(504, "", "the webhook did not answer")))

    async with Operator(cluster, api) as operator:
        cluster.users(4, {"session.minutes": 9})
        cluster.remove(USER_PREFERENCES, "user-4")
        await asyncio.sleep(300)
        assert not operator.engine.cluster.queue.busy

        before = api.refused
        await asyncio.sleep(300)
        assert api.refused - before < 150  # six tries every 15 s, not one or more a second


class Busy(Refusing):
    """While an output is written, one of its users edits again."""

    edits = itertools.count(10)

    async def apply(self, resource: Resource, *args: Any, **options: Any) -> Body:
        if resource is CONFIG_MAPS:
            self._cluster.preference("user-0", {"session.minutes": next(self.edits)})
            await asyncio.sleep(0.05)
        return await super().apply(resource, *args, **options)


async def test_a_user_who_edits_all_the_time_does_not_keep_a_group_from_its_revision(
    cluster: Cluster,
) -> None:
    await settled(cluster)

    async with Operator(cluster, Busy(cluster)):
        cluster.preference("user-0", {"session.minutes": 9})
        changed = calm()
        keys = [{**k, "default": "loud"} if k["name"] == "agent.voice" else k for k in changed["keys"]]
        cluster.template({**changed, "keys": keys})
        await asyncio.sleep(30)
        group = cluster.find(RENDERED_GROUPS, "app-free")

        assert group is not None
        assert group["status"]["currentRevision"] == 2
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")
        assert cluster.ready(CONFIG_TEMPLATES, "app")[0] == "True"


class Unsteady(Refusing):
    """Answers for a Secret now before, now after it answers for a ConfigMap."""

    secrets = itertools.cycle([0.01, 0.03])

    async def apply(self, resource: Resource, *args: Any, **options: Any) -> Body:
        await asyncio.sleep(next(self.secrets) if resource is SECRETS else 0.02)
        return await super().apply(resource, *args, **options)


async def test_a_group_with_two_refused_objects_reports_the_same_each_time(cluster: Cluster) -> None:
    secret = {"name": "keys", "kind": "Secret", "format": "JSON", "fileName": "keys.json"}
    made = calm()
    cluster.template({**made, "outputs": [*made["outputs"], secret]})
    await settled(cluster)

    api = Unsteady(cluster, named("app-free"))

    async with Operator(cluster, api) as operator:
        changed = calm(profiles=[{"name": "p"}])
        changed["keys"] = [
            {**key, "default": "loud"} if key["name"] == "agent.voice" else key for key in changed["keys"]
        ]
        cluster.template({**changed, "outputs": [*made["outputs"], secret]})
        await operator.quiet()
        assert api.refused > 4

        written = len(cluster.memory.writes)
        await asyncio.sleep(300)
        assert len(cluster.memory.writes) == written


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_shard_that_a_new_policy_forbids_is_repaired_although_a_user_is_refused(
    cluster: Cluster, restarted: bool
) -> None:
    """Two users hold what is forbidden since, and correct it, while another's new entry is refused all the time."""
    for number in (2, 4):
        cluster.preference(f"user-{number}", {"agent.voice": "ONCE FINE"})
    await settled(cluster)

    def correct(number: int) -> None:
        cluster.preference(f"user-{number}", {"agent.voice": "fine"})

    if restarted:
        cluster.preference("user-3", EVIL)
        correct(2)
    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN"), word("ONCE FINE"))):
        correct(2)
        cluster.preference("user-3", EVIL)
        cluster.preference("user-1", {"session.minutes": 9})
        await asyncio.sleep(30)
        assert cluster.ready(USER_PREFERENCES, "user-1") == ("False", "WriteFailed")
        correct(4)
        await asyncio.sleep(300)

        for number in (2, 4):
            assert '"fine"' in str(cluster.file(f"user-{number}"))
        assert minutes(cluster, "user-1") == 9
        for number in (1, 2, 4):
            assert cluster.ready(USER_PREFERENCES, f"user-{number}") == ("True", "Accepted")
        assert cluster.ready(USER_PREFERENCES, "user-3") == ("False", "WriteFailed")


async def test_a_quota_delays_only_new_users(cluster: Cluster) -> None:
    """A new shard is refused: edits, removals, rollouts and rollbacks go on."""
    keys = [*calm()["keys"], {"name": "agent.note", "type": "String", "default": ""}]
    cluster.template(calm(keys=keys))
    long = {"agent.note": "x" * 3000}
    for number in range(4):
        cluster.preference(f"big-{number}", long)
    await settled(cluster)
    api = Refusing(cluster, new_objects())
    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        for number in range(40):
            cluster.preference(f"late-{number}", long)
        await asyncio.sleep(5)
        late = [name for n in range(40) if cluster.file(name := f"late-{n}") is None]
        assert len(late) > 30
        assert {cluster.ready(USER_PREFERENCES, name) for name in late} == {("False", "WriteFailed")}
        cluster.preference("user-0", {"session.minutes": 500})
        cluster.remove(USER_PREFERENCES, "user-1")
        cluster.act("Abort", "lock")
        await until(cluster, "RolledBack")

        assert voices(cluster) == ["calm", "calm"]
        assert minutes(cluster, "user-0") == 500
        assert cluster.file("user-1") is None
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("True", "Rendered")


async def test_a_rollout_succeeds_without_a_user_whose_entry_is_refused(cluster: Cluster) -> None:
    cluster.preference("evil", {"agent.temperature": 1.5})
    await settled(cluster)
    before = cluster.file("evil")

    def no_bright_heat(ref: Ref, there: Body | None, data: dict[str, str]) -> errors.ApiError | None:
        return DENIED if any('"bright"' in text and ":1.5" in text for text in data.values()) else None

    async with Operator(cluster, Refusing(cluster, no_bright_heat)):
        cluster.policy("lock", LOCK, strategy=waves(soak="1m"))
        await until(cluster, "Succeeded")

        assert voices(cluster) == ["bright", "bright"]
        assert '"bright"' in str(cluster.file("user-0"))
        assert cluster.file("evil") == before
        assert cluster.ready(USER_PREFERENCES, "evil") == ("False", "WriteFailed")


async def test_a_rollback_gets_through_although_most_users_are_refused(cluster: Cluster) -> None:
    await settled(cluster)
    api = Refusing(cluster)
    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h"))
        await until(cluster, "Soaking")
        api.rules.append(named("app-free-users-0"))
        cluster.act("Abort", "lock")
        await until(cluster, "RolledBack")
        assert voices(cluster) == ["calm", "calm"]


async def test_a_rollback_whose_own_write_is_refused_is_reported(cluster: Cluster) -> None:
    await settled(cluster)
    api = Refusing(cluster)
    async with Operator(cluster, api):
        cluster.policy("lock", LOCK, strategy=waves(soak="1h", progressDeadline="1m"))
        await until(cluster, "Soaking")
        api.rules.append(named("app-free"))
        cluster.act("Abort", "lock")
        await until(cluster, "RollbackFailed")

        assert DENIED.message in progress(cluster)["message"]
        assert '"calm"' in str(cluster.file("user-0")), "users are back"
        api.rules.clear()
        await until(cluster, "RolledBack")


async def test_a_growing_user_displaces_no_other_where_no_new_shard_can_be_created(
    cluster: Cluster,
) -> None:
    await settled(cluster)
    api = Refusing(cluster, new_objects())
    async with Operator(cluster, api) as operator:
        for voice in ("x", "y"):
            cluster.preference("user-0", {"agent.voice": voice * 50_000})
            await operator.quiet()
            for number in range(1, 8):
                cluster.preference(f"user-{number}", {"agent.voice": voice})
            await operator.quiet()

            for number in range(8):
                assert f'"{voice}' in str(cluster.file(f"user-{number}"))
                assert cluster.ready(USER_PREFERENCES, f"user-{number}") == ("True", "Accepted")
        assert cluster.find(CONFIG_MAPS, "app-free-users-1", HOME) is None

        api.rules.clear()
        cluster.preference("user-0", {"agent.voice": "z" * 50_000})
        await operator.quiet()
        assert cluster.find(CONFIG_MAPS, "app-free-users-1", HOME) is not None
        assert all(cluster.file(f"user-{number}") is not None for number in range(8))


def both_kinds() -> Body:
    secret = {"name": "keys", "kind": "Secret", "format": "JSON", "scope": "User", "fileName": "keys.json"}
    made = calm()
    return {**made, "outputs": [*made["outputs"], secret]}


async def test_a_refused_entry_in_a_recreated_shard_keeps_its_last_good_content(
    cluster: Cluster,
) -> None:
    await settled(cluster)
    shard = cluster.find(CONFIG_MAPS, "app-free-users-0", HOME)
    cluster.memory.put(CONFIG_MAPS, {**(shard or {}), "immutable": True})
    cluster.preference("user-0", EVIL)
    cluster.preference("user-1", {"session.minutes": 9})
    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN"))) as operator:
        await operator.quiet()
        assert [minutes(cluster, f"user-{number}") for number in range(3)] == [5, 9, 5]
        assert cluster.ready(USER_PREFERENCES, "user-0") == ("False", "WriteFailed")


async def test_a_groups_file_that_is_recreated_with_refused_content_stays_unchanged(
    cluster: Cluster,
) -> None:
    await settled(cluster)
    file = cluster.find(CONFIG_MAPS, "app-free", HOME)
    cluster.memory.put(CONFIG_MAPS, {**(file or {}), "immutable": True})
    cluster.template(loud())
    async with Operator(cluster, Refusing(cluster, word("loud"))):
        await asyncio.sleep(60)
        assert voices(cluster) == ["calm", "calm"]
        assert cluster.ready(RENDERED_GROUPS, "app-free") == ("False", "WriteFailed")


async def test_a_new_user_with_one_of_two_files_leaves_none_behind(cluster: Cluster) -> None:
    cluster.template(both_kinds())
    await settled(cluster)

    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN", kinds=("Secret",)))) as operator:
        cluster.preference("evil", EVIL)
        cluster.preference("worse", EVIL)
        await operator.quiet()
        assert cluster.file("evil") is not None

        cluster.remove(USER_PREFERENCES, "evil")
        cluster.remove(USER_PREFERENCES, "worse")
        cluster.preference("user-1", {"session.minutes": 9})
        await operator.quiet()
        assert cluster.file("evil") is cluster.file("worse") is None


async def test_who_moves_with_one_of_two_files_has_that_one_once(cluster: Cluster) -> None:
    """In the new shard, while the other file has to stay in the old one."""
    cluster.template(both_kinds())
    await settled(cluster)

    async with Operator(cluster, Refusing(cluster, word("FORBIDDEN", kinds=("Secret",)))) as operator:
        cluster.preference("user-7", EVIL)
        await operator.quiet()
        cluster.preference("user-0", {"agent.voice": "x" * 50_000})
        await operator.quiet()
        shards = cluster.documents()  # which says if a file is in two

        for number in range(8):
            for kind, file in (("ConfigMap", "prefs.json"), ("Secret", "keys.json")):
                assert (kind, HOME, "app-free-users", f"user-{number}.{file}") in shards


async def test_messages_about_a_refused_secret_never_quote_it() -> None:
    cluster = Cluster()
    outputs = [{"name": "s", "format": "JSON", "scope": "User", "kind": "Secret", "fileName": "s.json"}]
    cluster.template(calm(outputs=outputs))
    cluster.preference("ann", {"agent.voice": "canary"})
    error = errors.InvalidError(422, "Invalid", "data: canary is not valid")
    async with Operator(cluster, Refusing(cluster, named("app-free-users-0", error))) as operator:
        await operator.quiet()

        said = cluster.message(USER_PREFERENCES, "ann")
        assert "Secret music/app-free-users-0" in said
        assert "422 Invalid" in said
        assert "canary" not in said


@pytest.mark.parametrize("delivery", ["Sharded", "PerUser"])
@pytest.mark.parametrize("deleted", [True, False])
async def test_users_whose_removed_entry_cannot_be_restored_are_informed(
    delivery: str, deleted: bool
) -> None:
    cluster = Cluster()
    cluster.template(calm(users={"delivery": delivery}))
    for name in ("ann", "bob", "cat"):
        cluster.preference(name, {"session.minutes": 5})
    await settled(cluster)
    place = "app-free-users-0" if delivery == "Sharded" else "app-u-ann"
    api = Refusing(cluster, named(place, QUOTA))
    async with Operator(cluster, api) as operator:
        await operator.quiet()
        if deleted:
            cluster.remove(CONFIG_MAPS, place)
        else:
            body = cluster.find(CONFIG_MAPS, place) or {}
            changed = {
                name: text if name.startswith(("bob", "cat")) else "x" for name, text in body["data"].items()
            }
            cluster.memory.put(CONFIG_MAPS, {**body, "data": changed})
        await operator.quiet()
        lost = {"ann", "bob", "cat"} if deleted and delivery == "Sharded" else {"ann"}
        for name in ("ann", "bob", "cat"):
            said = ("False", "WriteFailed") if name in lost else ("True", "Accepted")
            assert cluster.ready(USER_PREFERENCES, name) == said
        assert QUOTA.message in cluster.message(USER_PREFERENCES, "ann")
        assert ("files do not exist" in cluster.message(USER_PREFERENCES, "ann")) == deleted
        assert (ready_of_group(cluster) == ("False", "WriteFailed")) == (len(lost) == 3)
        tries, writes = api.refused, len(cluster.memory.writes)
        await asyncio.sleep(300)
        assert api.refused - tries < 60
        assert len(cluster.memory.writes) == writes

        api.rules.clear()
        await operator.quiet()
        for name in ("ann", "bob", "cat"):
            assert cluster.ready(USER_PREFERENCES, name) == ("True", "Accepted")
        assert ready_of_group(cluster) == ("True", "Rendered")
        assert len([k for k in cluster.documents() if k[3] == "prefs.json" or k[2].endswith("users")]) == 3
