"""Every flag of a command that documentation or `--help` shows is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from trimtab.cli.main import COMMANDS, app, load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/**/*.md")])
_COMMAND = re.compile(r"\btrimtab ([a-z][^`\n|;&>#]*)")
_KUBECTLS = {"--validate", "--server-side"}


def _verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _verbs(below if path or name not in COMMANDS else load(name), (*path, name))


VERBS = dict(_verbs(typer.main.get_command(app)))
FLAGS = {
    path: {"-h", "--help"}.union(*([*each.opts, *each.secondary_opts] for each in command.params))
    for path, command in VERBS.items()
}


def _unknown(text: str) -> Iterator[str]:
    for command in _COMMAND.findall(text):
        words = command.split(" -- ")[0].split()
        path = max((p for p in VERBS if tuple(words[: len(p)]) == p), key=len)
        given = (word.split("=")[0].rstrip(".,:)") for word in words[len(path) :])
        yield from (
            f"trimtab {command.strip()}: {flag}"
            for flag in given
            if flag[:1] == "-" and flag not in {*FLAGS[path], "-"}
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_documentation_use_flags_that_are_there(page: Path) -> None:
    assert list(_unknown(page.read_text())) == []


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_examples_of_help_use_flags_that_are_there(path: tuple[str, ...]) -> None:
    assert list(_unknown(VERBS[path].help or "")) == []


def test_flags_that_the_page_of_the_command_line_names_are_there() -> None:
    named = set(re.findall(r"`(--[a-z][a-z-]+)", (ROOT / "docs/cli.md").read_text()))
    assert named - _KUBECTLS - set().union(*FLAGS.values()) == set()
