"""``python -m trimtab.sandbox``: the commands of ``trimtab sandbox`` without importing the rest of Trimtab."""

from __future__ import annotations

from trimtab.sandbox.commands import app

app(prog_name="python -m trimtab.sandbox")
