"""What people do to templates and rollouts, at random: much of it valid, some of it not, some at odds with the rest."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.in_memory import Cluster, spec
from trimtab.kube.port import Body
from trimtab.kube.resources import CONFIG_MAPS, CONFIG_TEMPLATES, POLICY_ROLLOUTS, USER_PREFERENCES, Resource

USERS = ("ann", "bob", "cid", "dan", "eve", "fay")
GROUPS = ("free", "paid", "trial")
POLICIES = ("a", "b", "c")
ACTIONS = ("Approve", "Promote", "Pause", "Resume", "Abort", "Retry", "Undo")
TOKEN: Body = {"name": "api.token", "type": "String", "sensitive": True, "default": "canary0"}
TAGS: Body = {"name": "agent.tags", "type": "StringList", "merge": "Append", "maxItems": 3, "default": ["t"]}
OUTPUTS: list[Body] = [
    {"name": "creds", "kind": "Secret", "format": "JSON", "fileName": "creds.json"},
    {"name": "own", "kind": "Secret", "format": "JSON", "fileName": "own.json", "scope": "User"},
]
FIRST: Body = {"name": "first", "groupSelector": {"matchLabels": {"ring": "early"}}}
FREEZE: Body = {"schedule": "0 0 1 1 *", "duration": "720h", "reason": "new year"}
GATE: Body = {
    "name": "gate",
    "interval": "5s",
    "consecutiveErrorLimit": 1,
    "http": {"url": "http://nobody.test"},
}
STRATEGIES: tuple[Body | None, ...] = (
    None,
    None,
    {},
    {"waves": [{**FIRST, "soak": "5s"}]},
    {"waves": [{**FIRST, "soak": "20s"}, {"name": "all", "soak": "3s"}]},
    {"waves": [{"name": "half", "groups": ["free"], "percent": 50, "soak": "20s"}]},
    {"waves": [{"name": "some", "percent": 30, "soak": "9s"}, {"name": "most", "percent": 70, "soak": "9s"}]},
    {"waves": [{"name": "all", "approval": True}]},
    {"waves": [FIRST, {"name": "rest", "approval": True}]},
    {"paused": True},
    {"waves": [{**FIRST, "soak": "20s"}], "paused": True},
    {"waves": [{"name": "half", "percent": 50, "soak": "9s"}], "paused": True},
    {"freezes": [FREEZE]},
    {"gates": [GATE], "waves": [FIRST]},
    {"progressDeadline": "1s", "waves": [FIRST]},
    {"progressDeadline": "1s", "onFailure": "Pause"},
    {"waves": [{"name": "nobody", "groups": ["nobody"]}]},
    {"waves": [{"name": "same"}, {"name": "same"}]},
)


def _voice(value: str) -> Body:
    return {"enforced": [{"key": "agent.voice", "value": value, "reason": "SEC-12"}]}


SAID: tuple[Body, ...] = (
    _voice("bright"),
    _voice("dark"),
    {"constraints": [{"key": "agent.voice", "enum": ["calm", "dark"]}]},
    {"constraints": [{"key": "agent.temperature", "maximum": 1, "reason": "COST-7"}]},
    {"constraints": [{"key": "agent.temperature", "maximum": 1, "onViolation": "Drop"}]},
    {"values": {"session.minutes": 25}},
    {"values": {"session.minutes": "26", "agent.temperature": 1.5}},
    {"values": {"agent.tags": ["p", "q"]}},
    {"values": {"api.token": "canary1"}},
    {"enforced": [{"key": "api.token", "value": "canary2"}]},
    {"constraints": [{"key": "api.token", "enum": ["canary1", "canary3"]}]},
    {"values": {"agent.voise": "x"}},
    {"values": {"session.minutes": 0}},
    {"enforced": [{"key": "api.token", "value": ["canary4"]}]},
    {},
)
SCOPES: tuple[Body, ...] = (
    {},
    {},
    {},
    {"groups": ["free"]},
    {"groups": ["paid", "trial"]},
    {"groups": ["nobody"]},
    {"groupSelector": {"matchLabels": {"ring": "early"}}},
    {"groupSelector": {"matchLabels": {"ring": "nobody"}}},
)
VALUES: tuple[Body, ...] = (
    {},
    {"session.minutes": 5},
    {"session.minutes": "6"},
    {"session.minutes": -1},
    {"agent.temperature": 1.8, "agent.tags": ["u"]},
    {"agent.tags": ["u", "v"]},
    {"agent.voice": "loud"},
    {"api.token": "canary9"},
)


@dataclass
class Crowd:
    """People who act on one template, ``app``."""

    cluster: Cluster
    chance: random.Random
    written: list[Body] = field(default_factory=list)
    """All content of templates and policies that there has been."""

    def something(self) -> str:
        """One thing that somebody does; what it was."""
        deed = self.chance.choice(DEEDS)
        deed(self)
        return deed.__name__

    def template(self, **changes: Any) -> None:
        chance = self.chance
        base = spec()
        keys = [*base["keys"][:2], *(base["keys"][2:] if chance.random() < 0.85 else ()), TAGS, TOKEN]
        keys[1] = {**keys[1], "default": chance.choice([30, 30, 40])}
        groups = [
            {"name": "free", "labels": {"ring": "early"}, "values": {"session.minutes": 20}},
            {"name": "paid", "labels": {"ring": chance.choice(["main", "main", "early"])}},
            {"name": "trial", "labels": {"ring": "main"}},
        ]
        made: Body = {
            **base,
            "keys": keys,
            "groups": groups[: chance.choice([1, 2, 2, 3])] if chance.random() < 0.9 else groups[1:],
            "outputs": [*base["outputs"], *OUTPUTS],
            "users": {"delivery": chance.choice(["Sharded", "Sharded", "PerUser", "None"])},
        }
        if chance.random() < 0.3:
            made["revisionHistoryLimit"] = chance.choice([1, 2])
        strategy = chance.choice(STRATEGIES) if chance.random() < 0.6 else None
        if strategy is not None:
            made["strategy"] = strategy
        self._wrote(self.cluster.template({**made, **changes}))

    def broken_template(self) -> None:
        self.template(keys=[{"name": "x", "type": "Number", "default": "x"}])

    def strategy_of_template(self) -> None:
        """The same content, rolled out otherwise."""
        found = self._any(CONFIG_TEMPLATES)
        if found is not None:
            said = {name: value for name, value in found["spec"].items() if name != "strategy"}
            strategy = self.chance.choice(STRATEGIES)
            self._wrote(
                self.cluster.template({**said, **({} if strategy is None else {"strategy": strategy})})
            )

    def no_template(self) -> None:
        self._remove(CONFIG_TEMPLATES)

    def policy(self) -> None:
        chance = self.chance
        strategy, name, said = chance.choice(STRATEGIES), chance.choice(POLICIES), chance.choice(SAID)
        more: Body = {**chance.choice(SCOPES), **({} if strategy is None else {"strategy": strategy})}
        self._wrote(self.cluster.policy(name, said, priority=chance.choice([0, 0, 5]), **more))

    def strategy_of_policy(self) -> None:
        found = self._any(POLICY_ROLLOUTS)
        if found is not None:
            strategy = self.chance.choice(STRATEGIES)
            said = {name: value for name, value in found["spec"].items() if name != "strategy"}
            said |= {} if strategy is None else {"strategy": strategy}
            self.cluster.memory.put(POLICY_ROLLOUTS, {"metadata": found["metadata"], "spec": said})

    def no_policy(self) -> None:
        self._remove(POLICY_ROLLOUTS)

    def action(self) -> None:
        """Anything on anything, with what was previewed, something else, or nothing."""
        chance = self.chance
        kind, name = chance.choice(
            [("PolicyRollout", chance.choice([*POLICIES, "nobody"])), ("ConfigTemplate", "app")]
        )
        resource = POLICY_ROLLOUTS if kind == "PolicyRollout" else CONFIG_TEMPLATES
        status = (self.cluster.find(resource, name) or {}).get("status") or {}
        seen = (status.get("preview") or {}).get("hash")
        named = chance.choice([seen, seen, None, "stale"])
        more = {} if named is None else {"contentHash": named}
        self.cluster.act(chance.choice(ACTIONS), name, kind=kind, **more)

    def preference(self) -> None:
        chance = self.chance
        self.cluster.preference(chance.choice(USERS), chance.choice(VALUES), group=chance.choice(GROUPS))

    def no_preference(self) -> None:
        self._remove(USER_PREFERENCES)

    def edit(self) -> None:
        found = self._any(CONFIG_MAPS)
        if found is not None:
            data = {**(found.get("data") or {}), "ann.prefs.json": "theirs"}
            self.cluster.memory.put(CONFIG_MAPS, {**found, "data": data})

    def lose(self) -> None:
        self._remove(CONFIG_MAPS)

    def break_watches(self) -> None:
        self.cluster.memory.break_watches()

    def compact(self) -> None:
        self.cluster.memory.compact()

    def _wrote(self, made: Body) -> None:
        self.written.append({name: value for name, value in made["spec"].items() if name != "strategy"})

    def _any(self, resource: Resource) -> Body | None:
        found = self.cluster.memory.objects(resource)
        return self.chance.choice(found) if found else None

    def _remove(self, resource: Resource) -> None:
        found = self._any(resource)
        if found is not None:
            self.cluster.remove(resource, found["metadata"]["name"])


_OFTEN: tuple[tuple[int, Callable[[Crowd], None]], ...] = (
    (5, Crowd.template),
    (1, Crowd.broken_template),
    (1, Crowd.no_template),
    (2, Crowd.strategy_of_template),
    (8, Crowd.policy),
    (3, Crowd.strategy_of_policy),
    (2, Crowd.no_policy),
    (9, Crowd.action),
    (4, Crowd.preference),
    (1, Crowd.no_preference),
    (1, Crowd.edit),
    (1, Crowd.lose),
    (1, Crowd.break_watches),
    (1, Crowd.compact),
)
DEEDS = [deed for weight, deed in _OFTEN for _ in range(weight)]
