"""The rules of ``benchmarks.structure`` on small sources; ``benchmarks.walks`` follows one change."""

from __future__ import annotations

import pytest
from benchmarks import walks
from benchmarks.bindings import callbacks, late_bindings
from benchmarks.source import Module
from benchmarks.structure import complex_functions, import_circles, inner_imports, long_signatures, sizes

from support import virtual_time

COLLABORATORS = """
from collections.abc import Callable
Changed = Callable[[str], None]

class Store:
    def __init__(self) -> None:
        self.changed: Changed = print
        self.size = 0

    def put(self, name: str) -> None: ...

class Reader:
    store: Store | None = None

    def read(self) -> None: ...
"""


def modules(**sources: str) -> list[Module]:
    """``a__b`` is the file ``a/b.py``."""
    return [Module.parse(f"{name.replace('__', '/')}.py", text) for name, text in sources.items()]


def wire(statements: str) -> list[str]:
    """What of these statements is a late binding."""
    lines = "\n".join(f"    {line}" for line in statements.splitlines())
    return late_bindings(modules(store=COLLABORATORS, engine__wire=f"def wire(found):\n{lines}"))


@pytest.mark.parametrize(
    "statements",
    [
        "store = Store()\nstore.changed = found",
        "reader = Reader()\nreader.store = Store()",
        "found.changed = print",
        "found.changed, rest = print, 1",
    ],
)
def test_a_collaborator_set_after_construction_is_a_late_binding(statements: str) -> None:
    assert len(wire(statements)) == 1


@pytest.mark.parametrize(
    "statements",
    ["store = Store()\nstore.size = 2", "reader = Reader()\nreader.store = None", "found.other = print"],
)
def test_a_value_set_after_construction_is_no_late_binding(statements: str) -> None:
    assert wire(statements) == []


def test_a_late_binding_is_found_through_the_attributes_of_self() -> None:
    owner = """
class Engine:
    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.reader.store.changed = self.reader.read
        self.store = Store()
"""

    assert late_bindings(modules(store=COLLABORATORS, engine=owner)) == [
        "engine.py:5 self.reader.store.changed"
    ]


def test_two_attributes_of_one_name_are_kept_apart_by_the_class() -> None:
    other = (
        "class Other:\n    changed: bool = False\n\ndef mark(other: Other) -> None:\n    other.changed = True"
    )
    assert late_bindings(modules(store=COLLABORATORS, other=other)) == []


def test_modules_that_import_each_other_through_a_third_are_one_circle() -> None:
    found = import_circles(
        modules(
            a="from trimtab.room import b",
            room__b="import trimtab.c",
            c="def late():\n    from trimtab.a import x",
            d="import trimtab.a",
        )
    )
    assert found == ["trimtab.a trimtab.c trimtab.room.b"]


def test_a_circle_by_type_checking_imports_counts_apart() -> None:
    sources = modules(a="import trimtab.b", b="if TYPE_CHECKING:\n    import trimtab.a")

    assert import_circles(sources) == []
    assert import_circles(sources, typing=True) == ["trimtab.a trimtab.b"]


def test_imports_in_one_direction_are_no_circle() -> None:
    package = Module.parse("__init__.py", "import trimtab.a")
    assert import_circles([package, *modules(a="import trimtab.b", b="import json")]) == []


def test_callbacks_count_by_room_with_aliases_and_without_clocks() -> None:
    user = """
from collections.abc import Callable
class Pass:
    now: Callable[[], str]
    report: Changed | None
    def run(self, then: "Callable[[], None]", count: int) -> None: ...
"""
    sources = modules(store=COLLABORATORS, engine__groups__run=user, core__run=user)

    found = callbacks(sources, ["engine"], kept=False)
    kept = callbacks(sources, ["engine"], kept=True)

    assert found == ["engine/groups/run.py:5 report", "engine/groups/run.py:6 then"]
    assert kept == ["engine/groups/run.py:5 report"]


def test_signatures_complexity_and_imports_are_counted_where_they_are() -> None:
    long = "def f(self, a, b, *c, d, e, **g): ...\ndef h(a, b, c, d, e): ..."
    branches = "def f(x):\n" + "\n".join(f"    if x == {n}: return {n}" for n in range(10))
    inner = "import os\ndef f():\n    import json"
    sources = modules(a=long, b=branches, cli__c=inner, client__d=inner)

    assert long_signatures(sources) == ["a.py:1 f (6)"]
    assert complex_functions(sources) == ["b.py:1 f (11)"]
    assert inner_imports(sources, "cli") == ["cli/c.py:3 import json"]


def test_the_lines_of_a_room_include_the_rooms_below_it() -> None:
    assert sizes(modules(a="1\n", room__b="1\n2\n", room__sub__c="1\n")) == {
        "": (3, 4),
        "room": (2, 3),
        "room/sub": (1, 1),
    }


def test_a_walk_passes_from_the_watch_to_the_status() -> None:
    files = virtual_time.run(walks.preference_edit()).files

    assert {"kube/reflector.py", "engine/term.py", "engine/groups/reconcile.py"} <= set(files)
    assert not [file for file in files if "memory_api" in file]
