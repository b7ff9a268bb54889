"""The sandbox is a real control plane, only reachable by its user, that stops with its owner."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.crashing_pods import PodCrashes
from trimtab import admission
from trimtab.sandbox import (
    InvalidNameError,
    KubectlError,
    Sandbox,
    SandboxExistsError,
    SandboxNotFoundError,
    StartError,
    components,
)
from trimtab.sandbox.paths import builds_root
from trimtab.sandbox.processes import Process, kill

pytestmark = pytest.mark.cluster

POLICIES = list(yaml.safe_load_all(admission.text()))
OWNER = """
import sys
from trimtab.sandbox import Sandbox
sandbox = Sandbox.start("owned")
print("up", flush=True)
sys.stdin.read()
"""


def until(reached: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.05)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache with this machine's builds and no sandboxes. Kills processes that a test leaves in it."""
    builds = builds_root()
    root = tmp_path / "trimtab"
    root.mkdir()
    (root / "controlplane").symlink_to(builds)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield root
    for record in root.glob("sandboxes/*/sandbox.json"):
        named = json.loads(record.read_text())["components"].values()
        kill([Process(**process) for process in named])


def sandbox_command(*args: str) -> list[str]:
    return [sys.executable, "-m", "trimtab.sandbox", *args]


def sandbox_cli(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(sandbox_command(*args), capture_output=True, text=True, check=False)


def status_of(name: str) -> dict[str, Any]:
    return json.loads(sandbox_cli("status", "--name", name, "-o", "json").stdout)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox with a node, shared by the tests that only read it."""
    began = time.monotonic()
    with Sandbox.start(nodes=1) as started:
        print(f"sandbox with 1 node up in {time.monotonic() - began:.1f} s")
        yield started


def test_two_sandboxes_run_at_the_same_time_independently(own_cache: Path) -> None:
    ups = [subprocess.Popen(sandbox_command("up", "--name", name)) for name in ("one", "two")]
    assert [up.wait() for up in ups] == [0, 0]
    one, two = status_of("one"), status_of("two")
    assert one["state"] == two["state"] == "Running"
    assert one["server"] != two["server"]

    assert sandbox_cli("kubectl", "--name", "one", "--", "create", "namespace", "mine").returncode == 0
    assert sandbox_cli("kubectl", "--name", "one", "--", "get", "namespace", "mine").returncode == 0
    elsewhere = sandbox_cli("kubectl", "--name", "two", "--", "get", "namespace", "mine")
    assert elsewhere.returncode == 1
    assert "NotFound" in elsewhere.stderr

    again = sandbox_cli("up", "--name", "one")
    assert again.returncode == 0
    assert "already running" in again.stdout
    assert status_of("one")["components"] == one["components"]

    assert sandbox_cli("down", "--name", "one").returncode == 0
    assert sandbox_cli("down", "--name", "one").returncode == 0
    assert sandbox_cli("status", "--name", "one").returncode == 1
    assert not (own_cache / "sandboxes" / "one").exists()
    assert not any(Process.of(component["pid"]) for component in one["components"])
    assert sandbox_cli("status", "--name", "two").returncode == 0
    assert sandbox_cli("down", "--name", "two").returncode == 0


def test_path_prints_nothing_but_the_path(sandbox: Sandbox) -> None:
    printed = sandbox_cli("path", "kubeconfig", "--name", sandbox.name)
    assert printed.stdout == f"{sandbox.kubeconfig}\n"
    assert printed.stderr == ""
    assert sandbox_cli("path", "logs", "--name", sandbox.name).stdout == f"{sandbox.logs}\n"

    kubectl = sandbox_cli("path", "kubectl", "--name", sandbox.name).stdout.strip()
    version = subprocess.run(
        [kubectl, "--kubeconfig", str(sandbox.kubeconfig), "version", "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    versions = json.loads(version.stdout)
    assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"]
    assert versions["serverVersion"]["gitVersion"] == sandbox.status().version


def test_it_comes_with_the_admission_policies_and_without_the_crds(sandbox: Sandbox) -> None:
    shipped = [f"{d['kind'].lower()}.admissionregistration.k8s.io/{d['metadata']['name']}" for d in POLICIES]
    kinds = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    found = sandbox.kubectl("get", kinds, "-o", "name").stdout.split()
    assert sorted(found) == sorted(shipped)
    assert "trimtab.dev" not in sandbox.kubectl("get", "crd", "-o", "name").stdout

    # a later server-side apply, perhaps of another version, causes no conflict
    changed = [
        d | {"metadata": d["metadata"] | {"labels": {"app.kubernetes.io/part-of": "x"}}} for d in POLICIES
    ]
    sandbox.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(changed))
    sandbox.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(POLICIES))


def test_a_missing_sandbox_is_an_error_and_not_a_path(own_cache: Path) -> None:
    printed = sandbox_cli("path", "kubeconfig", "--name", "nobody")
    assert (printed.returncode, printed.stdout) == (1, "")
    with pytest.raises(SandboxNotFoundError, match="sandbox up --name nobody"):
        Sandbox.find("nobody")


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", "-a", "a-", "a" * 41, "a.b"])
def test_a_name_is_never_a_path(own_cache: Path, name: str) -> None:
    with pytest.raises(InvalidNameError):
        Sandbox.find(name)


def test_kubectl_reads_stdin_and_its_error_is_in_the_exception(sandbox: Sandbox) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fed"}, "data": {"a": "1"}}
    sandbox.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(manifest))
    assert sandbox.kubectl("get", "configmap", "fed", "-o", "jsonpath={.data.a}").stdout == "1"
    with pytest.raises(KubectlError, match='configmaps "nothing" not found'):
        sandbox.kubectl("get", "configmap", "nothing")


def test_a_running_name_is_not_started_twice(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxExistsError):
        Sandbox.start(sandbox.name)
    assert Sandbox.find(sandbox.name).server == sandbox.server


def test_every_listener_is_on_loopback(sandbox: Sandbox) -> None:
    mine = {socket for c in sandbox.status().components for socket in socket_inodes(c.pid)}
    addresses = {
        (fields[1].split(":")[0])
        for table in ("tcp", "tcp6", "udp", "udp6")
        for fields in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        if fields[9] in mine and (fields[3] == "0A" or table.startswith("udp"))
    }
    assert addresses == {"0100007F"}


def socket_inodes(pid: int) -> Iterator[str]:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").removesuffix("]")


def test_keys_are_readable_only_by_their_user(sandbox: Sandbox) -> None:
    files = [sandbox.kubeconfig, *(sandbox.directory / "pki").iterdir()]
    assert {file.stat().st_mode & 0o077 for file in files} == {0}
    assert sandbox.directory.stat().st_mode & 0o077 == 0


def test_a_deployments_pods_become_ready_on_a_kwok_node(sandbox: Sandbox) -> None:
    sandbox.kubectl("create", "deployment", "web", "--image=web", "--replicas=2")
    sandbox.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    pods = json.loads(sandbox.kubectl("get", "pods", "-l", "app=web", "-o", "json").stdout)["items"]
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-0"}


def test_a_pod_with_the_annotation_not_ready_runs_and_is_never_ready(sandbox: Sandbox) -> None:
    annotation = "sandbox.trimtab.dev/pod=NotReady"
    sandbox.kubectl("run", "sick", "--image=sick", f"--annotations={annotation}")
    sandbox.kubectl("wait", "pod/sick", "--for=jsonpath={.status.phase}=Running", "--timeout=60s")
    ready = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
    assert sandbox.kubectl("get", "pod", "sick", "-o", ready).stdout == "False"


@pytest.mark.parametrize(
    ("annotations", "condition"), [({}, "Complete"), ({"sandbox.trimtab.dev/pod": "Failed"}, "Failed")]
)
def test_a_job_ends_as_the_annotation_of_its_pods_specifies(
    sandbox: Sandbox, annotations: dict[str, str], condition: str
) -> None:
    name = f"job-{condition.lower()}"
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "main"}]}
    template = {"metadata": {"annotations": annotations}, "spec": pod}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": template},
    }
    sandbox.kubectl("create", "-f", "-", input=json.dumps(job))
    sandbox.kubectl("wait", f"job/{name}", f"--for=condition={condition}", "--timeout=60s")


def deployed(sandbox: Sandbox, name: str, annotations: dict[str, str]) -> None:
    labels = {"app": name}
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "main", "image": "main"}, {"name": "proxy", "image": "proxy"}]},
    }
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    meta = {"name": name, "namespace": "default"}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    sandbox.kubectl("create", "-f", "-", input=json.dumps(body))


def containers(sandbox: Sandbox, name: str) -> list[dict[str, Any]]:
    pods = json.loads(sandbox.kubectl("get", "pods", "-l", f"app={name}", "-o", "json").stdout)["items"]
    return [status for pod in pods for status in pod["status"].get("containerStatuses", ())]


def test_pods_with_a_digest_crash_again_and_again_and_others_do_not(sandbox: Sandbox) -> None:
    PodCrashes(sandbox.kubectl).start("feedbeef")
    deployed(sandbox, "crashing", {"trimtab.dev/digest": "feedbeef"})
    deployed(sandbox, "sound", {"trimtab.dev/digest": "feedbee0"})
    sandbox.kubectl("rollout", "status", "deployment/sound", "--timeout=60s")

    until(lambda: bool(containers(sandbox, "crashing")), "pods on nodes")
    counts = [status["restartCount"] for status in containers(sandbox, "crashing")]
    until(
        lambda: min(s["restartCount"] for s in containers(sandbox, "crashing")) > max(counts), "more restarts"
    )
    for status in containers(sandbox, "crashing"):
        assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert status["lastState"]["terminated"]["exitCode"] == 1
        assert not status["ready"]
    assert all(status["restartCount"] == 0 for status in containers(sandbox, "sound"))

    PodCrashes(sandbox.kubectl).stop("feedbeef")
    sandbox.kubectl("rollout", "status", "deployment/crashing", "--timeout=60s")


def test_pods_that_run_can_be_made_to_crash_for_any_reason(sandbox: Sandbox) -> None:
    deployed(sandbox, "sick", {"example.com/version": "3"})
    sandbox.kubectl("rollout", "status", "deployment/sick", "--timeout=60s")

    PodCrashes(sandbox.kubectl).start("3", "example.com/version", "CreateContainerConfigError")

    reasons = {status["state"]["waiting"]["reason"] for status in containers(sandbox, "sick")}
    assert reasons == {"CreateContainerConfigError"}
    PodCrashes(sandbox.kubectl).stop("3", "example.com/version")
    sandbox.kubectl("rollout", "status", "deployment/sick", "--timeout=60s")


@pytest.mark.parametrize("reason", ["CrashLoopBackOff", "ImagePullBackOff"])
def test_pods_with_the_annotation_do_not_start(sandbox: Sandbox, reason: str) -> None:
    name = reason.lower()
    deployed(sandbox, name, {"sandbox.trimtab.dev/pod": reason})

    until(lambda: bool(containers(sandbox, name)), "pods on nodes")
    assert {status["state"]["waiting"]["reason"] for status in containers(sandbox, name)} == {reason}


def test_the_garbage_collector_deletes_objects_of_a_deleted_owner(sandbox: Sandbox) -> None:
    uid = sandbox.kubectl("create", "configmap", "owner", "-o", "jsonpath={.metadata.uid}").stdout
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "ownerReferences": [reference]},
    }
    sandbox.kubectl("create", "-f", "-", input=json.dumps(owned))
    sandbox.kubectl("delete", "configmap", "owner")
    sandbox.kubectl("wait", "configmap/owned", "--for=delete", "--timeout=60s")


class Caller:
    """A client of the API server without a certificate, with or without a bearer token."""

    def __init__(self, kubeconfig: Path, token: str | None = None) -> None:
        described = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
        self.server = described["server"]
        ca = base64.b64decode(described["certificate-authority-data"]).decode()
        self.context = ssl.create_default_context(cadata=ca)
        self.headers = {"Content-Type": "application/json"}
        if token is not None:
            self.headers["Authorization"] = f"Bearer {token}"

    def request(self, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server}{path}", data, self.headers)
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.load(refusal)


def test_an_anonymous_caller_is_forbidden(cluster: Any) -> None:
    code, status = Caller(cluster.kubeconfig).request("/api/v1/namespaces/default/secrets")
    assert code == 403
    assert "system:anonymous" in status["message"]


def test_a_made_up_token_is_not_accepted(cluster: Any) -> None:
    code, _ = Caller(cluster.kubeconfig, "made.up.token").request("/api/v1/namespaces")
    assert code == 401


def test_a_service_account_is_identified_by_its_token_and_may_do_only_what_rbac_grants(
    cluster: Any, namespace: str
) -> None:
    cluster.kubectl("create", "serviceaccount", "reader", "-n", namespace)
    token = cluster.kubectl("create", "token", "reader", "-n", namespace).stdout.strip()
    reader = Caller(cluster.kubeconfig, token)

    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    code, answer = reader.request("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)
    assert code == 201
    assert answer["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:reader"

    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    assert reader.request(secrets)[0] == 403
    cluster.kubectl("create", "role", "reads", "--verb=list", "--resource=secrets", "-n", namespace)
    cluster.kubectl(
        "create",
        "rolebinding",
        "reads",
        "--role=reads",
        f"--serviceaccount={namespace}:reader",
        "-n",
        namespace,
    )
    until(lambda: reader.request(secrets)[0] == 200, "the role to take effect")
    assert reader.request("/api/v1/namespaces/default/secrets")[0] == 403


def test_a_sandbox_stops_with_its_owner_even_on_sigkill(own_cache: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        before = status_of("owned")
        assert before["state"] == "Running"
        assert before["owner_pid"] == owner.pid
        running = [Process.of(component["pid"]) for component in before["components"]]
        assert all(running)
        owner.kill()

    until(lambda: not any(process and process.running() for process in running), "all components to exit")
    assert status_of("owned")["state"] == "Absent"
    assert not (own_cache / "sandboxes" / "owned").exists()


def test_an_owner_that_exits_leaves_nothing(own_cache: Path) -> None:
    subprocess.run([sys.executable, "-c", OWNER], stdin=subprocess.DEVNULL, check=True)
    assert [left.name for left in (own_cache / "sandboxes").iterdir()] == [".lock"]


def test_an_up_that_is_killed_half_way_leaves_no_process(own_cache: Path) -> None:
    record = own_cache / "sandboxes" / "half" / "sandbox.json"
    with subprocess.Popen(sandbox_command("up", "--name", "half")) as up:
        until(
            lambda: record.exists() and "kube-apiserver" in record.read_text(), "the API server to be started"
        )
        started = [Process(**each) for each in json.loads(record.read_text())["components"].values()]
        up.send_signal(signal.SIGKILL)

    until(lambda: not any(process.running() for process in started), "all components to exit")
    assert status_of("half")["state"] == "Absent"


def test_an_exited_component_is_reported_and_down_removes_the_sandbox(own_cache: Path) -> None:
    with Sandbox.start("wounded", lifetime="detached") as wounded:
        victim = next(c for c in wounded.status().components if c.name == components.ETCD)
        os.kill(victim.pid, signal.SIGKILL)
        until(lambda: wounded.status().state == "Degraded", "the exit to be reported")
        seen = sandbox_cli("status", "--name", "wounded")
        assert seen.returncode == 1
        assert "not running: etcd" in seen.stdout

        refused = sandbox_cli("up", "--name", "wounded")
        assert refused.returncode == 1
        assert "down --name wounded" in refused.stderr
        assert sandbox_cli("down", "--name", "wounded").returncode == 0

    assert status_of("wounded")["state"] == "Absent"


def test_a_failed_start_shows_the_components_log_and_leaves_nothing(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = components.api_server
    monkeypatch.setattr(components, "api_server", lambda layout: [*server(layout), "--no-such-flag"])
    with pytest.raises(StartError, match=r"(?s)kube-apiserver exited.*unknown flag: --no-such-flag"):
        Sandbox.start("doomed")
    assert [left.name for left in (own_cache / "sandboxes").iterdir()] == [".lock"]


def test_a_process_that_reuses_the_id_is_not_killed() -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        assert not Process(stranger.pid, 1.25).running()
        kill([Process(stranger.pid, 1.25)])
        assert stranger.poll() is None
        stranger.kill()
