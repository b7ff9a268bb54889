"""``trimtab``, ``python -m trimtab`` and ``kubectl trimtab``."""

from __future__ import annotations


def main() -> None:
    """The console script."""
    import sys

    try:
        from trimtab.cli.main import main as run
    except KeyboardInterrupt:  # before the command line is there to handle it
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
