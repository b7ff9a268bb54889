"""What a pod template says of the configuration that its pods are made for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.marks import carries, mark, marked

NAME = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
DIGEST = st.text("0123456789abcdef", min_size=4, max_size=16)
MARK = st.builds(lambda d, g, s: mark(d, g, shared=s), DIGEST, NAME, st.booleans())
ANNOTATION = st.one_of(st.none(), st.text(max_size=20), st.lists(MARK, max_size=4).map(";".join))


@given(ANNOTATION, MARK)
def test_what_was_marked_carries_it_and_is_marked_once(annotation: str | None, wanted: str) -> None:
    made = marked(annotation, wanted)

    assert carries(made, wanted)
    assert marked(made, wanted) == made


@given(ANNOTATION, DIGEST, DIGEST, NAME, NAME)
def test_groups_that_share_leave_one_anothers_parts(
    annotation: str | None, one: str, two: str, free: str, paid: str
) -> None:
    first, second = mark(one, free, shared=True), mark(two, paid, shared=True)
    made = marked(marked(annotation, first), second)

    assert carries(made, second)
    assert carries(made, first) or free == paid
    assert marked(marked(annotation, second), first) == made or free == paid


@given(DIGEST, DIGEST, NAME)
def test_a_workload_of_one_group_carries_one_digest(one: str, two: str, group: str) -> None:
    assert marked(one, mark(two, group, shared=False)) == two
    assert carries(one, two) == (one == two)
    assert not carries(None, two)
