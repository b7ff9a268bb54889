"""The command line as a program: its name, its help, its exit codes, and what it costs to start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

from support.cli_manifests import TEMPLATE, Call, Write
from trimtab.cli.main import COMMANDS, app, load

BIN = Path(sys.executable).parent
VERBS = [
    "run",
    "sandbox",
    "render",
    "validate",
    "explain",
    "status",
    "rollout",
    "history",
    "diff",
    "undo",
    "adopt",
    "crds",
]
ON_ROLLOUTS = [
    "status",
    "watch",
    "preview",
    "approve",
    "promote",
    "pause",
    "resume",
    "abort",
    "retry",
    "undo",
]


def _run(*args: str | Path, program: str = "trimtab", **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [str(BIN / program), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_help_names_every_verb(trimtab: Call) -> None:
    answer = trimtab("--help")
    assert answer.code == 0
    assert all(f" {verb} " in answer.out for verb in VERBS)


@pytest.mark.parametrize(
    "verb",
    [
        *([verb] for verb in VERBS if verb not in ("run", "sandbox", "rollout")),
        *(["rollout", verb] for verb in ON_ROLLOUTS),
    ],
    ids=" ".join,
)
def test_a_verbs_help_teaches_by_example(trimtab: Call, verb: list[str]) -> None:
    answer = trimtab(*verb, "--help")
    assert answer.code == 0
    assert f"trimtab {' '.join(verb)}" in answer.out.split("Usage", 1)[1].split("\n", 2)[2]


@pytest.mark.parametrize(
    "verb",
    [
        *([verb] for verb in VERBS if verb not in ("run", "sandbox", "rollout", "crds")),
        *(["rollout", verb] for verb in ON_ROLLOUTS),
    ],
    ids=" ".join,
)
def test_the_help_of_a_command_lists_its_exit_codes(trimtab: Call, verb: list[str]) -> None:
    assert "Exit code" in trimtab(*verb, "--help").out


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_list_of_commands_has_the_first_sentence_of_their_own_help(trimtab: Call, verb: str) -> None:
    assert trimtab(verb, "--help").code == 0
    assert " ".join(load(verb).help.split()).startswith(COMMANDS[verb].help.rstrip("."))


def test_crds_are_printed_without_the_admission_policies_and_these_without_them(trimtab: Call) -> None:
    def kinds(*options: str) -> set[str]:
        return set(re.findall(r"^kind: (\w+)$", trimtab("crds", *options).out, re.MULTILINE))

    assert kinds() == {"CustomResourceDefinition"}
    assert kinds("--admission") == {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}


def test_all_verbs_that_are_listed_exist() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert set(VERBS) == set(commands)
    assert set(ON_ROLLOUTS) == set(load("rollout").commands)


def test_as_a_plugin_it_calls_itself_kubectl_trimtab() -> None:
    answer = _run("explain", "--help", program="kubectl-trimtab")
    assert "Usage: kubectl trimtab explain" in answer.stdout
    assert "kubectl trimtab explain music-agent alice" in answer.stdout
    nested = _run("rollout", "approve", "--help", program="kubectl-trimtab")
    assert "Usage: kubectl trimtab rollout approve" in nested.stdout
    assert "kubectl trimtab rollout approve calmer-agents" in nested.stdout


def test_a_misspelt_verb_is_wrong_usage_with_a_hint() -> None:
    answer = _run("explan")
    assert answer.returncode == 2
    assert "explain" in answer.stderr


def test_starting_up_imports_nothing_heavy() -> None:
    code = (
        "import sys, trimtab.cli.main; "
        "print([m for m in ('kopf', 'kubernetes', 'aiohttp', 'cryptography', 'pydantic', 'yaml', 'msgspec') "
        "if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_offline_verbs_need_neither_kopf_nor_a_client(write: Write) -> None:
    code = (
        "import sys\nfrom trimtab.cli.main import app\n"
        "try: app(['validate', '-f', sys.argv[1]])\nexcept SystemExit as e: print(e.code)\n"
        "print([m for m in ('kopf', 'kubernetes', 'aiohttp') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(write(TEMPLATE))], capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-2:] == ["0", "[]"]


def test_a_reader_that_goes_away_ends_it_quietly() -> None:
    piped = subprocess.run(
        f"'{BIN}/trimtab' crds | head -1; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert piped.stderr == ""
    assert piped.stdout.count("\n") == 1
    assert piped.returncode in (0, 1, 141)


def test_ctrl_c_ends_it_quietly_with_130(tmp_path: Path) -> None:
    fifo = tmp_path / "never.yaml"
    os.mkfifo(fifo)
    process = subprocess.Popen(
        [str(BIN / "trimtab"), "validate", "-f", str(fifo)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 30
    while time.monotonic() < until:  # it hangs in open(2) until somebody writes
        if (
            "wait_for_partner" in Path(f"/proc/{process.pid}/wchan").read_text()
            or time.monotonic() > until - 27
        ):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert (process.returncode, out, err) == (130, b"", b"")


def test_without_a_cluster_the_searched_locations_are_reported() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KUBE")} | {"HOME": "/nonexistent"}
    answer = _run("status", env=environment)
    assert answer.returncode == 1
    assert answer.stderr.startswith("error: no cluster given: pass --kubeconfig")


def test_an_api_server_that_does_not_respond_is_reported(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "{current-context: x, contexts: [{name: x, context: {cluster: x}}],"
        " clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]}"
    )
    answer = _run("status", "--kubeconfig", config)
    assert answer.returncode == 1
    assert "error: no response from http://127.0.0.1:1" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("content", ["", "[]", "a: [", "current-context: x\n", "\x00", "contexts: 3\n"])
def test_a_malformed_kubeconfig_is_reported(tmp_path: Path, content: str) -> None:
    config = tmp_path / "config"
    config.write_text(content)
    answer = _run("explain", "a", "b", "--kubeconfig", config)
    assert answer.returncode == 1
    assert answer.stderr.startswith(f"error: {config}: ")
    assert "Traceback" not in answer.stderr
