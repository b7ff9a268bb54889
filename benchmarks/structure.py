"""What the code's own text shows of its structure: sizes, complex functions, bindings, imports.

    python -m benchmarks.structure [--list] [-o json] [FOLDER]

FOLDER is the package to read, ``operator/trimtab`` by default; it is parsed, not imported. ``structure.md`` has the
results; each function states its rule of counting.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from radon.complexity import cc_visit  # type: ignore[import-untyped]

from benchmarks.bindings import callbacks, late_bindings
from benchmarks.source import Module, parameters, read

PACKAGE = Path(__file__).parent.parent / "operator" / "trimtab"
COMPLEXITY = 10
PARAMETERS = 5
CALLBACK_ROOMS = ("engine", "cli")


def sizes(modules: Iterable[Module]) -> dict[str, tuple[int, int]]:
    """(files, lines) of each folder together with the folders below it; the whole package is the empty name.

    Lines are those of Python files, with blank ones and comments.
    """
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for module in modules:
        parts = module.room.split("/") if module.room else []
        for room in ("/".join(parts[:depth]) for depth in range(len(parts) + 1)):
            files[room] += 1
            lines[room] += module.text.count("\n")
    return {room: (files[room], lines[room]) for room in sorted(files)}


def complex_functions(modules: Iterable[Module]) -> list[str]:
    """What ``radon cc -n C`` lists: functions, methods and classes of a cyclomatic complexity over 10."""
    return [
        f"{module.path}:{block.lineno} {block.fullname} ({block.complexity})"
        for module in modules
        for block in cc_visit(module.text)
        if block.complexity > COMPLEXITY
    ]


def long_signatures(modules: Iterable[Module]) -> list[str]:
    """Functions of more than five parameters.

    Keyword-only ones, ``*args`` and ``**kwargs`` count, ``self`` and ``cls`` do not. Commands of the CLI count: their
    parameters are the options. Fields of dataclasses do not count.
    """
    return [
        module.locate(function, f"{function.name} ({len(parameters(function))})")
        for module in modules
        for function in module.functions()
        if len(parameters(function)) > PARAMETERS
    ]


def inner_imports(modules: Iterable[Module], room: str) -> list[str]:
    """Import statements inside functions of the room and of the rooms below it."""
    return sorted(
        {
            module.locate(node, ast.unparse(node))
            for module in modules
            if module.within(room)
            for function in module.functions()
            for node in ast.walk(function)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        }
    )


def import_circles(modules: Iterable[Module], package: str = "trimtab", *, typing: bool = False) -> list[str]:
    """Groups of modules that import each other, directly or through others (strongly connected components).

    Imports inside functions count. Imports under ``if TYPE_CHECKING`` count only with ``typing``. The import of a
    module does not count as one of the packages above it, although Python runs their ``__init__``.
    """
    trees = {f"{package}.{module.name}".rstrip("."): module.tree for module in modules}
    return _circles({name: set(_imports(tree, set(trees), typing)) for name, tree in trees.items()})


def _imports(node: ast.AST, names: set[str], typing: bool) -> Iterator[str]:
    """The modules among ``names`` that are imported below the node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield from _named(child, names)
        elif isinstance(child, ast.If) and not typing and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from _imports(ast.Module(child.orelse, []), names, typing)
        else:
            yield from _imports(child, names, typing)


def _named(node: ast.Import | ast.ImportFrom, names: set[str]) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & names
    wanted = {f"{node.module}.{alias.name}" for alias in node.names}
    return {name if name in names else str(node.module) for name in wanted} & names


def _circles(graph: Mapping[str, set[str]]) -> list[str]:
    reach = {name: _reachable(graph, name) for name in graph}
    return sorted(
        {
            " ".join(sorted(other for other in reach[name] if name in reach[other]))
            for name in graph
            if name in reach[name]
        }
    )


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    pending = list(graph[start])
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending.extend(graph[name])
    return found


def findings(modules: list[Module]) -> dict[str, list[str]]:
    """The places of everything that is counted, by its name in the table."""
    return {
        "functions of complexity over 10": complex_functions(modules),
        "functions of more than 5 parameters": long_signatures(modules),
        "late bindings": late_bindings(modules),
        "callbacks in engine and cli": callbacks(modules, CALLBACK_ROOMS, kept=False),
        "callbacks that an object keeps": callbacks(modules, CALLBACK_ROOMS, kept=True),
        "import circles": import_circles(modules),
        "import circles, TYPE_CHECKING included": import_circles(modules, typing=True),
        "imports inside functions of cli": inner_imports(modules, "cli"),
    }


def markdown(rooms: Mapping[str, tuple[int, int]], found: Mapping[str, list[str]]) -> str:
    return "\n".join(
        [
            "| room | files | lines |",
            "|---|---|---|",
            *(f"| {room or 'all'} | {files} | {lines:,} |" for room, (files, lines) in rooms.items()),
            "",
            "| what | count |",
            "|---|---|",
            *(f"| {name} | {len(places)} |" for name, places in found.items()),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.structure", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", nargs="?", type=Path, default=PACKAGE, help="the package to read")
    parser.add_argument("--list", action="store_true", help="list the places of what is counted")
    parser.add_argument("-o", "--output", choices=("markdown", "json"), default="markdown")
    given = parser.parse_args()
    modules = read(given.folder)
    rooms, found = sizes(modules), findings(modules)
    if given.output == "json":
        size = {room or "all": {"files": files, "lines": lines} for room, (files, lines) in rooms.items()}
        print(json.dumps({"rooms": size, "found": found}, indent=2))
        return
    print(markdown(rooms, found))
    if given.list:
        for name, places in found.items():
            print(f"\n{name}:", *places, sep="\n  ")


if __name__ == "__main__":
    main()
