"""RolloutAction: one immutable verb on a rollout. Named by the contract, not served by this version."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from trimtab.api.bounds import DnsSubdomain, ShortText, Text, cel
from trimtab.api.meta import AGE, READY, REASON, ApiModel, Column, Resource, ResourceInfo, ResourceStatus

Action = Literal["Approve", "Promote", "Pause", "Resume", "Abort", "Retry", "Undo"]


class RolloutRef(ApiModel):
    """The rollout that the action is on."""

    kind: Literal["PolicyRollout", "ConfigTemplate"] = Field(
        description="What rolls out: PolicyRollout or ConfigTemplate."
    )
    name: DnsSubdomain = Field(description="Its name, in this namespace.")


class RolloutActionSpec(ApiModel):
    """Who wants what done to which rollout, and why."""

    model_config = ConfigDict(json_schema_extra=cel("self == oldSelf", "a RolloutAction cannot be changed"))
    unsupported: ClassVar[bool] = True

    rollout_ref: RolloutRef = Field(description="The rollout that the action is on.")
    action: Action = Field(description="Approve, Promote, Pause, Resume, Abort, Retry or Undo.")
    content_hash: ShortText | None = Field(
        default=None, description="The content that was previewed; other content makes the action void."
    )
    requester: ShortText = Field(description="Who asks; must equal the API server's word for them.")
    reason: Text | None = Field(default=None, description="Why, kept with the rollout's history.")


class RolloutAction(Resource):
    """One immutable verb on a rollout: approve, promote, pause, resume, abort, retry or undo."""

    info: ClassVar[ResourceInfo] = ResourceInfo(
        kind="RolloutAction",
        plural="rolloutactions",
        singular="rolloutaction",
        short_name="raction",
        columns=(
            Column("Rollout", ".spec.rolloutRef.name"),
            Column("Action", ".spec.action"),
            Column("Requester", ".spec.requester"),
            READY,
            REASON,
            AGE,
        ),
    )

    kind: Literal["RolloutAction"] = Field(default="RolloutAction", description="The object's kind.")
    spec: RolloutActionSpec = Field(description="The verb, the rollout and who asks.")
    status: ResourceStatus | None = Field(default=None, description="What became of it.")
