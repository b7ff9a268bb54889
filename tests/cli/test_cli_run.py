"""`trimtab run` refuses what it could not mean before it starts anything."""

from __future__ import annotations

import pytest
from written import Call


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("prometheus:9090", "is no http:// or https:// URL"),
        ("http://good@evil/", "has user info"),
        ("http://b/?x=1", "has a query"),
        ("http://*.example.com", "no DNS name"),
    ],
)
def test_a_prefix_for_gates_that_is_none_stops_it_with_exit_code_2(
    trimtab: Call, prefix: str, said: str
) -> None:
    answer = trimtab("run", "--allow-gate-url", "http://a", "--allow-gate-url", prefix)

    assert answer.code == 2
    assert "--allow-gate-url" in answer.err
    assert said in " ".join(answer.err.split())


def test_prefixes_for_gates_may_be_repeated(trimtab: Call) -> None:
    answer = trimtab(
        "run", "--allow-gate-url", "http://a", "--allow-gate-url", "http://b", "--kubeconfig", "/none"
    )

    assert answer.code == 1
    assert "/none" in answer.err
