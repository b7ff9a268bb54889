"""Who may restart a workload now, as only few may at once.

:data:`AT_ONCE` restart at once. What never becomes ready holds its turn for long, so that the bound alone would let one
template keep all others waiting, and a rollback too. Therefore it gives way, to :data:`MOST` times as many at most:

- Who goes back counts only those who go back, and comes first.
- When some of the turns are slow, a template that holds less than its share, ``AT_ONCE`` divided by all who hold or
  want turns, and one at least, may have one more. As long as all are quick, ten are ten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from typing import NamedTuple

AT_ONCE = 10
MOST = 3


class Claim(NamedTuple):
    """Whose restart it is, and whether it returns to what was served before."""

    owner: Hashable
    back: bool = False


class RestartSlot(NamedTuple):
    """A restart that is under way; ``slow``: for so long that it holds up only its owner's others."""

    claim: Claim
    slow: bool = False


def admits(
    claim: Claim, taken: Sequence[RestartSlot], waiting: Collection[Claim] = (), at_once: int = AT_ONCE
) -> bool:
    """Whether the claim may have a turn beside those taken, while others wait."""
    alike = [turn for turn in taken if turn.claim.back or not claim.back]
    if len(alike) < at_once:
        return True
    quick = sum(not turn.slow for turn in alike)
    if quick >= at_once or len(taken) >= at_once * (MOST if claim.back else MOST - 1):
        return False
    claims = [claim, *(turn.claim for turn in alike), *waiting]
    owners = {other.owner for other in claims if other.back or not claim.back}
    mine = sum(turn.claim == claim for turn in alike)
    return mine < max(1, at_once // len(owners))


def next_of(waiting: Collection[Claim], taken: Sequence[RestartSlot], at_once: int = AT_ONCE) -> Claim | None:
    """Whose turn it is: who goes back first, then who holds the fewest, then who has waited longest."""
    held = Counter(turn.claim for turn in taken)
    for back in (True, False):
        claims = [claim for claim in waiting if claim.back == back]
        first = min(claims, key=lambda claim: held[claim], default=None)
        if first is not None and admits(first, taken, waiting, at_once):
            return first
    return None
