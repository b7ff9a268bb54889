"""The strategy of a rollout: waves, gates and freezes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from trimtab.api.bounds import (
    ATOMIC,
    SET,
    Boolean,
    DnsLabel,
    DnsSubdomain,
    Duration,
    Integer,
    LongText,
    ShortText,
    Text,
    cel,
    list_map,
)
from trimtab.api.meta import ApiModel, LabelSelector

Url = Annotated[str, StringConstraints(pattern=r"^https?://.+", max_length=2048)]


class WaveSpec(ApiModel):
    """One step of a rollout: the groups that move, the share of their users, and the soak."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "!(has(self.groups) && has(self.groupSelector))", "groups and groupSelector cannot both be set"
        )
    )

    name: DnsLabel = Field(description="Name of the wave, unique in the strategy.")
    groups: list[DnsLabel] | None = Field(
        default=None,
        max_length=1000,
        description="Groups that move in this wave. If groups and groupSelector are both unset, all groups that are "
        "not at 100 percent yet.",
        json_schema_extra=SET,
    )
    group_selector: LabelSelector | None = Field(
        default=None, description="Selects the groups that move in this wave by their labels in the template."
    )
    percent: Integer | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Percentage of each group's users that moves. Below 100, group documents and workloads do not "
        "move. Defaults to 100.",
    )
    soak: Duration | None = Field(
        default=None,
        description="How long the wave must stay healthy before the next wave starts, for example 10m. Defaults to "
        "0.",
    )
    approval: Boolean | None = Field(
        default=None, description="Whether the wave requires an approval before it starts. Defaults to false."
    )


class PrometheusGate(ApiModel):
    """A PromQL query."""

    address: Url = Field(description="URL of the Prometheus server, for example http://prometheus:9090.")
    query: LongText = Field(description="PromQL query. The conditions use its first value as `result`.")
    success_condition: Text = Field(
        description="CEL condition over `result` for success, for example result < 0.01."
    )
    failure_condition: Text | None = Field(
        default=None,
        description="CEL condition over `result` for failure. A measurement that meets neither condition is "
        "inconclusive. If unset, a measurement that does not succeed fails.",
    )


class HttpGate(ApiModel):
    """An HTTP GET request."""

    url: Url = Field(description="URL to request.")
    expect_status: list[Annotated[Integer, Field(ge=100, le=599)]] | None = Field(
        default=None,
        max_length=32,
        description="Status codes that count as success. Defaults to 200.",
        json_schema_extra=SET,
    )


class JobGate(ApiModel):
    """A Job that must succeed."""

    cron_job: DnsSubdomain = Field(
        description="Name of a suspended CronJob in this namespace. The operator creates one Job from it per wave."
    )


class GateSpec(ApiModel):
    """One check, measured from the start of each wave to the end of its soak."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            "(has(self.prometheus) ? 1 : 0) + (has(self.http) ? 1 : 0) + (has(self.job) ? 1 : 0) == 1",
            "exactly one of prometheus, http and job must be set",
        )
    )

    name: DnsLabel = Field(description="Name of the gate, unique in the strategy.")
    interval: Duration | None = Field(
        default=None, description="Time between measurements, at least 1s. Defaults to 30s."
    )
    initial_delay: Duration | None = Field(
        default=None,
        description="Delay of the first measurement after the start of the wave, for example 1m. Defaults to 0.",
    )
    timeout: Duration | None = Field(
        default=None, description="Timeout of one measurement, at most 1m. Defaults to 10s."
    )
    failure_limit: Integer | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Maximum number of consecutive failed measurements. One more fails the rollout. Defaults to 0.",
    )
    consecutive_error_limit: Integer | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Maximum number of consecutive measurements that cannot be made or are inconclusive. One more "
        "pauses the rollout. Defaults to 4.",
    )
    dry_run: Boolean | None = Field(
        default=None,
        description="If true, the gate is measured and reported but does not affect the rollout. Defaults to false.",
    )
    on_no_data: Literal["Pause", "Fail", "Pass"] | None = Field(
        default=None,
        description="What happens if the measurement returns no data: Pause, Fail or Pass. Defaults to Pause.",
    )
    prometheus: PrometheusGate | None = Field(default=None, description="Queries a Prometheus server.")
    http: HttpGate | None = Field(default=None, description="Requests a URL.")
    job: JobGate | None = Field(default=None, description="Runs a Job.")


class FreezeSpec(ApiModel):
    """A recurring time window in which no wave starts. Rollbacks ignore it."""

    schedule: ShortText = Field(
        description="Start of the window, as a cron expression, for example 0 18 * * 5."
    )
    time_zone: ShortText | None = Field(
        default=None,
        description="IANA time zone of the schedule, for example Europe/Berlin. Defaults to UTC.",
    )
    duration: Duration = Field(description="Duration of the window, for example 62h.")
    reason: Text | None = Field(
        default=None, description="Reason, shown in the message of rollouts that wait for the window to end."
    )


class StrategySpec(ApiModel):
    """How a change rolls out to the groups in scope. If empty, all groups change in one wave."""

    waves: list[WaveSpec] = Field(
        default_factory=list,
        max_length=50,
        description="Waves, in order. Groups that no wave moves to 100 percent form an additional last wave.",
        json_schema_extra=list_map("name"),
    )
    gates: list[GateSpec] = Field(
        default_factory=list,
        max_length=20,
        description="Checks that must succeed from the start of each wave to the end of its soak.",
        json_schema_extra=list_map("name"),
    )
    progress_deadline: Duration | None = Field(
        default=None,
        description="Maximum time for which a wave may be incomplete or unhealthy before it fails. Defaults to 10m.",
    )
    on_failure: Literal["Rollback", "Pause"] | None = Field(
        default=None, description="Reaction to a failure: Rollback or Pause. Defaults to Rollback."
    )
    paused: Boolean | None = Field(
        default=None, description="If true, the rollout is paused. Rollbacks continue. Defaults to false."
    )
    freezes: list[FreezeSpec] = Field(
        default_factory=list,
        max_length=50,
        description="Recurring time windows in which no wave starts. Rollbacks ignore them.",
        json_schema_extra=ATOMIC,
    )
