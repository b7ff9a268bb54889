"""The state machine of all rollouts, of policies and of templates: pure, stored whole, safe to repeat.

``step(progress, observation, now)`` decides; ``intents(progress)`` returns what follows for each group. STATES.md in
this folder lists the states and transitions; a test compares it with all transitions that occur.

==================  ================================================================================================
module            holds
==================  ================================================================================================
``step``          step(), and the order of its rules
``context``       one step while it is computed
``types``         its input and output
``queries``       what progress records; intents()
``planning``      the target, and the waves before they start
``transitions``   waves start and complete, rollbacks complete
``failures``      what counts as a failure
``timers``        soaks, deadlines, gaps
``gates``         measurements: series, failures, missing evidence
``actions``       RolloutActions
``workload_notes``  notes about workloads; changes by other clients
``phase``         the phase, and the event of a phase that changes without another one
``messages``      the human-readable message
``strategy``      a compiled strategy, of ``waves`` and ``freezes``
``source``        one rollout with its progress
``spec``          what its spec amounts to
``recovery``      a lost status, read from the groups
``assignment``    which content each group is on
``revisions``     the revisions that a group records
``user_share``    which users belong to a share
``preview``       what a rollout would change
==================  ================================================================================================

What keeps it safe:

- A rollout claims no group before its first wave: until then `underway` is unset, and other rollouts may start.
- An observation of a group counts only for its intent and epoch, a measurement of a gate only for its epoch and wave.
- A failure is final. The epoch rises before a rollback, and at each start.
- Time counts while the operator observes: after a gap, or when a clock was set back, soaks and deadlines restart.
"""

from trimtab.core.rollout.queries import NOTHING, intents, planned
from trimtab.core.rollout.step import step
from trimtab.core.rollout.types import (
    ActionResult,
    Evidence,
    GroupObservation,
    Intent,
    Observation,
    Request,
    Step,
    Transition,
)

__all__ = [
    "NOTHING",
    "ActionResult",
    "Evidence",
    "GroupObservation",
    "Intent",
    "Observation",
    "Request",
    "Step",
    "Transition",
    "intents",
    "planned",
    "step",
]
