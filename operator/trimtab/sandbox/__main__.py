"""``python -m trimtab.sandbox``: the same verbs as ``trimtab sandbox``, without importing the rest of Trimtab."""

from __future__ import annotations

from trimtab.sandbox.cli import app

app(prog_name="python -m trimtab.sandbox")
