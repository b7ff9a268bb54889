"""Shipped text is free of the phrases that docs/style.md bans.

Checked: every docstring and every string literal with a space in operator/trimtab and the examples (so field
descriptions, messages, logs, CLI help and metric help), metric names, and every line of the documentation, the CRDs,
the admission policies, the manifests and the chart. Not checked: comments in Python and docstrings of private
functions, which only contributors read; the style guide; the changelog and the decision records, which are history;
generated copies.

still_to_rewrite.txt lists the files that still contain such phrases.
`python tests/docs/test_plain_words.py` rewrites it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "style.md"
LIST = Path(__file__).with_name("still_to_rewrite.txt")
STILL_TO_REWRITE = LIST.read_text().split()
TEXT = (
    "*.md",
    "Makefile",
    "docs/**/*.md",
    "crds/*.yaml",
    "deploy/*.yaml",
    "charts/trimtab/**/*.yaml",
    "examples/**/*.md",
    "examples/**/*.yaml",
    "operator/trimtab/**/*.md",
    "operator/trimtab/**/*.yaml",
)
PYTHON = ("operator/trimtab/**/*.py", "examples/**/*.py")
EXEMPT = (
    "docs/style.md",  # holds the phrases
    "CHANGELOG.md",  # history
    "docs/decisions/",  # history
    "charts/trimtab/templates/crds/",  # copies of crds/
    "charts/trimtab/templates/admission/",  # copies of operator/trimtab/admission/
    "docs/reference.md",  # made of the field descriptions
)
"""Paths, and beginnings of paths, that are not checked."""

Functions = ast.FunctionDef | ast.AsyncFunctionDef
Documented = Functions | ast.ClassDef | ast.Module


@dataclass(frozen=True)
class Ban:
    """A phrase of the word list and what to write instead."""

    phrase: str
    instead: str


def word_list(page: str) -> dict[str, Ban]:
    """The table of the section "Word list", by phrase in lower case."""
    section = page.split("\n## Word list\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+`) \| (.+) \|$", section, flags=re.MULTILINE)
    return {
        phrase.lower(): Ban(phrase, instead)
        for phrases, instead in rows
        for phrase in re.findall(r"`([^`]+)`", phrases)
    }


BANNED = word_list(GUIDE.read_text())
_PHRASES = re.compile(
    r"(?<![\w'])(?:"
    + "|".join(r"\s+".join(map(re.escape, p.split())) for p in sorted(BANNED, key=len, reverse=True))
    + r")(?!\w)",
    flags=re.IGNORECASE,
)


def found(text: str) -> Iterator[tuple[int, Ban]]:
    """The banned phrases of a text, each with its line, from 0."""
    for hit in _PHRASES.finditer(text):
        yield text.count("\n", 0, hit.start()), BANNED[" ".join(hit[0].lower().split())]


def strings(source: str) -> Iterator[tuple[int, str]]:
    """The checked strings of a Python file, each with its first line."""
    tree = ast.parse(source)
    skipped = {id(node.body[0].value) for node in ast.walk(tree) if _is_private_with_docstring(node)}  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            text = node.value
            if text.startswith("trimtab_"):
                yield node.lineno, text.replace("_", " ")
            elif " " in text:
                yield node.lineno, text


def _is_private_with_docstring(node: ast.AST) -> bool:
    return isinstance(node, Functions) and node.name.startswith("_") and ast.get_docstring(node) is not None


def files() -> list[Path]:
    """Every checked file."""
    paths = {path for pattern in (*TEXT, *PYTHON) for path in ROOT.glob(pattern)}
    return sorted(path for path in paths if not _name(path).startswith(EXEMPT))


def problems(path: Path) -> list[str]:
    """``file:line: "phrase": write replacement`` for each banned phrase of a file."""
    text = path.read_text()
    parts = strings(text) if path.suffix == ".py" else [(1, text)]
    return [
        f'{_name(path)}:{first + line}: "{ban.phrase}": write {ban.instead}'
        for first, part in parts
        for line, ban in found(part)
    ]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", files(), ids=_name)
def test_shipped_text_uses_no_banned_phrase(path: Path) -> None:
    if _name(path) not in STILL_TO_REWRITE:
        assert not (wrong := problems(path)), "\n".join(["see docs/style.md:", *wrong])


def test_a_rewritten_file_leaves_the_list_of_those_still_to_rewrite() -> None:
    clean = [name for name in STILL_TO_REWRITE if not (ROOT / name).exists() or not problems(ROOT / name)]
    assert not clean, f"take these out of {_name(LIST)}, or run python {_name(Path(__file__))}: {clean}"
    assert sorted(set(STILL_TO_REWRITE)) == STILL_TO_REWRITE


def test_a_phrase_is_found_whole_in_any_case_and_over_a_line_break() -> None:
    assert [ban.phrase for _, ban in found("Somebody\nmust try\n  again, besides.")] == [
        "somebody",
        "try again",
        "besides",
    ]
    assert [line for line, _ in found("a\nb somebody")] == [1]
    assert not list(found("the standby reads a country's answering_machine"))


def test_strings_are_literals_docstrings_and_metrics_names_but_no_private_docstring() -> None:
    source = (
        '"""A module."""\ndef _f(x):\n  """A private one."""\n'
        '  return f"read {x} well" + "key"\nm("trimtab_left_alone")\n'
    )
    assert dict(strings(source)) == {1: "A module.", 4: " well", 5: "trimtab left alone"}


def test_every_ban_names_what_to_write_instead() -> None:
    assert len(BANNED) > 100
    assert all(ban.instead.strip() for ban in BANNED.values())


def test_the_glossary_is_in_alphabetical_order_with_a_meaning_for_each_term() -> None:
    rows = re.findall(
        r"^\| (.+?) \| (.*?) ?\| (.+) \|$", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE
    )
    terms = [term for term, *_ in rows if term not in ("term", "---")]
    assert terms == sorted(set(terms), key=str.lower)
    assert len(terms) > 40


if __name__ == "__main__":
    LIST.write_text("".join(f"{_name(path)}\n" for path in files() if problems(path)))
