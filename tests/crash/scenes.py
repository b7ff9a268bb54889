"""What happens in the runs: small but whole rollouts, with the actions of their users.

A scene sets itself (``play.begin()`` ends that), and then waits for what it sees before it goes on. It waits by
conditions that a crash may delay and never undo.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crash.play import Play
from support.manifests import KEYS, enforce, wave, waves, workload

SECRET = {"name": "api.token", "type": "String", "sensitive": True, "default": "mark-token", "reload": "None"}
DEFAULTS = {key["name"]: key["default"] for key in KEYS}
OUTPUTS = [
    {"name": "app", "format": "JSON", "fileName": "app.json"},
    {"name": "creds", "kind": "Secret", "format": "TOML", "fileName": "creds.toml", "include": ["api.token"]},
    {"name": "prefs", "scope": "User", "format": "JSON", "fileName": "prefs.json"},
]


@dataclass(frozen=True)
class Scene:
    """``play`` returns when all that it is about has come about."""

    name: str
    about: str
    play: Callable[[Play], None]


def _groups(mark: str, **free: object) -> list[dict[str, object]]:
    values = {"session.greeting": mark}
    return [{"name": "free", "values": values, **free}, {"name": "pro", "values": values}]


def _given(play: Play, users: int = 4, **spec: object) -> None:
    """A template with two groups that is served, with users in both."""
    play.template(**{"groups": _groups("mark-old"), **spec})
    for number in range(users):
        play.preference(f"user-{number}", {"session.minutes": number + 1}, group=("free", "pro")[number % 2])
    play.rendered()
    for number in range(users):
        play.accepted(f"user-{number}")


def _policy(play: Play, mark: str = "mark-new", strategy: object = None) -> None:
    play.policy(enforce("session.greeting", mark), strategy)


def template(play: Play) -> None:
    """Made, edited, made smaller: nothing of a rollout in it."""
    play.begin()
    _given(play, keys=[*KEYS, SECRET], outputs=OUTPUTS)
    play.serve("mark-old", "free", "pro")
    play.template(keys=[*KEYS, SECRET], outputs=OUTPUTS, groups=_groups("mark-new"))
    play.serve("mark-new", "free", "pro")
    play.rendered()
    play.preference("user-0", {"session.minutes": 9}, group="pro")
    play.preference("user-1", {"session.minutes": -9}, group="pro")
    play.accepted("user-0")
    play.verdict("UserPreference", "user-1", "False")
    play.template(outputs=OUTPUTS[2:], groups=_groups("mark-new")[1:])
    play.gone("RenderedGroup", "app-free")
    play.gone("Secret", "app-pro")
    play.rendered()


def two_waves(play: Play) -> None:
    _given(play)
    play.begin()
    _policy(play, strategy=waves(wave("canary", "free", soak="1s"), wave("all", soak="1s")))
    play.reach("Succeeded")
    play.serve("mark-new", "free", "pro")


def aborted(play: Play) -> None:
    _given(play)
    play.begin()
    _policy(play, strategy=waves())
    play.reach("Soaking")
    play.serve("mark-new", "free")
    play.ask("abort")
    play.reach("RolledBack")
    play.serve("mark-old", "free", "pro")


def template_waves(play: Play) -> None:
    """The template's own strategy, with a workload to restart and a Secret."""
    spec = {"keys": [*KEYS, SECRET], "outputs": OUTPUTS, "strategy": waves(wave("canary", "free", soak="1s"))}
    free = {"workloads": [{"kind": "Deployment", "name": "web"}]}
    play.create(workload("Deployment", play.namespace, "web"))
    _given(play, groups=_groups("mark-old", **free), **spec)
    play.reach("Succeeded", "app", "ConfigTemplate")
    play.stamped("web")
    play.begin()
    play.template(groups=_groups("mark-new", **free), **spec)
    play.reach("Succeeded", "app", "ConfigTemplate", generation=2)
    play.serve("mark-new", "free", "pro")


def superseded(play: Play) -> None:
    _given(play)
    play.begin()
    _policy(play, "mark-first", waves())
    play.reach("Soaking")
    play.serve("mark-first", "free")
    _policy(play, "mark-second", waves(wave("canary", "free", soak="1s")))
    play.reach("Succeeded", generation=2)
    play.serve("mark-second", "free", "pro")


def percent(play: Play) -> None:
    _given(play, users=12)
    play.begin()
    _policy(play, strategy=waves(wave("some", "free", percent=30, soak="1s"), wave("all", soak="1s")))
    play.reach("Succeeded")
    play.serve("mark-new", "free", "pro")


def percent_aborted(play: Play) -> None:
    _given(play, users=12)
    play.begin()
    _policy(play, strategy=waves(wave("some", percent=30, soak="1h"), wave("all")))
    play.reach("Soaking")
    play.ask("abort")
    play.reach("RolledBack")
    play.serve("mark-old", "free", "pro")


def failing(play: Play) -> None:
    """Pods crash with it: it goes back by itself."""
    free = {"workloads": [{"kind": "Deployment", "name": "web"}]}
    play.create(workload("Deployment", play.namespace, "web"))
    _given(play, groups=_groups("mark-old", **free))
    play.stamped("web")
    play.crash({**DEFAULTS, "session.greeting": "mark-bad"})
    play.begin()
    _policy(play, "mark-bad", strategy=waves(wave("canary", "free", soak="1s")))
    play.reach("RolledBack")
    play.serve("mark-old", "free", "pro")
    play.stamped("web")


def undone(play: Play) -> None:
    """Approved, through, undone, withdrawn."""
    _given(play)
    play.begin()
    _policy(play, strategy=waves(wave("all", approval=True)))
    play.reach("AwaitingApproval")
    play.ask("approve", contentHash=play.status()["target"]["hash"])
    play.reach("Succeeded")
    play.serve("mark-new", "free", "pro")
    play.ask("undo")
    play.reach("RolledBack")
    play.serve("mark-old", "free", "pro")
    play.ask("retry")
    play.reach("AwaitingApproval")
    # What is deleted while no operator runs takes with it what of it has not been told yet.
    events = play.cluster.journal
    play.until(
        lambda: [e["reason"] for e in events.all("Event", play.namespace)].count("ApprovalRequested") == 2,
        "the retry is told",
    )
    play.drop("PolicyRollout", "calmer")
    play.serve("mark-old", "free", "pro")


SCENES = {
    scene.name: scene
    for scene in (
        Scene("template", "a template without strategy: made, edited, made smaller", template),
        Scene("two-waves", "a policy in two waves that succeeds", two_waves),
        Scene("aborted", "a policy that is aborted in its first wave", aborted),
        Scene("template-waves", "a template with a strategy and a workload is edited", template_waves),
        Scene("superseded", "a policy gets other content in mid-flight", superseded),
        Scene("percent", "a policy reaches some of the users first", percent),
        Scene("percent-aborted", "a policy is aborted while some of the users have it", percent_aborted),
        Scene("failing", "a policy with which pods crash goes back by itself", failing),
        Scene("undone", "a policy is approved, succeeds, is undone, retried and deleted", undone),
    )
}
