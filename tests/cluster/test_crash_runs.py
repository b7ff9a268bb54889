"""kill -9 at any write, a leader that slept, a bad network: the short form of `make crash` (tests/crash/README.md)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crash import runs
from crash.cluster import CrashCluster
from crash.faulty import faulty
from crash.points import Point
from crash.runs import Result
from crash.scenes import SCENES
from crash.stale import stale
from support.operator_cluster import OperatorCluster

SCENE = "aborted"
STRIDE = 7
"""Of the points of one scene, one of so many is tried here; all of all scenes by `make crash`."""

Expected = Callable[[str], Result]


@pytest.fixture(scope="module")
def cluster(
    operator_cluster: OperatorCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CrashCluster]:
    """This worker's cluster, without the operator that other tests share."""
    if operator_cluster.shared.running:
        operator_cluster.shared.stop()
    operator_cluster.release_lease()
    with CrashCluster(
        operator_cluster.kubeconfig, tmp_path_factory.mktemp("crash"), operator_cluster.kubectl
    ) as made:
        yield made


@pytest.fixture(scope="module")
def expected(cluster: CrashCluster) -> Expected:
    """What becomes of a scene if nothing happens to its operator."""

    @functools.cache
    def undisturbed(name: str) -> Result:
        made = runs.undisturbed(cluster, SCENES[name], cluster.folder / f"{name}.log")
        assert made.problems == []
        return made

    return undisturbed


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "operator.log"


def points(expected: Result) -> list[Point]:
    return [Point(write, after) for write in expected.writes for after in (False, True)]


def point(expected: Result, says: str, *, after: bool) -> Point:
    """The first write that begins so."""
    return Point(next(write for write in expected.writes if write.says.startswith(says)), after)


@pytest.mark.timeout(900)
def test_a_crash_at_a_write_changes_nothing_in_the_end(
    cluster: CrashCluster, expected: Expected, log: Path
) -> None:
    want = expected(SCENE)
    problems = {}
    for number, at in enumerate(points(want)[::STRIDE]):
        made = runs.killed(cluster, SCENES[SCENE], want, at, log.with_stem(f"operator-{number}"))
        if made.problems:
            problems[str(at)] = made.problems
    assert problems == {}


@pytest.mark.parametrize("scene", ["template-waves", "superseded", "percent", "failing"])
def test_operators_that_keep_dying_reach_the_same_end_state(
    cluster: CrashCluster, expected: Expected, log: Path, scene: str
) -> None:
    want = expected(scene)
    made = runs.short_lives(cluster, SCENES[scene], want, 1, log)
    assert made.struck
    assert made.problems == []


@pytest.mark.parametrize("after", [False, True], ids=["before its write", "after its write"])
def test_a_leader_that_slept_through_a_rollback_changes_nothing(
    cluster: CrashCluster, expected: Expected, log: Path, after: bool
) -> None:
    """Its write is on its way, or done, when it falls asleep; the other one has aborted the rollout when it wakes."""
    want = expected(SCENE)
    at = point(want, "patch renderedgroups/app-free/status currentRevision=2", after=after)
    made = stale(cluster, SCENES[SCENE], want, at, log)
    assert made.struck
    assert made.problems == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_network_changes_nothing_in_the_end(
    cluster: CrashCluster, expected: Expected, log: Path, seed: int
) -> None:
    want = expected(SCENE)
    made = faulty(cluster, SCENES[SCENE], want, seed, log)
    assert made.problems == []
