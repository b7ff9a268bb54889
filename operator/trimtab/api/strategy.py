"""How carefully a change rolls out: waves order it, gates judge it, freezes hold it back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from trimtab.api.bounds import (
    ATOMIC,
    SET,
    DnsLabel,
    DnsSubdomain,
    Duration,
    Flag,
    LongText,
    ShortText,
    Text,
    Whole,
    cel,
    list_map,
)
from trimtab.api.meta import ApiModel, LabelSelector

Url = Annotated[str, StringConstraints(pattern=r"^https?://.+", max_length=2048)]


class WaveSpec(ApiModel):
    """One step of a rollout: which groups move, how many of their users, and how long to watch them."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!(has(self.groups) && has(self.groupSelector))", "a wave says groups or groupSelector, not both"
        )
    )

    name: DnsLabel = Field(description="The wave's name, unique in its strategy.")
    groups: list[DnsLabel] | None = Field(
        default=None,
        max_length=1000,
        description="The groups that move in this wave. Unset, without a groupSelector: the rest.",
        json_schema_extra=SET,
    )
    group_selector: LabelSelector | None = Field(
        default=None, description="Selects the groups that move in this wave by their labels in the template."
    )
    percent: Whole | None = Field(
        default=None,
        ge=1,
        le=100,
        description="The share of each group's users that moves; below 100 group documents and workloads "
        "stay. Default 100.",
    )
    soak: Duration | None = Field(
        default=None,
        description="How long the wave is watched before the next one starts, as 10m. Default 0.",
    )
    approval: Flag | None = Field(
        default=None, description="Whether somebody must approve the wave before it starts. Default false."
    )


class PrometheusGate(ApiModel):
    """A query whose result decides."""

    address: Url = Field(description="The Prometheus server's address, as http://prometheus:9090.")
    query: LongText = Field(description="The PromQL query; its first result is `result` in successCondition.")
    success_condition: Text = Field(
        description="CEL over `result` that is true when all is well: result < 0.01."
    )
    failure_condition: Text | None = Field(
        default=None,
        description="CEL over `result` that is true when it failed; with it, a measurement that is neither is "
        "inconclusive. Default: whatever is no success.",
    )


class HttpGate(ApiModel):
    """A GET request whose answer decides."""

    url: Url = Field(description="The address to request.")
    expect_status: list[Annotated[Whole, Field(ge=100, le=599)]] | None = Field(
        default=None,
        max_length=32,
        description="The status codes that mean success. Default: 200.",
        json_schema_extra=SET,
    )


class JobGate(ApiModel):
    """A Job whose success decides."""

    cron_job: DnsSubdomain = Field(
        description="A suspended CronJob of this namespace; a Job is made of it once a wave."
    )


class GateSpec(ApiModel):
    """One check that is judged from a wave's start to its soak's end."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "(has(self.prometheus) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.job) ? 1 : 0) == 1",
            "a gate says exactly one of prometheus, http and job",
        )
    )

    name: DnsLabel = Field(description="The gate's name, unique in its strategy.")
    interval: Duration | None = Field(
        default=None, description="How often it is measured, as 30s; at least 1s. Default 30s."
    )
    initial_delay: Duration | None = Field(
        default=None, description="How long after a wave's start it is measured first, as 1m. Default 0."
    )
    timeout: Duration | None = Field(
        default=None, description="How long one measurement may take, as 10s; at most 1m. Default 10s."
    )
    failure_limit: Whole | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="How many failed measurements in a row are still accepted. Default 0: the first one counts.",
    )
    consecutive_error_limit: Whole | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="How many measurements in a row may be impossible, or inconclusive, before the rollout "
        "pauses. Default 4.",
    )
    dry_run: Flag | None = Field(
        default=None, description="True measures and tells, and decides nothing. Default false."
    )
    on_no_data: Literal["Pause", "Fail", "Pass"] | None = Field(
        default=None, description="What happens when it measures nothing: Pause (default), Fail or Pass."
    )
    prometheus: PrometheusGate | None = Field(default=None, description="Ask a Prometheus server.")
    http: HttpGate | None = Field(default=None, description="Request an address.")
    job: JobGate | None = Field(default=None, description="Run a Job.")


class FreezeSpec(ApiModel):
    """A recurring time in which nothing starts; a rollback ignores it."""

    schedule: ShortText = Field(description="When it begins, as a cron expression: 0 18 * * 5.")
    time_zone: ShortText | None = Field(
        default=None, description="The schedule's time zone, as Europe/Berlin. Default UTC."
    )
    duration: Duration = Field(description="How long it lasts, as 62h.")
    reason: Text | None = Field(default=None, description="Why, shown to whoever waits for it.")


class StrategySpec(ApiModel):
    """How a change reaches the groups of its scope. Empty: all at once."""

    waves: list[WaveSpec] = Field(
        default_factory=list,
        max_length=50,
        description="The order in which groups move; what no wave names forms a last one.",
        json_schema_extra=list_map("name"),
    )
    gates: list[GateSpec] = Field(
        default_factory=list,
        max_length=20,
        description="Checks that must hold from each wave's start to its soak's end.",
        json_schema_extra=list_map("name"),
    )
    progress_deadline: Duration | None = Field(
        default=None, description="How long a wave may take before it counts as failed. Default 10m."
    )
    on_failure: Literal["Rollback", "Pause"] | None = Field(
        default=None, description="What follows a failure: Rollback (default) or Pause."
    )
    paused: Flag | None = Field(
        default=None, description="True holds the rollout where it is. Default false."
    )
    freezes: list[FreezeSpec] = Field(
        default_factory=list,
        max_length=50,
        description="Times in which no wave starts. A rollback ignores them.",
        json_schema_extra=ATOMIC,
    )
