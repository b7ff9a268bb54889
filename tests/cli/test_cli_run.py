"""`trimtab run` refuses what it could not mean before it starts anything."""

from __future__ import annotations

import inspect
import logging

import kopf._core.reactor.running as kopf_running
import pytest

import trimtab.handlers  # noqa: F401
from support.cli_manifests import Call


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("prometheus:9090", "is not an http:// or https:// URL"),
        ("http://good@evil/", "has user info"),
        ("http://b/?x=1", "has a query"),
        ("http://*.example.com", "not a valid DNS name"),
    ],
)
def test_a_prefix_for_gates_that_is_none_stops_it_with_exit_code_2(
    trimtab: Call, prefix: str, said: str
) -> None:
    answer = trimtab("run", "--allow-gate-url", "http://a", "--allow-gate-url", prefix)

    assert answer.code == 2
    assert "--allow-gate-url" in answer.err
    assert said in " ".join(answer.err.split())


def test_kopf_does_not_warn_of_signals_that_are_not_its_own() -> None:
    assert "OS signals are ignored" in inspect.getsource(kopf_running), "kopf says it otherwise now"
    logger = kopf_running.logger
    said = ("OS signals are ignored: running not in the main thread.", "something else")
    records = [logging.LogRecord(logger.name, logging.WARNING, "", 0, text, (), None) for text in said]

    assert [bool(logger.filter(record)) for record in records] == [False, True]


def test_prefixes_for_gates_may_be_repeated(trimtab: Call) -> None:
    answer = trimtab(
        "run", "--allow-gate-url", "http://a", "--allow-gate-url", "http://b", "--kubeconfig", "/none"
    )

    assert answer.code == 1
    assert "/none" in answer.err
