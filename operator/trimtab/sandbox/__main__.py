"""``python -m trimtab.sandbox``: the verbs of ``trimtab sandbox`` without importing the rest of Trimtab."""

from __future__ import annotations

from trimtab.sandbox.cli import app

app(prog_name="python -m trimtab.sandbox")
