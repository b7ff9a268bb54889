"""What the annotation of a pod template records of the configuration that its pods run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.workload.digest_annotation import carries, mark, marked

NAME = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
DIGEST = st.text("0123456789abcdef", min_size=4, max_size=16)
MARK = st.builds(mark, DIGEST, NAME)
ANNOTATION = st.one_of(st.none(), DIGEST, st.text(max_size=20), st.lists(MARK, max_size=4).map(";".join))


@given(ANNOTATION, MARK, st.booleans())
def test_what_was_marked_carries_it_and_is_marked_once(
    annotation: str | None, wanted: str, shared: bool
) -> None:
    made = marked(annotation, wanted, shared=shared)

    assert carries(made, wanted)
    assert marked(made, wanted, shared=shared) == made


@given(ANNOTATION, DIGEST, DIGEST, NAME, NAME)
def test_groups_that_share_leave_one_anothers_parts(
    annotation: str | None, one: str, two: str, free: str, paid: str
) -> None:
    first, second = mark(one, free), mark(two, paid)
    made = marked(marked(annotation, first, shared=True), second, shared=True)

    assert carries(made, second)
    assert carries(made, first) or free == paid
    assert marked(marked(annotation, second, shared=True), first, shared=True) == made or free == paid


@given(DIGEST, DIGEST, NAME)
def test_a_workload_of_one_group_carries_one_digest(one: str, two: str, group: str) -> None:
    assert marked(one, mark(two, group), shared=False) == two
    assert carries(one, mark(two, group)) == (one == two)
    assert not carries(None, mark(two, group))


@given(DIGEST, DIGEST)
def test_a_group_that_begins_to_list_a_workload_keeps_the_existing_digest(one: str, two: str) -> None:
    mine, other = mark(one, "free"), mark(two, "paid")

    assert carries(marked(two, mine, [other], shared=True), other)
    assert not carries(marked("edited", mine, [other], shared=True), other)
