"""Source text, parsed: what the counts of ``structure`` read. Nothing of it is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef
Assignment = ast.Assign | ast.AnnAssign


@dataclass(frozen=True, slots=True)
class Module:
    """One file. ``name`` is dotted below the package, empty for the package's own ``__init__``."""

    path: str
    name: str
    text: str
    tree: ast.Module

    @classmethod
    def parse(cls, path: str, text: str) -> Module:
        """:param path: relative to the package."""
        parts = path.removesuffix(".py").split("/")
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return cls(path, name, text, ast.parse(text, path))

    @property
    def room(self) -> str:
        """The folder, empty for the package's own."""
        return self.path.rpartition("/")[0]

    def within(self, room: str) -> bool:
        """Whether the file is in the room or in a room below it."""
        return f"{self.room}/".startswith(f"{room}/")

    def locate(self, node: ast.expr | ast.stmt, what: str) -> str:
        return f"{self.path}:{node.lineno} {what}"

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def classes(self) -> Iterator[ast.ClassDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


def read(package: Path) -> list[Module]:
    return [
        Module.parse(path.relative_to(package).as_posix(), path.read_text("utf-8"))
        for path in sorted(package.rglob("*.py"))
    ]


def parameters(function: Function) -> list[ast.arg]:
    """All of them, keyword-only ones, ``*args`` and ``**kwargs`` too; ``self`` and ``cls`` excepted."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    if positional and positional[0].arg in ("self", "cls"):
        positional = positional[1:]
    return [*positional, *given.kwonlyargs, *(a for a in (given.vararg, given.kwarg) if a is not None)]


def assigned_attributes(node: Assignment) -> Iterator[ast.Attribute]:
    """The targets ``x.y`` of an assignment."""
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        for item in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(item, ast.Attribute):
                yield item


def type_names(annotation: ast.expr | None) -> set[str]:
    """The types that a value of this annotation may have: of a union all, without the arguments in brackets."""
    match annotation:
        case ast.Constant(value=str(text)):
            return type_names(ast.parse(text, mode="eval").body)
        case ast.BinOp(left=left, right=right):
            return type_names(left) | type_names(right)
        case ast.Subscript(value=value):
            return type_names(value)
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return {name}
    return set()
