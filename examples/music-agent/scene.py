"""The base of all acts: commands that are shown and run, lookups, and checks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from mirror import MANAGED, PATIENCE, Body, Cluster, DemoError, Mirror, Seen
from stage import Stage
from telling import Telling

from trimtab.core import naming
from trimtab.kube.resources import CONFIG_MAPS, SECRETS

HERE = Path(__file__).parent
FOLDER = os.path.relpath(HERE)
MUSIC, TEMPLATE = "music", "music-agent"
GROUPS = ("free", "pro", "team")
ROLLOUT = 3 * PATIENCE
"""Timeout of a rollout, in seconds. Here a rollout takes some seconds, most of them soaks."""
_TOLD = ("phase", "wave", "updated", "message")
T = TypeVar("T")


class Scene:
    """``stage`` is the control plane with the operator, ``cluster`` the live view of it."""

    def __init__(self, stage: Stage, cluster: Cluster, tell: Telling) -> None:
        self.stage, self.cluster, self.tell = stage, cluster, tell

    # Lookups.

    @property
    def template(self) -> Body:
        return there(self.cluster.templates.get(MUSIC, TEMPLATE), "the template")

    def counted(self, what: str) -> int:
        """A counter of the template's status. The operator updates it at most a second late."""
        return int(self.template["status"].get(what, 0))

    def preference(self, name: str) -> Body:
        return there(self.cluster.preferences.get(MUSIC, name), f"UserPreference {name}")

    def rollout(self, name: str) -> Body:
        return there(self.cluster.rollouts.get(MUSIC, name), f"PolicyRollout {name}")

    def group(self, name: str) -> Body:
        return there(self.cluster.groups.get(MUSIC, f"{TEMPLATE}-{name}"), f"RenderedGroup of {name}")

    def deployment(self, group: str) -> Body:
        return there(self.cluster.deployments.get(MUSIC, f"{TEMPLATE}-{group}"), f"Deployment of {group}")

    def output(self, name: str) -> dict[str, str]:
        """The data of a ConfigMap of Trimtab."""
        data: dict[str, str] = there(self.cluster.maps.get(MUSIC, name), f"ConfigMap {name}")["data"]
        return data

    def document(self, user: str) -> tuple[str, str]:
        """The shard that holds a user's file, and its text."""
        for output in self.cluster.maps.all():
            text = output["data"].get(f"{user}.prefs.json")
            if text is not None:
                return output["metadata"]["name"], text
        raise DemoError(f"no shard holds a file of {user}")

    async def versions(self, *groups: str) -> dict[str, str]:
        """The current resourceVersions of all outputs of these groups (default: all groups)."""
        return {
            item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
            for resource in (CONFIG_MAPS, SECRETS)
            async for page in self.cluster.client.pages(resource, dict, selector=MANAGED)
            for item in page.items or ()
            if item["metadata"]["labels"][naming.LABEL_GROUP] in (groups or GROUPS)
        }

    def digests(self) -> dict[str, str | None]:
        """The digest annotations of the groups' pod templates."""
        return {group: digest(self.deployment(group)) for group in GROUPS}

    def transitions(self, name: str) -> list[Body]:
        """The transitions of a PolicyRollout, oldest first."""
        said: list[Body] = self.rollout(name)["status"].get("transitions", [])
        return sorted(said, key=lambda transition: transition["number"])

    def restarted_since(self, before: dict[str, str | None]) -> list[str]:
        """The groups whose pod templates have a digest other than ``before``. Shows all digests."""
        self.tell.text(f"annotation {naming.ANNOTATION_DIGEST} of their pod templates:")
        after = self.digests()
        for name, now in after.items():
            was = before[name]
            self.tell.output(f"{name:5} {now}" + (f", was {was}" if was != now else ", unchanged"))
        return [name for name, now in after.items() if now != before[name]]

    # Actions.

    @contextlib.asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[Callable[[str, str], Awaitable[list[str]]]]:
        """Record every change of a PolicyRollout. The function that it yields shows them until the rollout has a phase
        and a value of ``updated``, and returns all observed phases."""
        with self.cluster.rollouts.heard() as versions:
            began = time.perf_counter()
            yield lambda phase, updated: self._follow(name, versions, began, (phase, updated))

    async def _follow(
        self, name: str, versions: asyncio.Queue[Seen[Body]], began: float, end: tuple[str, str]
    ) -> list[str]:
        told: list[tuple[str, ...]] = []
        self.tell.text("changes of its status (also: kubectl get prollout -w, trimtab rollout watch):")
        try:
            async with asyncio.timeout(ROLLOUT):
                while True:
                    seen = await versions.get()
                    status = seen.value.get("status") or {}
                    if seen.value["metadata"]["name"] != name or not status.get("phase"):
                        continue
                    now = tuple(str(status.get(each) or "") for each in _TOLD)
                    if told[-1:] != [now]:
                        told.append(now)
                        self.tell.progress(seen.at - began, now[:3], now[3])
                    if (now[0], now[2]) == end and current(seen.value):
                        return list(dict.fromkeys(phase for phase, *_ in told))
        except TimeoutError:
            raise DemoError(
                f"timed out after {ROLLOUT:.0f}s, waiting until {name} is {end[0]}, with {end[1]} of its groups updated"
            ) from None

    def check(self, holds: object, what: str) -> None:
        """:raises DemoError: it does not hold."""
        if not holds:
            raise DemoError(f"not true: {what}")
        self.tell.fact(what)

    async def comes(self, mirror: Mirror, what: str, look: Callable[[], object]) -> None:
        """Wait until the condition is true, and show it."""
        await mirror.until(what, look)
        self.tell.fact(what)

    async def kubectl(self, *words: str) -> str:
        done = await asyncio.to_thread(self.stage.sandbox.kubectl, *words)
        return done.stdout

    async def show(self, *words: str, prose: bool = False) -> str:
        """Run kubectl, and show the command and its output."""
        self.tell.command("kubectl", *words)
        said = await self.kubectl(*words)
        self.tell.output(said, prose=prose)
        return said

    async def apply(self, file: str) -> str:
        return await self.show("apply", "--server-side", "-f", os.path.join(FOLDER, file))

    async def set_values(self, user: str, values: Body) -> None:
        patch = json.dumps({"spec": {"values": values}})
        await self.show("patch", "upref", user, "-n", MUSIC, "--type=merge", "-p", patch)

    async def patch_template(self, operation: str, path: str, value: Any) -> None:
        patch = json.dumps([{"op": operation, "path": path, "value": value}])
        await self.show("patch", "ctmpl", TEMPLATE, "-n", MUSIC, "--type=json", "-p", patch)

    async def trimtab(self, *words: str, code: int = 0, who: str = "", most: int = 40) -> str:
        """Run a verb of trimtab against the sandbox, show its output, and return it.

        ``who`` is a user other than the admin, with a kubeconfig of that name in the stage's folder.

        :raises DemoError: its exit code is not ``code``.
        """
        kubeconfig = self.stage.folder / who if who else self.stage.sandbox.kubeconfig
        self.tell.command(*([f"KUBECONFIG={who}"] if who else []), "trimtab", *words)
        verb = [sys.executable, "-m", "trimtab", *words]
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                verb,
                env={**os.environ, "KUBECONFIG": str(kubeconfig), "COLUMNS": "116"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise DemoError(f"`trimtab {shlex.join(words)}` did not end within {PATIENCE:.0f} s") from None
        if done.returncode != code:
            raise DemoError(
                f"`trimtab {shlex.join(words)}` ended with exit code {done.returncode}: {done.stderr}"
            )
        said = str(done.stderr if who and code else done.stdout)
        self.tell.output(said, most=most, prose=True)
        return said


def there(found: T | None, what: str) -> T:
    """:raises DemoError: it is not."""
    if found is None:
        raise DemoError(f"{what} is not there")
    return found


def ready(item: Body | None, status: str, reason: str) -> bool:
    """Whether the object's Ready condition has this status and reason, for its current generation."""
    if item is None or not current(item):
        return False
    return any(
        (c["type"], c["status"], c["reason"]) == ("Ready", status, reason)
        for c in item["status"].get("conditions", ())
    )


def current(item: Body) -> bool:
    """Whether its status describes its current generation."""
    return bool((item.get("status") or {}).get("observedGeneration") == item["metadata"]["generation"])


def rolled_out(deployment: Body) -> bool:
    """Whether the rollout is complete, as `kubectl rollout status` defines it."""
    wanted, status = deployment["spec"]["replicas"], deployment["status"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [wanted] * 3
    )


def digest(deployment: Body) -> str | None:
    annotations: dict[str, str] = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return annotations.get(naming.ANNOTATION_DIGEST)


def documents(file: str) -> list[Body]:
    """The objects in a file of the example."""
    return list(yaml.safe_load_all((HERE / file).read_text()))
