"""Which restart of a workload may start now, as only few may run concurrently.

Up to :data:`AT_ONCE` workloads restart concurrently. A workload that never becomes ready keeps its slot for long, so
that with this limit only, one template would keep all others waiting, and a rollback too. Therefore the limit rises, to
:data:`MOST` times as many at most:

- A rollback counts only other rollbacks, and takes precedence.
- If some of the slots are slow, a template that holds less than its share may have one more. Its share is ``AT_ONCE``
  divided by the templates that hold or wait for slots, and one at least. If all slots are quick, the limit does not
  rise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import NamedTuple

AT_ONCE = 10
MOST = 3


class Claim(NamedTuple):
    """The owner of a restart, and whether the restart is part of a rollback."""

    owner: Hashable
    back: bool = False


class RestartSlot(NamedTuple):
    """A restart in progress; ``slow``: for so long that it delays only other restarts of its owner."""

    claim: Claim
    slow: bool = False


def admits(
    claim: Claim, taken: Sequence[RestartSlot], waiting: Collection[Claim] = (), at_once: int = AT_ONCE
) -> bool:
    """Whether the claim may have a slot in addition to those taken, while others wait."""
    alike = _alike(claim, taken)
    if len(alike) < at_once:
        return True
    quick = sum(not slot.slow for slot in alike)
    if quick >= at_once or len(taken) >= at_once * (MOST if claim.back else MOST - 1):
        return False
    held = sum(slot.claim == claim for slot in alike)
    return held < max(1, at_once // _owners(claim, [*(slot.claim for slot in alike), *waiting]))


def _alike(claim: Claim, taken: Sequence[RestartSlot]) -> list[RestartSlot]:
    """The slots that count for the claim."""
    return [slot for slot in taken if slot.claim.back or not claim.back]


def _owners(claim: Claim, others: Iterable[Claim]) -> int:
    """How many share the slots with the claim, its owner included."""
    return len({claim.owner, *(other.owner for other in others if other.back or not claim.back)})


def next_of(waiting: Collection[Claim], taken: Sequence[RestartSlot], at_once: int = AT_ONCE) -> Claim | None:
    """The claim that gets the next slot: rollbacks first, then who holds the fewest, then who has waited longest."""
    held = Counter(slot.claim for slot in taken)
    for back in (True, False):
        claims = [claim for claim in waiting if claim.back == back]
        first = min(claims, key=lambda claim: held[claim], default=None)
        if first is not None and admits(first, taken, waiting, at_once):
            return first
    return None
