"""CEL, compiled once and checked for types, in dialects that cannot run away; and conditions over a measured number.

A dialect lists what may be said (https://github.com/google/cel-spec): whatever it does not name, the compiler
refuses. The one for conditions has arithmetic, comparisons and logic over numbers, so its cost is linear in the
length of the text: no macros, which loop, no text or lists to be joined, no regular expressions. See
docs/decisions/014-cel-by-googles-library-in-dialects.md.
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, field
from typing import Any

from cel_expr_python import cel

LONGEST = 1024
"""Characters of an expression. The library bounds its nesting (32) and the iterations of its macros (10,000)."""

_NUMBERS = ("int", "uint", "double")
_PLACE = re.compile(r"<input>:(-?\d+):(-?\d+): ([^\n]*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_UNKNOWN = re.compile(r"undeclared reference to '([^']*)'")
_UNEXPECTED = re.compile(
    r"(?:mismatched input|extraneous input|no viable alternative at input) '(.*?)'(?: expecting|$)"
)
_NUMBER_TEXT = re.compile(
    r"(?<![\w.])(0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[uU]?(?![\w.])"
)
_COMPARING = re.compile(r"(?:\s|0|(?:result|true|false)\b|[<>=!]=|&&|\|\||[<>!?:()-])*")
_SUBTRACTION = re.compile(r"[\w)]\s*-")
_CODE = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


@dataclass(frozen=True, slots=True)
class Dialect:
    """What may be said.

    ``words``: the same for people. ``variables``: (name, CEL type). ``functions``: CEL's standard functions, operators
    among them as CEL calls them; ``name:overload`` allows that overload alone. ``macros``: all, exists, exists_one,
    has, map, filter. ``declared``: (function, types of its arguments, type of its result) of overloads that the
    evaluator knows and the checker does not, in the place of the checker's own of that name.

    With macros, ``map`` above all, think of what a short text can make of a long list, or of joined text.
    """

    words: str
    variables: tuple[tuple[str, str], ...] = ()
    functions: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()
    declared: tuple[tuple[str, tuple[str, ...], str], ...] = ()


def comparisons() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Between all numbers, as CEL evaluates them: by value, whatever the type (``result < 1`` of a double)."""
    operators = ("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_")
    return tuple((o, (a, b), "bool") for o in operators for a in _NUMBERS for b in _NUMBERS)


NUMBER = Dialect(
    words="result, numbers, + - * / %, comparisons, && || ! and ? :",
    variables=(("result", "double"),),
    functions=(
        *("_&&_", "_||_", "!_", "_?_:_", "-_", "_-_", "_*_", "_/_", "_%_"),
        *("_+_:add_int64", "_+_:add_uint64", "_+_:add_double", "int", "uint", "double"),
    ),
    declared=comparisons(),
)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. ``returns`` is its type as CEL calls it, in capitals: BOOL, DOUBLE, STRING, DYN."""

    text: str
    returns: str
    _compiled: Any = field(repr=False, compare=False)

    def evaluate(self, values: dict[str, Any]) -> Any:
        """The result of the variables' values. :raises ValueError: it has none, as of a division by zero."""
        try:
            result = self._compiled.eval(data=values)
            failed = result.type() == cel.Type.ERROR
            value = result.value()
        except RuntimeError as error:
            raise ValueError(_plain(str(error))) from None
        if failed:
            raise ValueError(_plain(str(value)))
        return value


