"""`make crash`, or `python -m crash --scene aborted --part killed --only 7`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from crash.campaign import PARTS, Campaign, Wanted
from crash.report import figures, table, write_figures
from crash.scenes import SCENES
from trimtab.sandbox import ensure_binaries


def main() -> int:
    """0 if all that was to hold did."""
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--scene", action="append", choices=SCENES, help="only this one; repeatable")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; repeatable")
    parser.add_argument(
        "--only", action="append", type=int, help="only this point of the scene's list; repeatable"
    )
    parser.add_argument("--every", type=int, default=1, help="only each n-th point")
    parser.add_argument(
        "--seeds", type=int, default=5, help="runs a scene of what goes by seeds: short lives, faults"
    )
    parser.add_argument(
        "--workers", type=int, default=3, help="how many at once, each with a cluster of its own"
    )
    parser.add_argument("--list", action="store_true", help="only say which points there are")
    parser.add_argument("--figures", type=Path, help="write the figures into this file, below its mark")
    parser.add_argument(
        "--logs", type=Path, help="keep the operators' logs of runs that failed in this folder"
    )
    given = parser.parse_args()
    logs = given.logs or Path(tempfile.mkdtemp(prefix="trimtab-crash-"))
    wanted = Wanted(
        scenes=tuple(given.scene or SCENES),
        parts=tuple(() if given.list else given.part or PARTS),
        only=frozenset(given.only or ()),
        every=given.every,
        seeds=given.seeds,
    )
    ensure_binaries()
    begun = time.monotonic()
    campaign = Campaign(wanted)
    campaign.run(given.workers, logs)
    if given.list:
        for scene, points in campaign.points.items():
            print(f"\n{scene}")
            print("\n".join(f"  {number:3} {point}" for number, point in enumerate(points, 1)))
    made = figures(campaign, time.monotonic() - begun, given.workers)
    print(f"\n{table(made)}\n")
    for problem in campaign.problems:
        print(f"- {problem}")
    if given.figures is not None:
        write_figures(given.figures, made, campaign.problems)
    return 1 if campaign.problems else 0


if __name__ == "__main__":
    sys.exit(main())
