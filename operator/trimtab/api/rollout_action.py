"""RolloutAction: one immutable request on a rollout."""

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
    """The rollout that the action applies to."""

    kind: Literal["PolicyRollout", "ConfigTemplate"] = Field(
        description="Kind of the rollout: PolicyRollout or ConfigTemplate."
    )
    name: DnsSubdomain = Field(description="Name of the rollout, in the namespace of this object.")


class RolloutActionSpec(ApiModel):
    """The action, the rollout, the requester and the reason."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "self == oldSelf",
                    "message": "spec is immutable; create another RolloutAction",
                },
                {
                    "rule": "self.action != 'Approve' || has(self.contentHash)",
                    "message": "Approve requires contentHash; set it to the rollout's status.preview.hash",
                    "fieldPath": ".contentHash",
                    "reason": "FieldValueRequired",
                },
            ]
        }
    )

    rollout_ref: RolloutRef = Field(description="Rollout that the action applies to.")
    action: Action = Field(
        description="Approve, Promote, Pause, Resume, Abort, Retry or Undo. The requester needs the RBAC verb of "
        "that name, in lower case, on the rollout."
    )
    content_hash: ContentHash | None = Field(
        default=None,
        description="Content that the action applies to: the rollout's status.preview.hash for Approve, its "
        "status.stable.hash for Undo, otherwise its status.target.hash. The operator refuses the action "
        "if the rollout has other content by then. Required for Approve.",
    )
    requester: Requester = Field(
        description="User name of the requester, as `kubectl auth whoami` shows it. It must be the user who creates "
        "this object."
    )
    reason: Text | None = Field(
        default=None, description="Reason for the action. Recorded in the rollout's history."
    )


class RolloutAction(Resource):
    """One immutable request on a rollout: approve, promote, pause, resume, abort, retry or undo."""

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

    kind: Literal["RolloutAction"] = Field(default="RolloutAction", description="Kind of the object.")
    spec: RolloutActionSpec = Field(description="Action, rollout and requester. Immutable.")
    status: ResourceStatus | None = Field(
        default=None,
        description="Result of the action: Ready is True if the operator accepted it, False if the operator refused "
        "it.",
    )
