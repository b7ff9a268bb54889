"""What a rollout's progress means for its groups, computed in another way than in the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trimtab.api.rollout_status import RolloutProgress

Body = dict[str, Any]


@dataclass(frozen=True)
class Word:
    """What one rollout has to say of one group; None is nothing. ``share`` is for so many percent of its users."""

    base: str | None
    share: str | None = None
    percent: int = 0

    @property
    def moved(self) -> str | None:
        return self.share if self.percent else self.base


@dataclass
class RolloutSource:
    """A rollout with what its status says."""

    kind: str
    body: Body
    progress: RolloutProgress = field(init=False)

    def __post_init__(self) -> None:
        self.progress = RolloutProgress.model_validate(self.body.get("status") or {})

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def stable(self) -> str | None:
        return self.progress.stable.snapshot if self.progress.stable else None

    @property
    def target(self) -> str | None:
        return self.progress.target.snapshot if self.progress.target else None

    def plans(self, group: str) -> bool:
        """Whether it is under way in the group."""
        return self.progress.underway is not None and any(
            group in wave.groups for wave in self.progress.waves
        )

    def moved(self, group: str) -> int:
        """To how many percent its waves that have started have brought the group."""
        number = (self.progress.current_wave or 0) - (self.progress.wave_state == "Held")
        return max((w.percent for w in self.progress.waves[:number] if group in w.groups), default=0)

    def words(self, group: str, percent: int) -> list[Word]:
        """What it may have to say of a group, a share of which is at ``percent`` now. One that stands still may have
        been stopped before, or after, the group followed; any other has one word."""
        if self.progress.underway != "Forward":
            return [Word(self.stable)]
        moved = self.moved(group)
        final = Word(self.stable) if moved == 0 else Word(self.target)
        if 0 < moved < 100:
            final = Word(self.stable, self.target, moved)
        if self.progress.phase not in ("Paused", "Rejected"):
            return [final]
        partly = [Word(self.stable, self.target, percent)] if 0 < percent <= moved else []
        return [Word(self.stable), *partly, final]
