"""What the demo shows, step by step. Each one acts, waits until it has come true, and shows the real objects."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from stage import Body, Cluster, DemoError, Stage
from telling import Telling, milliseconds

from trimtab.core import naming
from trimtab.kube.resources import CONFIG_MAPS, USER_PREFERENCES

HERE = Path(__file__).parent
FOLDER = os.path.relpath(HERE)
MUSIC, TEMPLATE = "music", "music-agent"
GROUPS = ("free", "pro", "team")
EDITS = 20


class Story:
    """The steps, in order. ``stage`` is what they are played on, ``cluster`` what they see."""

    def __init__(self, stage: Stage, cluster: Cluster, tell: Telling) -> None:
        self.stage, self.cluster, self.tell = stage, cluster, tell

    async def tell_all(self) -> None:
        await self.apply()
        self.rendered()
        await self.edit()
        await self.mistake()
        await self.explain()
        await self.hand_edit()
        await self.restart()
        await self.bad_template()
        await self.leave()
        if not self.stage.keep:
            await self.remove()

    # The steps.

    async def apply(self) -> None:
        users = [d for d in _documents("preferences.yaml") if d["kind"] == "UserPreference"]
        self.tell.title(f"One template, three groups, {len(users)} users, three Deployments")
        self.tell.command("kubectl", "apply", "--server-side", "-f", FOLDER)
        await self.kubectl("apply", "--server-side", "-f", FOLDER)
        applied = time.perf_counter()
        template = await self.cluster.templates.until(
            "the template is Rendered", lambda: _ready(self.template, "True", "Rendered")
        )
        served = await self.cluster.preferences.until(
            "every preference is Accepted",
            lambda: sum(_ready(p, "True", "Accepted") for p in self.cluster.preferences.all()) == len(users),
        )
        waited = max(0.0, max(template.at, served.at) - applied)
        self.tell.fact(
            f"all of it valid, rendered and in force {milliseconds(waited)} after kubectl was done"
        )
        await self.cluster.deployments.until(
            "the three Deployments run on it",
            lambda: all(_digest(self.deployment(g)) and _rolled_out(self.deployment(g)) for g in GROUPS),
        )
        await self.cluster.templates.until(
            "the template counts its users", lambda: self.counted("users") == len(users)
        )
        await self.cluster.groups.until(
            "the groups count theirs",
            lambda: sum(g["status"].get("users", 0) for g in self.cluster.groups.all()) == len(users),
        )
        await self.show("get", "ctmpl,rgroup", "-n", MUSIC)
        self.tell.text("accepted, but their authors are told:")
        for preference in self.cluster.preferences.all():
            for said in preference["status"].get("warnings", ()):
                self.tell.output(f"{preference['metadata']['name']}: {said['key']} {said['message']}")

    def rendered(self) -> None:
        self.tell.title("What that made: a ConfigMap and a Secret for each group, small shards for its users")
        for item in [*self.cluster.maps.all(), *self.cluster.secrets.all()]:
            kind = "Secret" if item in self.cluster.secrets.all() else "ConfigMap"
            data = item["data"]
            size = sum(len(_decoded(text) if kind == "Secret" else text) for text in data.values())
            entries = ", ".join(sorted(data)) if len(data) < 7 else f"{len(data)} users' files"
            self.tell.output(f"{kind:9}  {item['metadata']['name']:25}  {size:5} bytes  {entries}")
        free = _there(self.cluster.maps.get(MUSIC, f"{TEMPLATE}-free"), "the group's ConfigMap")["data"]
        self.tell.text(f"in {TEMPLATE}-free, for envFrom and as a file:")
        self.tell.output(
            "\n".join(f"{name}={free[name]}" for name in sorted(free) if name.startswith("APP_"))
        )
        self.tell.output(free["config.yaml"])
        shard, text = self.document("alice")
        self.tell.text(f"in {shard}, alice.prefs.json:")
        self.tell.output(text)
        self.check(self._secrets_in(self.cluster.secrets.all()), "the sensitive value is in the Secrets")
        self.check(not self._secrets_in(self.cluster.maps.all()), "and in no ConfigMap of Trimtab's")

    def _secrets_in(self, outputs: list[Body]) -> bool:
        """Whether any of the template's sensitive values is in there."""
        spec = _there(self.template, "the template")["spec"]
        keys = {key["name"] for key in spec["keys"] if key.get("sensitive")}
        values = [str(v) for p in spec["profiles"] for key, v in p["values"].items() if key in keys]
        texts = [form for o in outputs for text in o["data"].values() for form in (text, _decoded(text))]
        return any(value in text for value in values for text in texts)

    async def edit(self) -> None:
        self.tell.title("A user changes their mind, twenty times")
        self.tell.text("each time from sending the edit until a watch shows the user's file changed:")
        took = [await self._timed_edit(round(0.1 + number / 20, 2)) for number in range(EDITS)]
        for row in (took[:10], took[10:]):
            self.tell.output("  ".join(f"{seconds * 1000:5.1f}" for seconds in row) + "  ms")
        middle = statistics.median(took)
        self.tell.fact(
            f"median {milliseconds(middle)}, slowest {milliseconds(max(took))}; the file now says:"
        )
        self.tell.output(self.document("alice")[1])

    async def _timed_edit(self, temperature: float) -> float:
        patch = {"spec": {"values": {"agent.temperature": temperature}}}
        sent = time.perf_counter()
        await self.cluster.client.merge_patch(USER_PREFERENCES, MUSIC, "alice", patch)
        seen = await self.cluster.maps.until(
            f"alice's file has temperature {temperature}",
            lambda: json.loads(self.document("alice")[1])["agent"]["temperature"] == temperature,
        )
        return seen.at - sent

    async def mistake(self) -> None:
        self.tell.title("Another one gets it wrong: refused, with reasons; the last good values stay")
        before = self.document("bela")[1]
        await self.set_values(
            "bela", {"agent.tempature": 0.4, "agent.temperature": None, "player.volume": 350}
        )
        await self.cluster.preferences.until(
            "bela's preference is Invalid", lambda: _ready(self.preference("bela"), "False", "Invalid")
        )
        await self.cluster.templates.until(
            "the template counts the refused one",
            lambda: self.counted("invalidUsers") == 1,
        )
        await self.trimtab("status", "-n", MUSIC, code=1)
        violations = self.preference("bela")["status"]["violations"]
        self.tell.output(yaml.safe_dump({"violations": violations}, sort_keys=False, width=105))
        nearest = {v["key"]: v.get("nearest") for v in violations}
        wanted = {"agent.tempature": "agent.temperature", "player.volume": "100"}
        self.check(nearest == wanted, "each violation names the nearest name or value that would do")
        self.check(self.document("bela")[1] == before, "bela's file is, byte for byte, what it was")
        await self.set_values(
            "bela", {"agent.tempature": None, "agent.temperature": 0.4, "player.volume": 40}
        )
        await self.cluster.preferences.until(
            "bela's preference is Accepted", lambda: _ready(self.preference("bela"), "True", "Accepted")
        )
        volume = json.loads(self.document("bela")[1])["player"]["volume"]
        self.check(volume == 40, "corrected: Ready again, and in force")

    async def explain(self) -> None:
        self.tell.title("Who set this value, and what did it hide?")
        for key in ("agent.temperature", "taste.genres"):
            await self.trimtab("explain", TEMPLATE, "alice", key, "-n", MUSIC)

    async def hand_edit(self) -> None:
        self.tell.title("Somebody edits an output by hand: it is put back")
        name = f"{TEMPLATE}-pro"
        before = _there(self.cluster.maps.get(MUSIC, name), name)["data"]
        patch = {"data": {"APP_AGENT_MODEL": "tiny"}}
        sent = time.perf_counter()
        edited = await self.cluster.client.merge_patch(CONFIG_MAPS, MUSIC, name, patch)
        self.check(edited["data"]["APP_AGENT_MODEL"] == "tiny", f"{name} says APP_AGENT_MODEL=tiny")

        def mended() -> bool:
            now = _there(self.cluster.maps.get(MUSIC, name), name)
            return bool(_version(now) > _version(edited) and now["data"] == before)

        seen = await self.cluster.maps.until("the hand edit is put back", mended)
        model = before["APP_AGENT_MODEL"]
        self.tell.fact(f"{milliseconds(seen.at - sent)} later it says APP_AGENT_MODEL={model} again")

    async def restart(self) -> None:
        self.tell.title(
            "The platform team moves the free tier to another provider: its workload restarts, no other"
        )
        before = {name: self.deployment(name) for name in GROUPS}
        await self.patch_template("add", "/spec/groups/0/values/agent.provider", "local")

        def settled() -> bool:
            now = self.deployment("free")
            return _digest(now) != _digest(before["free"]) and _rolled_out(now)

        await self.cluster.deployments.until("the free tier's Deployment has restarted", settled)
        free = _there(self.cluster.maps.get(MUSIC, f"{TEMPLATE}-free"), "the group's ConfigMap")["data"]
        self.check(
            free["APP_AGENT_PROVIDER"] == "local", "ConfigMap music-agent-free: APP_AGENT_PROVIDER=local"
        )
        await self.show("get", "deploy", "-n", MUSIC)
        self.tell.text(f"annotation {naming.ANNOTATION_DIGEST} of their pod templates:")
        after = {name: _digest(self.deployment(name)) for name in GROUPS}
        for name, digest in after.items():
            old = _digest(before[name])
            self.tell.output(f"{name:5} {digest}" + (f", was {old}" if old != digest else ", as before"))
        same = [after[name] == _digest(before[name]) for name in ("pro", "team")]
        self.check(all(same), "music-agent-free has rolled out anew; the others were not touched")

    async def bad_template(self) -> None:
        self.tell.title("A template with a mistake changes nothing, anywhere")
        before = self.versions()
        await self.patch_template("replace", "/spec/groups/1/values/session.minutes", 1000)
        await self.cluster.templates.until(
            "the template is Rejected", lambda: _ready(self.template, "False", "Rejected")
        )
        await self.show("get", "ctmpl", "-n", MUSIC)
        refused = _there(self.template, "the template")["status"]["violations"]
        self.tell.output(yaml.safe_dump({"violations": refused}, sort_keys=False, width=105))
        self.check(
            self.versions() == before, f"all {len(before)} outputs are still the same, version for version"
        )
        await self.patch_template("replace", "/spec/groups/1/values/session.minutes", 120)
        await self.cluster.templates.until(
            "the template is Rendered", lambda: _ready(self.template, "True", "Rendered")
        )
        self.tell.fact("corrected: Ready again")

    async def leave(self) -> None:
        self.tell.title("A user leaves: what was rendered for them goes")
        shard = self.document("alice")[0]
        await self.show("delete", "upref", "alice", "-n", MUSIC)
        await self.cluster.maps.until(
            "alice's file is gone",
            lambda: not any("alice.prefs.json" in m["data"] for m in self.cluster.maps.all()),
        )
        left = len(_there(self.cluster.maps.get(MUSIC, shard), shard)["data"])
        self.tell.fact(f"alice.prefs.json is gone from {shard}; the {left} others in it stay")

    async def remove(self) -> None:
        self.tell.title("The template goes, and everything that was made of it, and nothing else")
        bystander = {
            "metadata": {"name": "bystander", "namespace": MUSIC},
            "data": {"made-by": "somebody else"},
        }
        await self.cluster.client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", **bystander})
        await self.show("delete", "ctmpl", TEMPLATE, "-n", MUSIC)
        await self.cluster.maps.until(
            "no ConfigMap of Trimtab's is left", lambda: not self.cluster.maps.all()
        )
        await self.cluster.secrets.until(
            "no Secret of Trimtab's is left", lambda: not self.cluster.secrets.all()
        )
        await self.cluster.groups.until("no RenderedGroup is left", lambda: not self.cluster.groups.all())
        await self.show("get", "cm,secret,rgroup", "-n", MUSIC)
        await self.cluster.client.get(CONFIG_MAPS, MUSIC, "bystander")
        self.tell.fact("only what Trimtab did not make is left")

    # What there is.

    @property
    def template(self) -> Body | None:
        return self.cluster.templates.get(MUSIC, TEMPLATE)

    def counted(self, what: str) -> int:
        """A counter of the template's status; it follows its changes by a second at most."""
        return int(_there(self.template, "the template")["status"].get(what, 0))

    def preference(self, name: str) -> Body:
        return _there(self.cluster.preferences.get(MUSIC, name), f"UserPreference {name}")

    def deployment(self, group: str) -> Body:
        return _there(self.cluster.deployments.get(MUSIC, f"{TEMPLATE}-{group}"), f"Deployment of {group}")

    def document(self, user: str) -> tuple[str, str]:
        """The shard that holds a user's file, and its text."""
        for output in self.cluster.maps.all():
            text = output["data"].get(f"{user}.prefs.json")
            if text is not None:
                return output["metadata"]["name"], text
        raise DemoError(f"no shard holds a file of {user}")

    def versions(self) -> dict[str, str]:
        outputs = [*self.cluster.maps.all(), *self.cluster.secrets.all()]
        return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in outputs}

    # What is done.

    def check(self, holds: object, what: str) -> None:
        """:raises DemoError: it does not hold."""
        if not holds:
            raise DemoError(f"not true: {what}")
        self.tell.fact(what)

    async def kubectl(self, *words: str) -> str:
        done = await asyncio.to_thread(self.stage.sandbox.kubectl, *words)
        return done.stdout

    async def show(self, *words: str) -> None:
        """Run kubectl, and show what was run and what it printed."""
        self.tell.command("kubectl", *words)
        self.tell.output(await self.kubectl(*words))

    async def set_values(self, user: str, values: Body) -> None:
        patch = json.dumps({"spec": {"values": values}})
        await self.show("patch", "upref", user, "-n", MUSIC, "--type=merge", "-p", patch)

    async def patch_template(self, operation: str, path: str, value: Any) -> None:
        patch = json.dumps([{"op": operation, "path": path, "value": value}])
        await self.show("patch", "ctmpl", TEMPLATE, "-n", MUSIC, "--type=json", "-p", patch)

    async def trimtab(self, *words: str, code: int = 0) -> None:
        """Run one of trimtab's own verbs against the sandbox, and show it; its exit code must be ``code``."""
        self.tell.command("trimtab", *words)
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "trimtab", *words],
            env={**os.environ, "KUBECONFIG": str(self.stage.sandbox.kubeconfig), "COLUMNS": "116"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != code:
            raise DemoError(
                f"`trimtab {shlex.join(words)}` ended with exit code {done.returncode}: {done.stderr}"
            )
        self.tell.output(done.stdout)


def _there(found: Body | None, what: str) -> Body:
    if found is None:
        raise DemoError(f"{what} is not there")
    return found


def _ready(item: Body | None, status: str, reason: str) -> bool:
    """Whether the object's Ready condition says so, of its present generation."""
    said = (item or {}).get("status") or {}
    if item is None or said.get("observedGeneration") != item["metadata"]["generation"]:
        return False
    return any(
        (c["type"], c["status"], c["reason"]) == ("Ready", status, reason) for c in said.get("conditions", ())
    )


def _rolled_out(deployment: Body) -> bool:
    """As `kubectl rollout status` has it."""
    wanted, status = deployment["spec"]["replicas"], deployment["status"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [wanted] * 3
    )


def _digest(deployment: Body) -> str | None:
    annotations: dict[str, str] = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return annotations.get(naming.ANNOTATION_DIGEST)


def _version(item: Body) -> int:
    return int(item["metadata"]["resourceVersion"])


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return ""


def _documents(file: str) -> list[Body]:
    return list(yaml.safe_load_all((HERE / file).read_text()))
