"""Act 1: a template and its users: rendered files, edits, an invalid preference, explained values, drift."""

from __future__ import annotations

import base64
import json
import statistics
import time

import yaml
from mirror import Body
from scene import FOLDER, GROUPS, MUSIC, TEMPLATE, Scene, digest, documents, ready, rolled_out, there
from telling import milliseconds

from trimtab.kube.resources import CONFIG_MAPS, USER_PREFERENCES

EDITS = 20


class Users(Scene):
    """The template, its outputs, and four changes."""

    async def begin(self) -> None:
        users = [d for d in documents("preferences.yaml") if d["kind"] == "UserPreference"]
        self.tell.title(f"One template, three groups, {len(users)} users, three Deployments")
        self.tell.command("kubectl", "apply", "--server-side", "-f", FOLDER)
        await self.kubectl("apply", "--server-side", "-f", FOLDER)
        applied = time.perf_counter()
        template = await self.cluster.templates.until(
            "the template is Rendered",
            lambda: ready(self.cluster.templates.get(MUSIC, TEMPLATE), "True", "Rendered"),
        )
        served = await self.cluster.preferences.until(
            "every preference is Accepted",
            lambda: sum(ready(p, "True", "Accepted") for p in self.cluster.preferences.all()) == len(users),
        )
        waited = max(0.0, max(template.at, served.at) - applied)
        self.tell.fact(f"everything is valid and rendered {milliseconds(waited)} after kubectl returned")
        await self.cluster.deployments.until(
            "the three Deployments have restarted with it",
            lambda: all(digest(self.deployment(g)) and rolled_out(self.deployment(g)) for g in GROUPS),
        )
        await self.cluster.templates.until(
            "the template counts its users", lambda: self.counted("users") == len(users)
        )
        await self.cluster.groups.until(
            "the groups count their users",
            lambda: (
                sum((g.get("status") or {}).get("users", 0) for g in self.cluster.groups.all()) == len(users)
            ),
        )
        await self.show("get", "ctmpl,rgroup", "-n", MUSIC)
        self.tell.text("accepted, with warnings for their authors:")
        for preference in self.cluster.preferences.all():
            for said in preference["status"].get("warnings", ()):
                self.tell.output(f"{preference['metadata']['name']}: {said['key']} {said['message']}")

    def rendered(self) -> None:
        self.tell.title("The outputs: a ConfigMap and a Secret for each group, small shards for its users")
        for item in [*self.cluster.maps.all(), *self.cluster.secrets.all()]:
            kind = "Secret" if item in self.cluster.secrets.all() else "ConfigMap"
            data = item["data"]
            size = sum(len(_decoded(text) if kind == "Secret" else text) for text in data.values())
            entries = ", ".join(sorted(data)) if len(data) < 7 else f"{len(data)} users' files"
            self.tell.output(f"{kind:9}  {item['metadata']['name']:25}  {size:5} bytes  {entries}")
        free = self.output(f"{TEMPLATE}-free")
        self.tell.text(f"in {TEMPLATE}-free, for envFrom and as a file:")
        self.tell.output(
            "\n".join(f"{name}={free[name]}" for name in sorted(free) if name.startswith("APP_"))
        )
        self.tell.output(free["config.yaml"])
        shard, text = self.document("alice")
        self.tell.text(f"in {shard}, alice.prefs.json:")
        self.tell.output(text)
        self.check(self._secrets_in(self.cluster.secrets.all()), "the sensitive value is in the Secrets")
        self.check(not self._secrets_in(self.cluster.maps.all()), "and in no ConfigMap of Trimtab")

    def _secrets_in(self, outputs: list[Body]) -> bool:
        """Whether any of the template's sensitive values is in there."""
        spec = self.template["spec"]
        keys = {key["name"] for key in spec["keys"] if key.get("sensitive")}
        values = [str(v) for p in spec["profiles"] for key, v in p["values"].items() if key in keys]
        texts = [form for o in outputs for text in o["data"].values() for form in (text, _decoded(text))]
        return any(value in text for value in values for text in texts)

    async def edit(self) -> None:
        self.tell.title("A user edits a preference twenty times")
        self.tell.text("time from each edit until a watch shows the changed file:")
        took = [await self._timed_edit(round(0.1 + number / 20, 2)) for number in range(EDITS)]
        for row in (took[:10], took[10:]):
            self.tell.output("  ".join(f"{seconds * 1000:5.1f}" for seconds in row) + "  ms")
        middle = statistics.median(took)
        self.tell.fact(f"median {milliseconds(middle)}, slowest {milliseconds(max(took))}; the file now:")
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
        self.tell.title(
            "Another user makes mistakes: the operator rejects them, and the last valid values stay in force"
        )
        before = self.document("bela")[1]
        await self.set_values(
            "bela", {"agent.tempature": 0.4, "agent.temperature": None, "player.volume": 350}
        )
        await self.cluster.preferences.until(
            "bela's preference is Invalid", lambda: ready(self.preference("bela"), "False", "Invalid")
        )
        await self.cluster.templates.until(
            "the template counts the invalid preference",
            lambda: self.counted("invalidUsers") == 1,
        )
        await self.trimtab("status", "-n", MUSIC, code=1)
        violations = self.preference("bela")["status"]["violations"]
        self.tell.output(yaml.safe_dump({"violations": violations}, sort_keys=False, width=105))
        nearest = {v["key"]: v.get("nearest") for v in violations}
        wanted = {"agent.tempature": "agent.temperature", "player.volume": "100"}
        self.check(nearest == wanted, "each violation shows the nearest valid name or value")
        self.check(self.document("bela")[1] == before, "bela's file is byte for byte the same as before")
        await self.set_values(
            "bela", {"agent.tempature": None, "agent.temperature": 0.4, "player.volume": 40}
        )
        await self.cluster.preferences.until(
            "bela's preference is Accepted", lambda: ready(self.preference("bela"), "True", "Accepted")
        )
        volume = json.loads(self.document("bela")[1])["player"]["volume"]
        self.check(volume == 40, "corrected: the preference is Ready again, and its values are in force")

    async def explain(self) -> None:
        self.tell.title("Which layer set a value, and what did it override?")
        for key in ("agent.temperature", "taste.genres"):
            await self.trimtab("explain", TEMPLATE, "alice", key, "-n", MUSIC)

    async def drift(self) -> None:
        self.tell.title("Another client edits an output: the operator reverts the change")
        name = f"{TEMPLATE}-pro"
        before = self.output(name)
        patch = {"data": {"APP_AGENT_MODEL": "tiny"}}
        sent = time.perf_counter()
        edited = await self.cluster.client.merge_patch(CONFIG_MAPS, MUSIC, name, patch)
        self.check(edited["data"]["APP_AGENT_MODEL"] == "tiny", f"{name} now has APP_AGENT_MODEL=tiny")

        def reverted() -> bool:
            now = there(self.cluster.maps.get(MUSIC, name), name)
            return bool(_version(now) > _version(edited) and now["data"] == before)

        seen = await self.cluster.maps.until("the change is reverted", reverted)
        model = before["APP_AGENT_MODEL"]
        self.tell.fact(f"{milliseconds(seen.at - sent)} later it has APP_AGENT_MODEL={model} again")


def _version(item: Body) -> int:
    return int(item["metadata"]["resourceVersion"])


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except ValueError:
        return ""
