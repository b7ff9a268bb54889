"""A program that has imported all of Trimtab and becomes `trimtab run` as often as requested.

Half of an operator's start is Python's imports; a run of the harness starts thousands of operators. Each line of
standard input is one order, as JSON: ``{"arguments": [...], "kubeconfig": ..., "log": ...}``; the answer is a pid. The
child is a process of its own that runs the console script's ``main``, as if it had been started by a shell.

One thing is otherwise than in a shell: digests are bound to their namespace (decision 024), and each run has one of its
own, so all of these count as one here, that the ends of two runs can be compared.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import random
import re
import signal
import sys
import traceback
from collections.abc import Iterable
from typing import Any

_PR_SET_PDEATHSIG = 1
_OF_A_RUN = re.compile(r".+-[0-9a-f]{8}")
ANY_NAMESPACE = "run"
"""What digests are bound to instead of a run's namespace."""


def main() -> None:
    """Until standard input ends."""
    for module in ("trimtab.__main__", "trimtab.cli.main", "trimtab.cli.commands.run", "trimtab.app"):
        importlib.import_module(module)
    _bind_to_any_namespace()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a child ended
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(line))
        print(pid, flush=True)


def _bind_to_any_namespace() -> None:
    keys = sys.modules["trimtab.crypto"].Keys
    bound = keys.digest

    def digest(self: Any, purpose: str, place: Iterable[str], value: Any) -> str:
        known = (ANY_NAMESPACE if _OF_A_RUN.fullmatch(part) else part for part in place)
        return str(bound(self, purpose, known, value))

    keys.digest = digest


def _become(arguments: list[str], kubeconfig: str, log: str) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, file in ((0, os.open(os.devnull, os.O_RDONLY)), (1, output), (2, output)):
        os.dup2(file, number)
    os.environ |= {"KUBECONFIG": kubeconfig, "COLUMNS": "200"}
    random.seed()
    sys.argv = ["trimtab", *arguments]
    code = 1
    try:
        sys.modules["trimtab.__main__"].main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
