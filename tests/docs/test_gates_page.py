"""docs/gates.md is true: its examples are valid, and its limits are the code's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import yaml

from trimtab.api.policy_rollout import PolicyRollout
from trimtab.core.rollout.strategy import compile_strategy
from trimtab.gates import Result
from trimtab.gates.job import Run, job_of
from trimtab.gates.urls import AllowList
from trimtab.kube.resources import CRON_JOBS

PAGE = (Path(__file__).parents[2] / "docs" / "gates.md").read_text()
EXAMPLES: list[dict[str, Any]] = [
    yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
]


def example(kind: str) -> dict[str, Any]:
    (found,) = (body for body in EXAMPLES if body["kind"] == kind)
    return found


def test_the_rollout_on_the_page_is_valid_and_queries_only_allowed_hosts() -> None:
    strategy = compile_strategy(
        PolicyRollout.model_validate(example("PolicyRollout")).spec.strategy, {"free": {}}, ["free"]
    )
    allowed = AllowList.parse(re.findall(r"`--allow-gate-url (\S+) --allow-gate-url ([^`\s]+)`", PAGE)[0])

    assert [gate.name for gate in strategy.gates] == ["errors", "smoke", "e2e"]
    for gate in strategy.gates:
        if gate.spec.prometheus is not None:
            allowed.check(gate.spec.prometheus.address, ("api", "v1", "query"))
        if gate.spec.http is not None:
            allowed.check(gate.spec.http.url)
        if gate.spec.job is not None:
            assert gate.spec.job.cron_job == example("CronJob")["metadata"]["name"]


def test_every_prefix_on_the_page_is_one() -> None:
    prefixes = re.findall(r"--allow-gate-url (http[^\s`)]+)", PAGE)

    assert len(AllowList.parse(prefixes).prefixes) == len(prefixes) > 3


def test_the_cronjob_on_the_page_can_be_run_by_a_gate() -> None:
    body = example("CronJob")

    assert (body["apiVersion"], body["spec"]["suspend"]) == (CRON_JOBS.api_version, True)
    made = job_of(
        {**body, "metadata": {**body["metadata"], "uid": "u"}},
        "x",
        Run("music", "r", "u", 1, 1, "e2e"),
        "mark",
    )
    assert made["spec"]["template"] == body["spec"]["jobTemplate"]["spec"]["template"]


def test_every_result_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE))

    assert rows == set(get_args(Result))
