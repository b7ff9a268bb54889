"""Sharding: users stay in their shard, shards stay small, and existing shards are adopted."""

from __future__ import annotations

from trimtab.core.render.shard import LIMIT, TARGET, Move, Shards, adopted

SMALL, HALF = 100, TARGET // 2


def consistent(shards: Shards) -> None:
    placed = {user: number for number, members in shards.members.items() for user in members}
    assert placed == shards.of
    assert shards.bytes == {n: sum(members.values()) for n, members in shards.members.items()}
    assert all(shards.members.values())
    assert shards.roomy <= shards.members.keys()


def test_users_fill_a_shard_up_to_the_target_and_then_the_next() -> None:
    shards = Shards()
    numbers = [shards.place(f"u{n}", HALF).number for n in range(6)]

    assert numbers == [0, 0, 1, 1, 2, 2]
    consistent(shards)


def test_a_user_stays_while_its_shard_is_not_too_big() -> None:
    shards = Shards()
    for n in range(4):
        shards.place(f"u{n}", SMALL)

    for size in (SMALL * 2, TARGET, LIMIT - 3 * SMALL):
        assert shards.place("u0", size) == (0, ())
    consistent(shards)


def test_an_overgrown_shard_sheds_its_latest_users() -> None:
    shards = Shards()
    for n in range(4):
        shards.place(f"u{n}", SMALL)

    placement = shards.place("u0", LIMIT - 2 * SMALL + 1)

    assert placement.moves == (Move("u3", 0, 1), Move("u2", 0, 1))
    assert shards.bytes[0] <= LIMIT
    consistent(shards)


def test_a_user_too_big_for_any_shard_has_its_own() -> None:
    shards = Shards()
    for n in range(3):
        shards.place(f"u{n}", SMALL)
    shards.place("u2", LIMIT * 2)
    shards.place("giant", LIMIT * 3)

    for user in ("u2", "giant"):
        assert list(shards.members[shards.of[user]]) == [user]
    consistent(shards)


def test_no_user_joins_a_shard_of_a_giant() -> None:
    shards = Shards()
    shards.place("giant", LIMIT * 2)

    assert shards.place("small", SMALL).number != shards.of["giant"]


def test_room_that_became_free_is_used_before_a_new_shard() -> None:
    shards = Shards()
    for n in range(4):
        shards.place(f"u{n}", HALF)
    assert shards.remove("u0") == {0}

    assert shards.place("new", SMALL).number == 0
    consistent(shards)


def test_a_shard_without_users_is_no_more_and_a_number_is_not_reused_while_it_lives() -> None:
    shards = Shards()
    for n in range(3):
        shards.place(f"u{n}", TARGET)
    shards.remove("u1")

    assert shards.members.keys() == {0, 2}
    assert shards.place("new", TARGET).number == 3


def test_removing_an_unknown_user_changes_nothing() -> None:
    assert Shards().remove("nobody") == set()


def test_existing_shards_are_adopted_unchanged() -> None:
    shards = adopted({3: [("a", 10), ("b", 20)], 1: [("c", LIMIT * 2)]})

    assert shards.of == {"a": 3, "b": 3, "c": 1}
    assert shards.place("d", SMALL).number == 3
    consistent(shards)


def test_a_user_found_in_two_shards_is_in_one_of_them_afterwards() -> None:
    shards = adopted({0: [("a", 10), ("b", 10)], 2: [("a", 30)]})

    assert shards.of == {"a": 2, "b": 0}
    consistent(shards)


def test_a_shard_whose_only_user_is_in_another_one_too_is_no_more() -> None:
    shards = adopted({0: [("a", 10)], 2: [("a", 30)]})

    assert shards.members == {2: {"a": 30}}
    consistent(shards)
