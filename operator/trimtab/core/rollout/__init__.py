"""The state machine of every rollout, of policies and of templates: pure, persisted whole, run again at any time.

``step(progress, seen, now)`` decides; ``intents(progress)`` says what follows for each group. The states and what leads
from one to another are in STATES.md beside this file, which a test holds against what really happens.

==============  ==================================================================================================
module          holds
==============  ==================================================================================================
``machine``     step(), and the order of its rules
``planning``    which content is asked for, the waves before they start
``judging``     what counts as a failure
``moves``       waves start and complete, and so does the way back
``timing``      soaks, deadlines, gaps
``gates``       evidence: streaks, failures, silence
``notes``       what to know about workloads; those that others change back
``actions``     what people ask for
``phases``      the phase, and what is told when it changes by itself
``words``       the message for people
``reading``     what progress says; intents()
``run``         one step in the making
``seen``        the values that go in and come out
==============  ==================================================================================================

What keeps it safe:

- Nothing is claimed before the first wave starts: until then `underway` is unset, and other rollouts may go first.
- An observation of a group counts only for the intent and the epoch that it was made under, evidence of a gate only
  for its epoch and wave.
- A failure latches. The epoch rises before anything turns round, and at each start.
- Time counts while somebody watches: after a gap, or when clocks go back, soaks and deadlines start again.
"""

from trimtab.core.rollout.queries import NOTHING, intents, planned
from trimtab.core.rollout.step import step
from trimtab.core.rollout.types import (
    Answer,
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
    "Answer",
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
