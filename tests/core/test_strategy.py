"""Strategies: the waves, gates and freezes that they result in, and the violations of those that are not valid."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.api.meta import LabelSelector
from trimtab.api.strategy import StrategySpec
from trimtab.core.rollout.strategy import Strategy, compile_strategy, compiling_strategy
from trimtab.core.selector import selects
from trimtab.core.violations import RejectedError

GROUPS = {"free": {"ring": "canary"}, "pro": {"ring": "late"}, "team": {"ring": "late"}}
HTTP = {"url": "http://agent/healthz"}


def compiled(spec: Any, groups: Any = None, others: Any = ("enterprise",)) -> Strategy:
    known = GROUPS if groups is None else groups
    model = None if spec is None else StrategySpec.model_validate(spec)
    return compile_strategy(model, known, [*known, *others])


def waves(spec: Any) -> list[tuple[str, list[str], int]]:
    return [(wave.name, wave.groups, wave.percent) for wave in compiled(spec).waves]


def wrong(spec: Any, groups: Any = None) -> dict[str, str]:
    """What is wrong, by path."""
    with pytest.raises(RejectedError) as caught:
        compiled(spec, groups)
    return {violation.key: str(violation) for violation in caught.value.violations}


# Waves


@pytest.mark.parametrize(
    ("spec", "planned"),
    [
        (None, [("all", ["free", "pro", "team"], 100)]),
        ({}, [("all", ["free", "pro", "team"], 100)]),
        ({"waves": [{"name": "one"}]}, [("one", ["free", "pro", "team"], 100)]),
        (
            {"waves": [{"name": "canary", "groups": ["pro"]}]},
            [("canary", ["pro"], 100), ("rest", ["free", "team"], 100)],
        ),
        (
            {
                "waves": [
                    {"name": "canary", "groupSelector": {"matchLabels": {"ring": "late"}}, "percent": 10}
                ]
            },
            [("canary", ["pro", "team"], 10), ("rest", ["free", "pro", "team"], 100)],
        ),
        (
            {"waves": [{"name": "few", "percent": 10}, {"name": "half", "percent": 50}, {"name": "all"}]},
            [
                ("few", ["free", "pro", "team"], 10),
                ("half", ["free", "pro", "team"], 50),
                ("all", ["free", "pro", "team"], 100),
            ],
        ),
        (
            {"waves": [{"name": "rest", "groups": ["free"]}, {"name": "rest-2", "groups": ["pro"]}]},
            [("rest", ["free"], 100), ("rest-2", ["pro"], 100), ("rest-3", ["team"], 100)],
        ),
        (
            {"waves": [{"name": "a", "groups": ["team", "free", "team"]}]},
            [("a", ["free", "team"], 100), ("rest", ["pro"], 100)],
        ),
        (
            {"waves": [{"name": "a", "groups": ["free"]}, {"name": "b", "percent": 20}]},
            [("a", ["free"], 100), ("b", ["pro", "team"], 20), ("rest", ["pro", "team"], 100)],
        ),
    ],
)
def test_waves_order_the_scope_and_the_last_one_takes_what_is_left(spec: Any, planned: Any) -> None:
    assert waves(spec) == planned


def test_a_wave_keeps_its_soak_as_written_and_its_approval() -> None:
    (first, last) = compiled(
        {"waves": [{"name": "a", "groups": ["free"], "soak": "1h30m", "approval": True}]}
    ).waves

    assert (first.soak, first.approval) == ("1h30m", True)
    assert (last.soak, last.approval) == ("0", False)


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        (
            {"waves": [{"name": "a", "groups": ["free"]}, {"name": "a"}]},
            "waves[a].name",
            "two waves have the name a",
        ),
        (
            {"waves": [{"name": "a", "groups": ["fre"]}]},
            "waves[a].groups",
            "the rollout's scope has no group fre; remove it or correct its name (did you mean free?)",
        ),
        (
            {"waves": [{"name": "a", "groups": ["enterprise"]}]},
            "waves[a].groups",
            "the group enterprise is not in the rollout's scope",
        ),
        ({"waves": [{"name": "a", "groups": []}]}, "waves[a].groups", "names no group"),
        (
            {"waves": [{"name": "a", "groupSelector": {"matchLabels": {"ring": "none"}}}]},
            "waves[a].groupSelector",
            "selects none of the groups in scope",
        ),
        (
            {"waves": [{"name": "a", "groups": ["free"], "groupSelector": {}}]},
            "waves[a]",
            "sets groups and groupSelector",
        ),
        (
            {"waves": [{"name": "a", "percent": 20}, {"name": "b", "percent": 20}]},
            "waves[b].percent",
            "an earlier wave moves free (20%), pro (20%), team (20%) to 20% or more; raise percent",
        ),
        (
            {"waves": [{"name": "a", "groups": ["pro"]}, {"name": "b", "groups": ["free", "pro"]}]},
            "waves[b].percent",
            "moves pro (100%)",
        ),
        ({"waves": [{"name": "a"}, {"name": "b"}]}, "waves[b]", "no group is left"),
        (
            {"waves": [{"name": "a", "soak": "9999999h"}]},
            "waves[a].soak",
            "beyond 64 bits",
        ),
    ],
)
def test_an_impossible_wave_reports_what_to_change(spec: Any, path: str, message: str) -> None:
    assert message in wrong(spec)[f"spec.strategy.{path}"]


def test_more_groups_than_status_can_plan_are_refused() -> None:
    with pytest.raises(RejectedError, match="1001 groups are in the scope"):
        compile_strategy(None, {f"g{n}": {} for n in range(1001)})


def test_an_empty_scope_is_refused() -> None:
    assert "no group is in the scope" in wrong({}, {})["spec"]


def test_a_plan_that_status_could_not_hold_is_refused() -> None:
    groups = {f"a-group-with-quite-a-long-name-{n}": {} for n in range(1000)}
    spec = {"waves": [{"name": f"w{n}", "percent": n} for n in range(1, 40)]}

    assert "more than status holds" in wrong(spec, groups)["spec.strategy.waves"]
    assert len(compiled({"waves": spec["waves"][:3]}, groups).waves) == 4


# Gates


def gated(**gate: Any) -> dict[str, Any]:
    return {"gates": [{"name": "g", **gate}]}


def test_a_gates_defaults_are_those_that_its_fields_describe() -> None:
    (gate,) = compiled(gated(http=HTTP)).gates

    assert (gate.interval, gate.initial_delay, gate.timeout) == (30, 0, 10)
    assert (gate.failure_limit, gate.error_limit) == (0, 4)
    assert (gate.dry_run, gate.on_no_data, gate.once) == (False, "Pause", False)
    assert gate.spec.http is not None


def test_a_gate_keeps_its_fields() -> None:
    (gate,) = compiled(
        gated(
            job={"cronJob": "e2e"},
            interval="1m30s",
            initialDelay="2m",
            timeout="500ms",
            failureLimit=3,
            consecutiveErrorLimit=0,
            dryRun=True,
            onNoData="Fail",
        )
    ).gates

    assert (gate.interval, gate.initial_delay, gate.timeout) == (90, 120, 0.5)
    assert (gate.failure_limit, gate.error_limit) == (3, 0)
    assert (gate.dry_run, gate.on_no_data, gate.once) == (True, "Fail", True)


def test_a_strategys_defaults() -> None:
    plain = compiled({})
    said = compiled({"progressDeadline": "90s", "onFailure": "Pause", "paused": True})

    assert (plain.progress_deadline, plain.on_failure, plain.paused) == (600, "Rollback", False)
    assert (said.progress_deadline, said.on_failure, said.paused) == (90, "Pause", True)


def query(success: str, failure: str | None = None) -> dict[str, Any]:
    said = {"address": "http://prometheus:9090", "query": "up", "successCondition": success}
    return gated(prometheus=said if failure is None else said | {"failureCondition": failure})


@pytest.mark.parametrize(
    ("spec", "path", "message"),
    [
        (gated(), "gates[g]", "sets none of prometheus, http and job"),
        (gated(http=HTTP, job={"cronJob": "e2e"}), "gates[g]", "sets 2 of prometheus, http and job"),
        (gated(http=HTTP, interval="999ms"), "gates[g].interval", "must be at least 1s; raise it"),
        (gated(http=HTTP, interval="0"), "gates[g].interval", "must be at least 1s"),
        (gated(http=HTTP, timeout="61s"), "gates[g].timeout", "at most 1m"),
        (gated(http=HTTP, timeout="0"), "gates[g].timeout", "more than 0"),
        (gated(http=HTTP, timeout="9999999h"), "gates[g].timeout", "beyond 64 bits"),
        (
            gated(http=HTTP, initialDelay="595s"),
            "gates[g].initialDelay",
            "the gate can never pass: initialDelay plus timeout is 605s, more than progressDeadline (600s)",
        ),
        (gated(http=HTTP | {"expectStatus": []}), "gates[g].http.expectStatus", "no response can pass"),
        (query("result <"), "gates[g].prometheus.successCondition", ""),
        (query("true"), "gates[g].prometheus.successCondition", "it does not use result"),
        (query("'result' == 'result'"), "gates[g].prometheus.successCondition", ""),
        (query("results < 1.0"), "gates[g].prometheus.successCondition", ""),
        (query("true // result"), "gates[g].prometheus.successCondition", "it does not use result"),
        (
            query("result < 0.0 && result > 1.0"),
            "gates[g].prometheus.successCondition",
            "the gate can never pass: it is true for no number",
        ),
        (
            query("result > 1.0", "result > 0.5"),
            "gates[g].prometheus.successCondition",
            "the gate can never pass: failureCondition is true for the same results",
        ),
        (query("result < 1.0", "1 == 1"), "gates[g].prometheus.failureCondition", "it does not use result"),
        (query("result < 1.0", ")"), "gates[g].prometheus.failureCondition", ""),
        (
            {"gates": [{"name": "g", "http": HTTP}, {"name": "g", "http": HTTP}]},
            "gates[g].name",
            "two gates have the name g",
        ),
        ({"progressDeadline": "0"}, "progressDeadline", "must be at least 1s"),
        ({"progressDeadline": "9999999h"}, "progressDeadline", "beyond 64 bits"),
        (
            {"freezes": [{"schedule": "0 18 * *", "duration": "1h"}]},
            "freezes[0]",
            "must have five fields",
        ),
        (
            {"freezes": [{"schedule": "0 18 * * 5", "duration": "1h", "timeZone": "Mars/Olympus"}]},
            "freezes[0]",
            "Mars/Olympus is not a time zone",
        ),
        ({"freezes": [{"schedule": "0 18 * * 5", "duration": "0"}]}, "freezes[0]", "must be more than 0"),
        (
            {"freezes": [{"schedule": "0 18 * * 5", "duration": "9999999h"}]},
            "freezes[0].duration",
            "beyond 64 bits",
        ),
        (
            {"freezes": [{"schedule": "0 0 * * *", "duration": "24h"}]},
            "freezes[0]",
            "each freeze lasts until the next one starts",
        ),
    ],
)
def test_a_strategy_that_could_never_pass_or_start_reports_what_to_change(
    spec: Any, path: str, message: str
) -> None:
    assert message in wrong(spec)[f"spec.strategy.{path}"]


def test_conditions_over_result_are_accepted() -> None:
    (gate,) = compiled(query("result < 0.01", "result > 0.05")).gates

    assert gate.spec.prometheus is not None


def test_all_violations_are_reported_in_one_pass() -> None:
    found = wrong(
        {
            "waves": [{"name": "a", "groups": ["fre"]}, {"name": "b"}, {"name": "c"}],
            "gates": [{"name": "g"}],
            "progressDeadline": "0",
            "freezes": [{"schedule": "x", "duration": "1h"}],
        }
    )

    assert {re.sub(r".*strategy\.", "", path) for path in found} == {
        "waves[a].groups",
        "waves[c]",
        "gates[g]",
        "progressDeadline",
        "freezes[0]",
    }


# Whatever the model lets through

NAME = st.sampled_from(["a", "b", "free", "pro", "all", "rest"])
DURATION = st.sampled_from(["0", "1ns", "10s", "1m", "1h", "62h", "9999999h", "0.5s", "99999999999999999h"])
SELECTOR = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from(["ring", "x"]), st.sampled_from(["canary", ""])),
        "matchExpressions": st.lists(
            st.fixed_dictionaries(
                {
                    "key": st.sampled_from(["ring", "x"]),
                    "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
                },
                optional={"values": st.lists(st.sampled_from(["canary", "late"]), max_size=2)},
            ),
            max_size=2,
        ),
    },
)
WAVE = st.fixed_dictionaries(
    {"name": NAME},
    optional={
        "groups": st.lists(NAME, max_size=3),
        "groupSelector": SELECTOR,
        "percent": st.integers(1, 100),
        "soak": DURATION,
        "approval": st.booleans(),
    },
)
CONDITION = st.one_of(
    st.text(max_size=30), st.sampled_from(["result < 1", "result", "result.x", "[result", "1/0"])
)
GATE = st.fixed_dictionaries(
    {"name": NAME},
    optional={
        "interval": DURATION,
        "initialDelay": DURATION,
        "timeout": DURATION,
        "failureLimit": st.integers(0, 1000),
        "consecutiveErrorLimit": st.integers(0, 1000),
        "onNoData": st.sampled_from(["Pause", "Fail", "Pass"]),
        "prometheus": st.fixed_dictionaries(
            {"address": st.just("http://p"), "query": st.text(max_size=9), "successCondition": CONDITION},
            optional={"failureCondition": CONDITION},
        ),
        "http": st.fixed_dictionaries(
            {"url": st.just("http://a")},
            optional={"expectStatus": st.lists(st.integers(100, 599), max_size=2)},
        ),
        "job": st.just({"cronJob": "e2e"}),
    },
)
FIELD = st.sampled_from(
    ["*", "0", "5", "*/7", "1-5", "MON#1", "L", "5L", "LW", "1/0", "99", "1,2,,3", "٣", "a", "L/2"]
)
FREEZE = st.fixed_dictionaries(
    {
        "schedule": st.one_of(
            st.text(max_size=12), st.lists(FIELD, min_size=5, max_size=5).map(" ".join), st.just("0 18 * * 5")
        ),
        "duration": DURATION,
    },
    optional={
        "timeZone": st.one_of(st.text(max_size=12), st.sampled_from(["Europe/Berlin", "Asia", "UTC", ""]))
    },
)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "waves": st.lists(WAVE, max_size=4),
        "gates": st.lists(GATE, max_size=2),
        "freezes": st.lists(FREEZE, max_size=2),
        "progressDeadline": DURATION,
    },
)


@given(SPEC)
def test_any_strategy_is_compiled_or_refused_with_reasons(spec: dict[str, Any]) -> None:
    try:
        found = compiled(spec)
    except RejectedError:
        assert all(path.startswith("spec") and said for path, said in wrong(spec).items())
        return
    moved = dict.fromkeys(GROUPS, 0)
    for wave in found.waves:
        assert wave.groups
        for name in wave.groups:
            assert moved[name] < wave.percent
            moved[name] = wave.percent

    assert set(moved.values()) == {100}
    assert len({wave.name for wave in found.waves}) == len(found.waves)


def test_a_strategy_is_compiled_wave_by_wave() -> None:
    waves = [{"name": f"w{n}", "groups": ["a"], "percent": n + 1} for n in range(50)]
    steps = compiling_strategy(StrategySpec.model_validate({"waves": waves}), {"a": {}, "b": {}})
    assert sum(1 for _ in steps) == len(waves)


@pytest.mark.parametrize(
    ("operator", "values", "chosen"),
    [
        ("In", ["x", "y"], {"with"}),
        ("NotIn", ["x", "y"], {"without", "other"}),
        ("Exists", [], {"with", "other"}),
        ("DoesNotExist", [], {"without"}),
    ],
)
def test_a_selector_chooses_as_kubernetes_does(operator: str, values: list[str], chosen: set[str]) -> None:
    groups = {"with": {"tier": "x"}, "without": {}, "other": {"tier": "z"}}
    selector = LabelSelector.model_validate(
        {"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}
    )
    assert {name for name, labels in groups.items() if selects(selector, labels)} == chosen
