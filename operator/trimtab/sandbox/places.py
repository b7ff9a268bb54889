"""Where everything lives, so that no other module spells a path of the user's cache."""

from __future__ import annotations

import os
import re
from pathlib import Path

from trimtab.sandbox.errors import InvalidNameError

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/trimtab``, by default ``~/.cache/trimtab``."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has a relative path ignored.
    base = Path(configured) if configured.startswith("/") else Path.home() / ".cache"
    return base / "trimtab"


def builds_root() -> Path:
    return cache_root() / "controlplane"


def toolchains_root() -> Path:
    return cache_root() / "go"


def sandboxes_root() -> Path:
    return cache_root() / "sandboxes"


def sandbox_directory(name: str) -> Path:
    """The folder of one sandbox.

    Raises:
        InvalidNameError: the name is not a DNS label of at most 40 characters.
    """
    if not _NAME.fullmatch(name):
        raise InvalidNameError(f"{name!r} is no sandbox's name: use 1 to 40 of a-z, 0-9 and (inside) -")
    return sandboxes_root() / name
