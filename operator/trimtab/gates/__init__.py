"""Gates: what is measured while a rollout soaks. A measurement says; the state machine in `core` decides.

Here is the operator's only traffic to where users point it, so everything that leaves goes through `urls` (only what
the cluster admin allows), `addresses` (what a name may resolve to) and `asker` (bounded in size, time and number).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Result = Literal["Pending", "Successful", "Failed", "Error", "Inconclusive", "NoData"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One look at one gate. ``message`` is for people: what was measured, or why it could not be.

    Failed is an answer that says no; Error is no answer. A message never holds what a server sent, but for one number.
    """

    result: Result
    message: str = ""
    job: str = ""
    """The uid of the Job that was looked at."""
