"""What the program's groups of commands have in common: options in dataclasses, and help that names the program."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_type_hints

from typer.core import TyperGroup

MARKUP: Literal["markdown"] = "markdown"
PLUGIN = "kubectl trimtab"
_CALL = re.compile(r"(?<![\w./-])trimtab (?=[a-z])")


def program() -> str:
    """The name under which the program was called: its own, or the one of a kubectl plugin."""
    return PLUGIN if Path(sys.argv[0]).name.startswith("kubectl-") else "trimtab"


class Group(TyperGroup):
    """Shows examples under the name of the program, also as a kubectl plugin."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        found = super().resolve_command(ctx, args)
        command = found[1]
        if command is not None and command.help and ctx.find_root().info_name == PLUGIN:
            command.help = _CALL.sub(f"{PLUGIN} ", command.help)
        return found


def flat(function: Callable[..., None]) -> Callable[..., None]:
    """``function`` with the fields of its dataclass parameters as parameters, because Typer reads no dataclasses."""
    names: dict[str, str] = {}
    kinds: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for given in inspect.signature(function, eval_str=True).parameters.values():
        if not dataclasses.is_dataclass(given.annotation):
            parameters.append(given.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        kinds[given.name] = given.annotation
        hints = get_type_hints(given.annotation, include_extras=True)
        for field in dataclasses.fields(given.annotation):
            default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
            names[field.name] = given.name
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(
                inspect.Parameter(field.name, kind, default=default, annotation=hints[field.name])
            )

    def called(**values: Any) -> None:
        options: dict[str, dict[str, Any]] = {name: {} for name in kinds}
        for name in names:
            options[names[name]][name] = values.pop(name)
        function(**values, **{name: kind(**options[name]) for name, kind in kinds.items()})

    called.__name__, called.__doc__ = function.__name__, function.__doc__
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {}
    return called
