"""Every reason that a Ready condition may carry, in one place.

========================  ========  =========  ==================================================================
reason                    Ready     kinds      means
========================  ========  =========  ==================================================================
Accepted                  True      U, A       the values are valid and in force; the action was taken
Rendered                  True      T, G       every output is as it should be
Suspended                 True      U          ``suspend: true``: what was rendered is kept, changes are not taken
Succeeded                 True      P          every group serves it, and all went well
Progressing               Unknown   T, G, P    a new revision is being written, or a wave's groups follow
Pending                   Unknown   T, P       seen; what it would change is being worked out
Waiting                   Unknown   T, P       another rollout or a freeze goes first
AwaitingApproval          Unknown   T, P       the next wave starts when somebody approves it
Soaking                   Unknown   T, P       the wave's groups have followed and are watched
Paused                    Unknown   T, P       somebody, or missing evidence, holds it where it is
RollingBack               Unknown   T, P       groups return to what is stable
RolledBack                False     T, P       it failed; every group serves what is stable again
RollbackFailed            False     T, P       some group cannot return to what is stable; it is tried on
Rejected                  False     T, P       not valid; the last good one is still served
Refused                   False     A          the action was not taken
Invalid                   False     U          the values are not valid; what was accepted last stays in force
NotJudged                 False     U          the operator failed on it; what was accepted last stays in force
NotSupported              False     T, U, P    a field is set that this version names and does not build yet
TemplateNotFound          False     U, P       no template by that name
TemplateNotServed         False     U, P       the template has never been valid, so nothing is served
GroupNotFound             False     U          the template has no such group
GroupNotServed            Unknown   U          the group comes with a rollout whose wave for it has not come yet
NamespaceNotAllowed       False     U          the group takes no preferences from this namespace
GroupFull                 False     U          the group's ``maxUsers`` older preferences come first
UserTaken                 False     U          an older preference holds this user
UserReserved              False     U          the user name is reserved for ``_default`` entries
AheadOfRevision           False     U          written for a newer schemaVersion than the group is on
BehindSchema              False     U          written for an older schemaVersion; migrations are not built yet
Conflict                  False     T, G, U    an object of that name exists that Trimtab did not make
NameCollision             False     T          another template was first to render objects of the same name
TargetNotAllowed          False     T, G, U    the target namespace does not let this template in
WriteFailed               False     all but A  the API server refused a write
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
NOT_JUDGED = "NotJudged"
NOT_SUPPORTED = "NotSupported"
TEMPLATE_NOT_FOUND = "TemplateNotFound"
TEMPLATE_NOT_SERVED = "TemplateNotServed"
GROUP_NOT_FOUND = "GroupNotFound"
GROUP_NOT_SERVED = "GroupNotServed"
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
