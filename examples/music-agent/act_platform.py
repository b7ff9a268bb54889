"""Act 2: the platform team changes the template: rightly, and wrongly. And the last act: everything goes."""

from __future__ import annotations

import yaml
from scene import MUSIC, TEMPLATE, Scene, ready, rolled_out

from trimtab.kube.resources import CONFIG_MAPS


class Platform(Scene):
    """One change that restarts a workload, and one that is refused."""

    async def restart(self) -> None:
        self.tell.title(
            "The platform team moves the free tier to another provider: its workload restarts, no other"
        )
        before = self.digests()
        await self.patch_template("add", "/spec/groups/0/values/agent.provider", "local")
        await self.cluster.deployments.until(
            "the free tier's Deployment has restarted",
            lambda: self.digests()["free"] != before["free"] and rolled_out(self.deployment("free")),
        )
        provider = self.output(f"{TEMPLATE}-free")["APP_AGENT_PROVIDER"]
        self.check(provider == "local", "ConfigMap music-agent-free: APP_AGENT_PROVIDER=local")
        await self.show("get", "deploy", "-n", MUSIC)
        self.check(
            self.restarted_since(before) == ["free"],
            "music-agent-free has rolled out anew; the others were not touched",
        )

    async def bad_template(self) -> None:
        self.tell.title("A template with a mistake changes nothing, anywhere")
        before = await self.versions()
        await self.patch_template("replace", "/spec/groups/1/values/session.minutes", 1000)
        await self.cluster.templates.until(
            "the template is Rejected", lambda: ready(self.template, "False", "Rejected")
        )
        await self.show("get", "ctmpl", "-n", MUSIC)
        refused = self.template["status"]["violations"]
        self.tell.output(yaml.safe_dump({"violations": refused}, sort_keys=False, width=105))
        self.check(
            await self.versions() == before,
            f"all {len(before)} outputs are still the same, version for version",
        )
        await self.patch_template("replace", "/spec/groups/1/values/session.minutes", 120)
        await self.cluster.templates.until(
            "the template is Rendered", lambda: ready(self.template, "True", "Rendered")
        )
        self.tell.fact("corrected: Ready again")


class Leaving(Scene):
    """What goes, and what stays."""

    async def leave(self) -> None:
        self.tell.title("A user leaves: what was rendered for them goes")
        shard = self.document("alice")[0]
        await self.show("delete", "upref", "alice", "-n", MUSIC)
        await self.cluster.maps.until(
            "alice's file is gone",
            lambda: not any("alice.prefs.json" in m["data"] for m in self.cluster.maps.all()),
        )
        left = len(self.output(shard))
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
