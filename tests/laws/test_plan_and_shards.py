"""Laws of writing: a plan makes things equal, and shards part the users among them."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trimtab.core.refs import Ref
from trimtab.core.render.plan import Apply, Delete, Desired, Observed, plan
from trimtab.core.render.shard import LIMIT, TARGET, Shards, adopted

REFS = st.builds(Ref, st.sampled_from(["ConfigMap", "Secret"]), st.just("ns"), st.sampled_from("abcd"))
DATA = st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=3)
LABELS = st.dictionaries(st.sampled_from("lm"), st.sampled_from("12"), max_size=2)


@st.composite
def wishes(draw: st.DrawFn) -> dict[Ref, Desired]:
    refs = draw(st.lists(REFS, unique=True, max_size=5))
    return {ref: Desired(ref, draw(DATA), draw(LABELS), {}) for ref in refs}


@st.composite
def clusters(draw: st.DrawFn) -> dict[Ref, Observed]:
    refs = draw(st.lists(REFS, unique=True, max_size=5))
    return {ref: Observed(ref, "u", 1, draw(LABELS), {}, draw(DATA), draw(st.booleans())) for ref in refs}


def carried_out(observed: dict[Ref, Observed], writes: list[Apply | Delete]) -> dict[Ref, Observed]:
    after = dict(observed)
    for write in writes:
        if isinstance(write, Delete):
            del after[write.observed.ref]
        else:
            have, want = after.get(write.desired.ref), write.desired
            labels = {**(have.labels if have else {}), **want.labels}
            after[want.ref] = Observed(want.ref, "u", 2, labels, {}, dict(want.data))
    return after


@given(wishes(), clusters())
def test_planning_after_applying_is_empty(desired: dict[Ref, Desired], observed: dict[Ref, Observed]) -> None:
    after = carried_out(observed, plan(desired, observed))

    assert plan(desired, after) == []
    assert plan(desired, after, desired) == []
    assert {ref: dict(have.data) for ref, have in after.items()} == {
        r: dict(d.data) for r, d in desired.items()
    }


@given(wishes(), clusters())
def test_no_object_is_written_twice_and_nothing_goes_before_all_has_come(
    desired: dict[Ref, Desired], observed: dict[Ref, Observed]
) -> None:
    writes = plan(desired, observed)

    kinds = [isinstance(w, Delete) for w in writes]
    refs = [w.observed.ref if isinstance(w, Delete) else w.desired.ref for w in writes]
    assert kinds == sorted(kinds)
    assert len(refs) == len(set(refs))


@given(wishes())
def test_nothing_drifts_without_a_change(desired: dict[Ref, Desired]) -> None:
    observed = carried_out({}, plan(desired, {}))
    changed = {ref: replace(want, data={"new": "1"}) for ref, want in desired.items()}

    assert not any(w.drift for w in plan(changed, observed, desired) if isinstance(w, Apply))


class ShardsUnderUse(RuleBasedStateMachine):
    """Users come, grow, shrink and go in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.shards = Shards()
        self.sizes: dict[str, int] = {}

    @rule(user=st.sampled_from("abcdefghijkl"), size=st.integers(0, LIMIT + TARGET))
    def place(self, user: str, size: int) -> None:
        before = dict(self.shards.of)
        placement = self.shards.place(user, size)
        self.sizes[user] = size
        moved = {move.user for move in placement.moves}
        for other, number in before.items():
            assert other in moved or self.shards.of[other] == number, "whoever did not move stays"
        for move in placement.moves:
            assert move.source == placement.number
            assert self.shards.of[move.user] == move.target != move.source
        if user not in moved:
            assert self.shards.of[user] == placement.number

    @rule(user=st.sampled_from("abcdefghijkl"))
    def remove(self, user: str) -> None:
        number = self.shards.of.get(user)
        assert self.shards.remove(user) == (set() if number is None else {number})
        self.sizes.pop(user, None)

    @rule()
    def restart(self) -> None:
        """What the cluster holds gives the same assignment."""
        again = adopted({n: list(members.items()) for n, members in self.shards.members.items()})
        assert (again.of, again.bytes, again.roomy) == (
            self.shards.of,
            self.shards.bytes,
            self.shards.roomy,
        )
        self.shards = again

    @invariant()
    def shards_part_the_users(self) -> None:
        members = [user for users in self.shards.members.values() for user in users]
        assert sorted(members) == sorted(self.sizes)
        assert {u: n for n, users in self.shards.members.items() for u in users} == self.shards.of

    @invariant()
    def a_shard_knows_its_size_and_is_not_empty(self) -> None:
        for number, users in self.shards.members.items():
            assert users
            assert self.shards.bytes[number] == sum(self.sizes[user] for user in users)

    @invariant()
    def no_shard_is_too_big_unless_one_user_is(self) -> None:
        for number, users in self.shards.members.items():
            assert self.shards.bytes[number] <= LIMIT or len(users) == 1


TestShardsUnderUse = ShardsUnderUse.TestCase
TestShardsUnderUse.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@given(
    st.dictionaries(
        st.integers(0, 4),
        st.dictionaries(st.sampled_from("abcdef"), st.integers(0, LIMIT), max_size=4),
        max_size=4,
    )
)
def test_whatever_the_cluster_holds_every_user_is_in_one_shard(held: dict[int, dict[str, int]]) -> None:
    shards = adopted({number: list(users.items()) for number, users in held.items()})

    users = [user for members in shards.members.values() for user in members]
    assert sorted(users) == sorted({user for members in held.values() for user in members})
    assert all(user in held[number] for user, number in shards.of.items())
