"""``trimtab``, ``python -m trimtab`` and ``kubectl trimtab``."""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from trimtab.cli.main import app

    app()


if __name__ == "__main__":
    main()
