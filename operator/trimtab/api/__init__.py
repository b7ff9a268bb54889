"""The API: one pydantic model for each kind. The CRDs are generated from these models."""

from __future__ import annotations

from trimtab.api.config_template import (
    ConfigTemplate,
    ConfigTemplateSpec,
    ConfigTemplateStatus,
    GroupSpec,
    ProfileSpec,
    RuleSpec,
    UsersSpec,
    WorkloadRef,
)
from trimtab.api.flags import FlagSpec, FlagTarget, PolicyFlag
from trimtab.api.key import DeprecatedSpec, ItemsSpec, KeySpec
from trimtab.api.meta import (
    API_VERSION,
    GROUP,
    VERSION,
    Condition,
    LabelSelector,
    LabelSelectorRequirement,
    LocalTemplateRef,
    NamespacedName,
    ObjectMeta,
    Resource,
    StatusWarning,
    Violation,
)
from trimtab.api.migration import MigrationSpec, MigrationStep, RenameStep, SetStep
from trimtab.api.output import OutputSpec
from trimtab.api.policy_rollout import (
    Constraint,
    EnforcedValue,
    PolicyRollout,
    PolicyRolloutSpec,
    PolicyRolloutStatus,
    PolicySpec,
)
from trimtab.api.rendered_group import (
    OutputRef,
    RenderedGroup,
    RenderedGroupSpec,
    RenderedGroupStatus,
    RevisionEntry,
)
from trimtab.api.rollout_action import RolloutAction, RolloutActionSpec, RolloutRef
from trimtab.api.strategy import (
    FreezeSpec,
    GateSpec,
    HttpGate,
    JobGate,
    PrometheusGate,
    StrategySpec,
    WaveSpec,
)
from trimtab.api.unsupported import NotSupported, not_supported
from trimtab.api.user_preference import (
    AcceptedPreference,
    PreferenceHistoryEntry,
    SecretRef,
    TemplateRef,
    UserPreference,
    UserPreferenceSpec,
    UserPreferenceStatus,
)

KINDS: tuple[type[Resource], ...] = (
    ConfigTemplate,
    PolicyRollout,
    RenderedGroup,
    RolloutAction,
    UserPreference,
)
"""All kinds, in the order of their CRDs."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "AcceptedPreference",
    "Condition",
    "ConfigTemplate",
    "ConfigTemplateSpec",
    "ConfigTemplateStatus",
    "Constraint",
    "DeprecatedSpec",
    "EnforcedValue",
    "FlagSpec",
    "FlagTarget",
    "FreezeSpec",
    "GateSpec",
    "GroupSpec",
    "HttpGate",
    "ItemsSpec",
    "JobGate",
    "KeySpec",
    "LabelSelector",
    "LabelSelectorRequirement",
    "LocalTemplateRef",
    "MigrationSpec",
    "MigrationStep",
    "NamespacedName",
    "NotSupported",
    "ObjectMeta",
    "OutputRef",
    "OutputSpec",
    "PolicyFlag",
    "PolicyRollout",
    "PolicyRolloutSpec",
    "PolicyRolloutStatus",
    "PolicySpec",
    "PreferenceHistoryEntry",
    "ProfileSpec",
    "PrometheusGate",
    "RenameStep",
    "RenderedGroup",
    "RenderedGroupSpec",
    "RenderedGroupStatus",
    "Resource",
    "RevisionEntry",
    "RolloutAction",
    "RolloutActionSpec",
    "RolloutRef",
    "RuleSpec",
    "SecretRef",
    "SetStep",
    "StatusWarning",
    "StrategySpec",
    "TemplateRef",
    "UserPreference",
    "UserPreferenceSpec",
    "UserPreferenceStatus",
    "UsersSpec",
    "Violation",
    "WaveSpec",
    "WorkloadRef",
    "not_supported",
]