def compile_cel(text: str, dialect: Dialect, longest: int = LONGEST) -> Program:
    """Parse and check an expression.

    :raises ValueError: what is wrong, where, and what may be said instead.
    """
    if not text.strip():
        raise ValueError("it is empty; write an expression, such as result < 0.01")
    if len(text) > longest:
        raise ValueError(f"it has {len(text)} characters; at most {longest} are allowed")
    try:
        compiled = _environment(dialect).compile(text)
    except TypeError:  # half of a surrogate pair
        raise ValueError("it contains characters that are no text") from None
    except RuntimeError as error:
        raise ValueError(_explained(str(error), dialect)) from None
    return Program(text, compiled.return_type().name(), compiled)


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean expression over one number, ``result``. ``mentions_result``: whether that number can matter."""

    text: str
    mentions_result: bool
    _program: Program = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: str) -> Condition:
        """:raises ValueError: what is wrong, where, and what may be said instead."""
        program = compile_cel(text, NUMBER)
        if program.returns != "BOOL":
            raise ValueError(f"it gives a {program.returns.lower()}, not true or false; say result < 0.01")
        return cls(text, _needs_result(text), program)

    def holds(self, result: float) -> bool:
        """:raises ValueError: it cannot be evaluated, as ``1 / 0 == 1``."""
        value = self._program.evaluate({"result": float(result)})
        if not isinstance(value, bool):
            raise ValueError("it gives neither true nor false")
        return value

    def probes(self) -> frozenset[float] | None:
        """Numbers that stand for all others; None where nobody can tell, as it reckons with the result.

        Without arithmetic nothing is compared but the result and the numbers that are written, each perhaps negated.
        So nothing changes but at one of these, and between two neighbours one number is as good as another.
        """
        numbers = _numbers(self.text)
        if numbers is None:
            return None
        steps = {sign * number for number in (*numbers, 0.0) for sign in (1.0, -1.0)}
        beside = {math.nextafter(step, end) for step in steps for end in (-math.inf, math.inf)}
        return frozenset(steps | beside)


def can_pass(success: Condition, failure: Condition | None = None) -> bool:
    """Whether there may be a number of which ``success`` holds and ``failure`` does not; never a wrong no."""
    probes = [condition.probes() for condition in (success, failure) if condition is not None]
    if None in probes:
        return True
    for result in frozenset[float]().union(*(some for some in probes if some is not None)):
        try:
            if success.holds(result) and not (failure is not None and failure.holds(result)):
                return True
        except ValueError:
            return True
    return False


def _numbers(text: str) -> list[float] | None:
    """The numbers that a condition names; None: it reckons with them."""
    bare = _NUMBER_TEXT.sub("0", text)
    if not _COMPARING.fullmatch(bare) or _SUBTRACTION.search(bare):
        return None
    return [float(int(n, 16)) if n[:2] in ("0x", "0X") else float(n) for n in _NUMBER_TEXT.findall(text)]


def _needs_result(text: str) -> bool:
    """Whether it compiles only where there is a ``result``."""
    try:
        compile_cel(text, Dialect("numbers", functions=NUMBER.functions, declared=NUMBER.declared))
    except ValueError:
        return True
    return False


@functools.lru_cache(maxsize=32)
def _environment(dialect: Dialect) -> Any:
    config = cel.NewEnvConfigFromYaml(_configuration(dialect))
    return cel.NewEnv(config=config, variables={name: cel.Type(type_) for name, type_ in dialect.variables})


def _configuration(dialect: Dialect) -> str:
    """The library's own format (https://github.com/google/cel-cpp/blob/master/env/env_yaml.h), which is YAML."""
    lines = ["stdlib:", "  include_functions:"]
    lines += ["  - name: '@not_strictly_false'"]  # part of all and exists; an empty list allows everything
    for function in dialect.functions:
        name, _, overload = function.partition(":") if function != "_?_:_" else (function, "", "")
        lines.append(f"  - name: '{name}'")
        if overload:
            lines += ["    overloads:", f"    - id: {overload}"]
    if dialect.macros:
        lines += ["  include_macros:", *(f"  - {name}" for name in dialect.macros)]
    else:
        lines.append("  disable_macros: true")
    by_name: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for name, arguments, result in dialect.declared:
        by_name.setdefault(name, []).append((arguments, result))
    lines += ["functions:"] if by_name else []
    for name, overloads in by_name.items():
        lines += [f"- name: '{name}'", "  overloads:"]
        for arguments, result in overloads:
            lines += [f"  - id: 'of {name} {' '.join(arguments)}'", "    args:"]
            lines += [f"    - type_name: {argument}" for argument in arguments]
            lines += ["    return:", f"      type_name: {result}"]
    return "\n".join(lines)


def _explained(said: str, dialect: Dialect) -> str:
    """The first of the library's errors, for people."""
    place = _PLACE.search(said)
    if "recursion" in said:
        return "it is nested too deeply, or too many operators follow each other: at most 32 levels"
    if place is None:
        return _plain(said)
    line, column, problem = int(place[1]), place[2], _plain(place[3])
    where = f"line {line}, column {column}" if line > 1 else f"column {column}"
    return f"{where}: {_problem(problem, dialect)}"


def _problem(problem: str, dialect: Dialect) -> str:
    if overload := _OVERLOAD.search(problem):
        types = set(overload[2].split(", "))
        hint = "; write both with a decimal point" if len(types) > 1 and types <= set(_NUMBERS) else ""
        return f"'{_spoken(overload[1])}' does not take ({overload[2]}){hint}"
    if unknown := _UNKNOWN.search(problem):
        return f"'{_spoken(unknown[1])}' is not known here; there is {dialect.words}"
    if unexpected := _UNEXPECTED.search(problem):
        return "it ends too early" if unexpected[1] == "<EOF>" else f"'{unexpected[1]}' is not expected here"
    return problem.split(" expecting ")[0].removeprefix("Syntax error: ")


def _spoken(name: str) -> str:
    """A function as its user knows it: ``_<_`` is <."""
    return name if name.isidentifier() else name.strip("@").replace("_", " ").strip()


def _plain(said: str) -> str:
    """One line without the library's codes."""
    return _CODE.sub("", _CODE.sub("", said.split("\n")[0])).strip()[:200]
