"""A host that does not respond is not queried, with increasing delays, until one probe succeeds."""

from __future__ import annotations

import pytest

from trimtab.gates.breaker import ERRORS, FIRST_SECONDS, LONGEST_SECONDS, Breaker, OpenError


class Host:
    """Calls one host at a time of our choice."""

    def __init__(self) -> None:
        self.now = 0.0
        self.breaker = Breaker(lambda: self.now)

    def fails(self, times: int = 1, what: str = "") -> None:
        for _ in range(times):
            with self.breaker.call("host", what) as call:
                call.failed()

    def answers(self, what: str = "") -> None:
        with self.breaker.call("host", what) as call:
            call.succeeded()

    def is_cancelled(self) -> None:
        with self.breaker.call("host"):
            pass

    def left_alone(self, what: str = "") -> float:
        """Seconds until it is asked again."""
        with pytest.raises(OpenError) as refusal, self.breaker.call("host", what):
            raise AssertionError("it was asked")
        return refusal.value.seconds


def test_errors_in_a_row_open_it_and_others_do_not() -> None:
    host = Host()

    host.fails(ERRORS - 1)
    host.answers()
    host.fails(ERRORS - 1)
    host.is_cancelled()
    host.fails()

    assert host.left_alone() == FIRST_SECONDS


def test_other_hosts_are_queried_meanwhile() -> None:
    host = Host()

    host.fails(ERRORS)

    with host.breaker.call("other") as call:
        call.succeeded()


def test_after_the_delay_exactly_one_probe_is_sent() -> None:
    host = Host()
    host.fails(ERRORS)
    host.now += FIRST_SECONDS

    with host.breaker.call("host") as probe:
        assert host.left_alone() == 0.0
        probe.succeeded()

    host.fails(ERRORS - 1)
    host.answers()


def test_each_probe_that_fails_doubles_the_time_up_to_a_minute() -> None:
    host = Host()
    host.fails(ERRORS)
    waited = []
    for _ in range(30):
        waited.append(host.left_alone())
        host.now += waited[-1]
        host.fails()

    assert waited[:5] == [5.0, 10.0, 20.0, 40.0, 60.0]
    assert set(waited[5:]) == {LONGEST_SECONDS}


def test_a_probe_that_was_cancelled_leaves_the_next_one_to_be_made() -> None:
    host = Host()
    host.fails(ERRORS)
    host.now += FIRST_SECONDS

    host.is_cancelled()
    host.answers()

    host.answers()


def test_calls_that_were_under_way_when_it_opened_do_not_lengthen_it() -> None:
    host = Host()
    with host.breaker.call("host") as first, host.breaker.call("host") as second:
        host.fails(ERRORS)
        first.failed()
        second.failed()

    assert host.left_alone() == FIRST_SECONDS


def test_a_late_response_closes_the_circuit() -> None:
    host = Host()
    with host.breaker.call("host") as slow:
        host.fails(ERRORS)
        slow.succeeded()

    host.answers()


def test_a_single_failed_request_blocks_no_other_query() -> None:
    host = Host()
    host.fails(ERRORS, "slow query")

    assert host.left_alone("slow query") == FIRST_SECONDS
    host.answers("another")
    host.answers("slow query")


def test_two_requests_open_the_circuit_of_an_unreachable_host_for_all() -> None:
    host = Host()
    host.fails(ERRORS, "a")
    host.fails(1, "b")

    assert host.left_alone("c") == FIRST_SECONDS


def test_no_single_request_keeps_the_circuit_open_by_its_probes() -> None:
    host = Host()
    host.fails(2, "slow query")
    host.fails(1, "another")
    assert host.left_alone("another") == FIRST_SECONDS
    host.now += FIRST_SECONDS

    host.fails(1, "slow query")

    assert host.left_alone("slow query") == 2 * FIRST_SECONDS
    with host.breaker.call("host", "another") as call:
        call.succeeded()


def test_a_request_under_probe_keeps_no_other_waiting() -> None:
    host = Host()
    host.fails(ERRORS, "slow query")
    host.now += FIRST_SECONDS
    with host.breaker.call("host", "slow query") as probe:
        assert host.left_alone("slow query") == 0.0
        host.answers("another")
        probe.failed()

    host.answers("another")


def test_no_state_is_kept_of_hosts_that_respond() -> None:
    host = Host()
    host.answers()
    host.fails()
    host.answers()
    host.is_cancelled()

    assert host.breaker._circuits == {}
