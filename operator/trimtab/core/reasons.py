"""Every reason that a Ready condition may carry, in one place.

========================  ========  =========  ==================================================================
reason                    Ready     kinds      means
========================  ========  =========  ==================================================================
Accepted                  True      U, A       the values are valid and in force; the action was processed
Rendered                  True      T, G       every output is up to date
Suspended                 True      U          ``suspend: true``: the rendered values are kept, edits are ignored
Succeeded                 True      P          the rollout completed in all groups
Progressing               Unknown   T, G, P    a new revision is being written, or a wave is in progress
Pending                   Unknown   T, P       observed; its preview is being computed
Waiting                   Unknown   T, P       another rollout or a freeze takes precedence
AwaitingApproval          Unknown   T, P       the next wave requires an approval
Soaking                   Unknown   T, P       the wave's groups are updated and healthy, and are observed
Paused                    Unknown   T, P       paused by request, or for lack of evidence
RollingBack               Unknown   T, P       groups roll back to the stable revision
RolledBack                False     T, P       the rollout failed; every group is on the stable revision again
RollbackFailed            False     T, P       a group could not be rolled back; the operator retries
Rejected                  False     T, P       not valid; the last valid revision stays in effect
Refused                   False     A          the action was not executed
Invalid                   False     U          the values are not valid; those accepted last stay in force
InternalError             False     U          an internal error; the values accepted last stay in force
NotSupported              False     T, U, P    a field is set that this version does not support yet
TemplateNotFound          False     U, P       no template has this name
TemplateNotValid          False     U, P       the template has never been valid, so nothing is rendered
GroupNotFound             False     U          the template has no such group
GroupNotRolledOut         Unknown   U          a rollout adds the group, in a wave that has not started yet
NamespaceNotAllowed       False     U          the group accepts no preferences from this namespace
GroupFull                 False     U          the group already has ``maxUsers`` older preferences
UserTaken                 False     U          an older preference holds this user
UserReserved              False     U          the user name is reserved for ``_default`` entries
AheadOfRevision           False     U          written for a newer schemaVersion than the group is on
BehindSchema              False     U          written for an older schemaVersion; migrations are not built yet
Conflict                  False     T, G, U    an object of that name exists that Trimtab does not manage
NameCollision             False     T          another template was first to render objects of the same name
TargetNotAllowed          False     T, G, U    the target namespace does not admit this template
WriteFailed               False     all but A  the API server rejected a write
ContentUnreadable         False     T, G, U    a ControllerRevision with stored content is missing or was altered
========================  ========  =========  ==================================================================

T: ConfigTemplate, G: RenderedGroup, U: UserPreference, P: PolicyRollout, A: RolloutAction.
"""

from __future__ import annotations

ACCEPTED = "Accepted"
RENDERED = "Rendered"
SUSPENDED = "Suspended"
SUCCEEDED = "Succeeded"
PROGRESSING = "Progressing"
PENDING = "Pending"
WAITING = "Waiting"
AWAITING_APPROVAL = "AwaitingApproval"
SOAKING = "Soaking"
PAUSED = "Paused"
ROLLING_BACK = "RollingBack"
ROLLED_BACK = "RolledBack"
ROLLBACK_FAILED = "RollbackFailed"
REFUSED = "Refused"
REJECTED = "Rejected"
INVALID = "Invalid"
INTERNAL_ERROR = "InternalError"
NOT_SUPPORTED = "NotSupported"
TEMPLATE_NOT_FOUND = "TemplateNotFound"
TEMPLATE_NOT_VALID = "TemplateNotValid"
GROUP_NOT_FOUND = "GroupNotFound"
GROUP_NOT_ROLLED_OUT = "GroupNotRolledOut"
NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
GROUP_FULL = "GroupFull"
USER_TAKEN = "UserTaken"
USER_RESERVED = "UserReserved"
AHEAD_OF_REVISION = "AheadOfRevision"
BEHIND_SCHEMA = "BehindSchema"
CONFLICT = "Conflict"
NAME_COLLISION = "NameCollision"
TARGET_NOT_ALLOWED = "TargetNotAllowed"
WRITE_FAILED = "WriteFailed"
CONTENT_UNREADABLE = "ContentUnreadable"
