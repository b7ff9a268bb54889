"""Writes the generated files: the CRDs, docs/reference.md, the chart's copies of the admission policies."""

from __future__ import annotations

import sys
from pathlib import Path

from trimtab import admission, crd, reference


def main(root: Path) -> None:
    """Write every generated file under the repository's root."""
    if not (root / "pyproject.toml").is_file():
        raise SystemExit(
            f"{root} is not the root of the repository; pass the root: python -m trimtab.generate ROOT"
        )
    for path, content in {**crd.files(), **admission.files(), reference.PATH: reference.text()}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, encoding="utf-8")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
