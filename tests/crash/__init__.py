"""The operator is killed at every write that it makes, on a real API server: see README.md beside this.

It uses the tools of the cluster tests, which are modules of a folder that is no package.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TOOLS = str(Path(__file__).resolve().parent.parent / "cluster")
if _TOOLS not in sys.path:
    sys.path.append(_TOOLS)
