"""RolloutAction: one immutable verb on a rollout, by somebody who may."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, StringConstraints

from trimtab.api.bounds import DnsSubdomain, Text
from trimtab.api.meta import (
    AGE,
    MESSAGE,
    READY,
    REASON,
    ApiModel,
    Column,
    Resource,
    ResourceInfo,
    ResourceStatus,
)

Action = Literal["Approve", "Promote", "Pause", "Resume", "Abort", "Retry", "Undo"]
ContentHash = Annotated[str, StringConstraints(min_length=1, max_length=64)]
# The longest name of a service account, system:serviceaccount:<namespace>:<name>, has 339 characters.
Requester = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class RolloutRef(ApiModel):
    """The rollout that the action is on."""

    kind: Literal["PolicyRollout", "ConfigTemplate"] = Field(
        description="What rolls out: PolicyRollout or ConfigTemplate."
    )
    name: DnsSubdomain = Field(description="Its name, in this object's namespace.")


class RolloutActionSpec(ApiModel):
    """Who wants what done to which rollout, and why."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self == oldSelf",
                    "message": "a RolloutAction cannot be changed; create another one",
                },
                {
                    "rule": "self.action != 'Approve' || has(self.contentHash)",
                    "message": "Approve needs contentHash: the hash of the preview that was looked at, from the "
                    "rollout's status.preview.hash",
                    "fieldPath": ".contentHash",
                    "reason": "FieldValueRequired",
                },
            ]
        }
    )

    rollout_ref: RolloutRef = Field(description="The rollout that the action is on.")
    action: Action = Field(
        description="Approve, Promote, Pause, Resume, Abort, Retry or Undo. Needs the RBAC verb of that name, in lower "
        "case, on the rollout."
    )
    content_hash: ContentHash | None = Field(
        default=None,
        description="The content that it is about: the rollout's status.preview.hash for Approve, status.stable.hash "
        "for Undo, else status.target.hash; when the rollout has moved on to other content, the action is refused. "
        "Approve needs it.",
    )
    requester: Requester = Field(
        description="Who asks: the API server's name for whoever creates this, as `kubectl auth whoami` shows it. "
        "Any other name is refused."
    )
    reason: Text | None = Field(default=None, description="Why, kept with the rollout's history.")


class RolloutAction(Resource):
    """One immutable verb on a rollout: approve, promote, pause, resume, abort, retry or undo."""

    info: ClassVar[ResourceInfo] = ResourceInfo(
        kind="RolloutAction",
        plural="rolloutactions",
        singular="rolloutaction",
        short_name="raction",
        columns=(
            Column("Kind", ".spec.rolloutRef.kind"),
            Column("Rollout", ".spec.rolloutRef.name"),
            Column("Action", ".spec.action"),
            Column("Requester", ".spec.requester"),
            READY,
            REASON,
            Column("Content", ".spec.contentHash", wide=True),
            MESSAGE,
            AGE,
        ),
        selectable=(".spec.rolloutRef.name", ".spec.rolloutRef.kind"),
    )

    kind: Literal["RolloutAction"] = Field(default="RolloutAction", description="The object's kind.")
    spec: RolloutActionSpec = Field(description="The verb, the rollout and who asks; cannot be changed.")
    status: ResourceStatus | None = Field(
        default=None,
        description="What became of it: Ready is True once it was taken, and False if it was refused.",
    )
