"""CEL, compiled once and checked for types, in dialects of bounded cost; and conditions over a measured number.

A dialect lists what an expression may contain (https://github.com/google/cel-spec): the compiler rejects all else. The
one for conditions has arithmetic, comparisons and logic over numbers, so its cost is linear in the length of the text:
no macros, which loop, no concatenation of texts or lists, no regular expressions. See
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
    """What an expression may contain.

    ``summary``: a readable list of it. ``variables``: (name, CEL type). ``functions``: CEL's standard functions, and
    operators by CEL's names for them; ``name:overload`` allows only that overload. ``macros``: all, exists, exists_one,
    has, map, filter. ``declared``: (function, types of its arguments, type of its result) of overloads that the
    evaluator knows and the checker does not, instead of the checker's own of that name.

    With macros, ``map`` above all, consider the cost of a short text over a long list, or of concatenated text.
    """

    summary: str
    variables: tuple[tuple[str, str], ...] = ()
    functions: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()
    declared: tuple[tuple[str, tuple[str, ...], str], ...] = ()


def comparisons() -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """Between all numbers, as CEL evaluates them: by value, whatever the type (``result < 1`` of a double)."""
    operators = ("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_")
    return tuple((o, (a, b), "bool") for o in operators for a in _NUMBERS for b in _NUMBERS)


NUMBER = Dialect(
    summary="result, numbers, + - * / %, comparisons, && || ! and ? :",
    variables=(("result", "double"),),
    functions=(
        *("_&&_", "_||_", "!_", "_?_:_", "-_", "_-_", "_*_", "_/_", "_%_"),
        *("_+_:add_int64", "_+_:add_uint64", "_+_:add_double", "int", "uint", "double"),
    ),
    declared=comparisons(),
)


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. ``returns`` is CEL's name of its type, in capitals: BOOL, DOUBLE, STRING, DYN."""

    text: str
    returns: str
    _compiled: Any = field(repr=False, compare=False)

    def evaluate(self, values: dict[str, Any]) -> Any:
        """The result for the variables' values. :raises ValueError: none, for example after a division by zero."""
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

    :raises ValueError: what is wrong, where, and what is allowed.
    """
    if not text.strip():
        raise ValueError("it is empty; write an expression, for example result < 0.01")
    if len(text) > longest:
        raise ValueError(f"it has {len(text)} characters; at most {longest} are allowed")
    try:
        compiled = _environment(dialect).compile(text)
    except TypeError:
        raise ValueError("it contains half of a surrogate pair, which is not valid text") from None
    except RuntimeError as error:
        raise ValueError(_explained(str(error), dialect)) from None
    return Program(text, compiled.return_type().name(), compiled)


@dataclass(frozen=True, slots=True)
class Condition:
    """A boolean expression over one number, ``result``. ``mentions_result``: whether it depends on that number."""

    text: str
    mentions_result: bool
    _program: Program = field(repr=False, compare=False)

    @classmethod
    def compile(cls, text: str) -> Condition:
        """:raises ValueError: what is wrong, where, and what is allowed."""
        program = compile_cel(text, NUMBER)
        if program.returns != "BOOL":
            raise ValueError(
                f"it gives a {program.returns.lower()}, not true or false; compare it, for example result < 0.01"
            )
        return cls(text, _needs_result(text), program)

    def holds(self, result: float) -> bool:
        """:raises ValueError: it cannot be evaluated, for example ``1 / 0 == 1``."""
        value = self._program.evaluate({"result": float(result)})
        if not isinstance(value, bool):
            raise ValueError("it gives neither true nor false")
        return value

    def probes(self) -> frozenset[float] | None:
        """Numbers that represent all others; None if there are no such numbers, as it computes with the result.

        Without arithmetic, only the result and the numbers in the text are compared, each perhaps negated. So the
        condition changes only at one of these, and is the same for all numbers between two neighbors.
        """
        numbers = _numbers(self.text)
        if numbers is None:
            return None
        steps = {sign * number for number in (*numbers, 0.0) for sign in (1.0, -1.0)}
        neighbors = {math.nextafter(step, end) for step in steps for end in (-math.inf, math.inf)}
        return frozenset(steps | neighbors)


def can_pass(success: Condition, failure: Condition | None = None) -> bool:
    """Whether there may be a number for which ``success`` holds and ``failure`` does not. False is certain."""
    conditions = [success] if failure is None else [success, failure]
    probes = [found for condition in conditions if (found := condition.probes()) is not None]
    if len(probes) < len(conditions):
        return True
    return any(_may_pass(success, failure, result) for result in frozenset().union(*probes))


def _may_pass(success: Condition, failure: Condition | None, result: float) -> bool:
    try:
        return success.holds(result) and not (failure is not None and failure.holds(result))
    except ValueError:
        return True


def _numbers(text: str) -> list[float] | None:
    """The numbers in a condition's text; None: it computes with them."""
    bare = _NUMBER_TEXT.sub("0", text)
    if not _COMPARING.fullmatch(bare) or _SUBTRACTION.search(bare):
        return None
    return [float(int(n, 16)) if n[:2] in ("0x", "0X") else float(n) for n in _NUMBER_TEXT.findall(text)]


def _needs_result(text: str) -> bool:
    """Whether it compiles only with a variable ``result``."""
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
        lines += _included(function)
    if dialect.macros:
        lines += ["  include_macros:", *(f"  - {name}" for name in dialect.macros)]
    else:
        lines.append("  disable_macros: true")
    return "\n".join([*lines, *_declared(dialect)])


def _included(function: str) -> list[str]:
    name, _, overload = function.partition(":") if function != "_?_:_" else (function, "", "")
    overloads = ["    overloads:", f"    - id: {overload}"] if overload else []
    return [f"  - name: '{name}'", *overloads]


def _declared(dialect: Dialect) -> list[str]:
    by_name: dict[str, list[str]] = {}
    for name, arguments, result in dialect.declared:
        by_name.setdefault(name, []).extend(
            (
                f"  - id: 'of {name} {' '.join(arguments)}'",
                "    args:",
                *(f"    - type_name: {argument}" for argument in arguments),
                "    return:",
                f"      type_name: {result}",
            )
        )
    lines = ["functions:"] if by_name else []
    for name, overloads in by_name.items():
        lines += [f"- name: '{name}'", "  overloads:", *overloads]
    return lines


def _explained(said: str, dialect: Dialect) -> str:
    """The first of the library's errors, in readable form."""
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
        return f"'{_spelled(overload[1])}' does not take ({overload[2]}){hint}"
    if unknown := _UNKNOWN.search(problem):
        return f"'{_spelled(unknown[1])}' is not known here; there is {dialect.summary}"
    if unexpected := _UNEXPECTED.search(problem):
        return "it ends too early" if unexpected[1] == "<EOF>" else f"'{unexpected[1]}' is not expected here"
    return problem.split(" expecting ")[0].removeprefix("Syntax error: ")


def _spelled(name: str) -> str:
    """A function as an expression spells it: ``_<_`` is <."""
    return name if name.isidentifier() else name.strip("@").replace("_", " ").strip()


def _plain(said: str) -> str:
    """One line without the library's codes."""
    return _CODE.sub("", _CODE.sub("", said.split("\n")[0])).strip()[:200]
