"""The files behind paths: files, folders and standard input, each file once, in a stable order."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from trimtab.cli.files.scalars import MalformedError
from trimtab.core.text import visible

MAX_BYTES = 64 * 1024 * 1024
"""The most bytes of one file: enough for 100,000 preferences."""
STDIN = "-"
_SUFFIXES = (".yaml", ".yml", ".json")


class SourceFile(NamedTuple):
    """A file. One that was ``found`` in a folder may belong to another program."""

    path: str
    found: bool = False

    @property
    def shown(self) -> str:
        return "<stdin>" if self.path == STDIN else visible(self.path)


def sources(paths: Sequence[str], problems: list[str]) -> Iterator[SourceFile]:
    """Each file once, with those of folders, except files and folders whose names begin with a dot."""
    seen: set[str] = set()
    for path in paths:
        if not path:
            problems.append("'': no such path; name a file or folder (a variable may be empty)")
            continue
        here = [SourceFile(path)]
        if path != STDIN and os.path.isdir(path):
            unread = len(problems)
            here = [SourceFile(file, found=True) for file in _walk(path, problems)]
            if not here and len(problems) == unread:
                problems.append(f"{path}: no *.yaml, *.yml or *.json in this folder; name the files")
        for source in here:
            if source.path not in seen:
                seen.add(source.path)
                yield source


def _walk(folder: str, problems: list[str]) -> list[str]:
    """A folder's files. Links to folders are not followed, as they may form a loop. A broken link is listed, for its
    error; pipes and devices are not."""
    found = []

    def unread(error: OSError) -> None:
        problems.append(f"{visible(str(error.filename))}: {error.strerror or error}")

    for here, folders, files in os.walk(folder, onerror=unread):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [os.path.join(here, name) for name in files if _is_manifest(name)]
        found += [path for path in paths if os.path.isfile(path) or not os.path.exists(path)]
    return sorted(found, key=lambda file: Path(file).parts)


def _is_manifest(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def content(source: SourceFile) -> bytes:
    """The file's bytes, at most one more than MAX_BYTES."""
    if source.path == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(source.path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def text(content: bytes) -> str:
    """The bytes of a file as text.

    :raises MalformedError: they are too many, or not UTF-8.
    """
    if len(content) > MAX_BYTES:
        raise MalformedError(f"larger than {MAX_BYTES // 2**20} MiB; split it into several files")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MalformedError(f"line {line}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
