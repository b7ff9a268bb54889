"""Every character, through the real API server and back: ConfigMaps and Secrets, groups and users, all formats."""

from __future__ import annotations

import base64
import configparser
import io
import json
import os
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import javaproperties
import yaml

from support.live_objects import Body
from support.namespace import Namespace
from support.operator_process import Operator

CORNERS = [
    *map(chr, range(1, 0xA1)), "\xad", "\u2028", "\u2029", "\ud7ff", "\ue000", "\ufdd0", "\ufeff", "\ufffd", "\ufffe",
    "\uffff", "\U00010000", "\U0001ffff", "\U0010fffe", "\U0010ffff",
]  # fmt: skip
TEXTS = {f"k{n:03}": f"{c}a {c}{c} \\{c}" for n, c in enumerate(CORNERS)} | {"all": "".join(CORNERS)}
NUL = "\0a\0"
MAP = {f" {text} ": text for text in [*TEXTS.values(), NUL]}
KEYS = [
    *({"name": f"c.{name}", "type": "String"} for name in TEXTS),
    {"name": "nul", "type": "String"},
    {"name": "map", "type": "StringMap"},
]
VALUES = {**{f"c.{name}": text for name, text in TEXTS.items()}, "nul": NUL, "map": MAP}


def _ini(text: str) -> Body:
    reader = configparser.ConfigParser(interpolation=None)
    reader.read_string(text)
    texts = {name: _unquoted(reader["c"][name]) for name in TEXTS}
    return {
        "c": texts,
        "nul": _unquoted(reader["DEFAULT"]["nul"]),
        "map": json.loads(reader["DEFAULT"]["map"]),
    }


def _unquoted(raw: str) -> str:
    try:
        return str(json.loads(raw))
    except ValueError:
        return raw


def _flat(found: Mapping[str, Any], prefix: str) -> Body:
    texts = {name: found[prefix + name] for name in TEXTS}
    return {"c": texts, "nul": found["nul"], "map": json.loads(found["map"])}


def _env(text: str) -> Body:
    done = subprocess.run(
        ["sh", "-c", f"set -a\n{text}\nexec env -0"],
        env={"PATH": os.defpath},
        capture_output=True,
        check=True,
    )
    found = dict(line.split("=", 1) for line in done.stdout.decode().split("\0")[:-1])
    return _flat({name.lower(): value for name, value in found.items()} | {"nul": NUL}, "c_")


READERS: dict[str, Callable[[str], Body]] = {
    "JSON": json.loads,
    "YAML": yaml.safe_load,
    "TOML": tomllib.loads,
    "INI": _ini,
    "Properties": lambda text: _flat(javaproperties.load(io.StringIO(text)), "c."),
    "Env": _env,
}
OUTPUTS: list[Body] = [
    {
        "name": f"{fmt}-{kind}-{scope}".lower(),
        "format": fmt,
        "kind": kind,
        "scope": scope,
        "fileName": f"{kind}.{fmt}".lower(),
        "include": ["c.*", "map"] if fmt == "Env" else ["*"],
    }
    for fmt in READERS
    for kind in ("ConfigMap", "Secret")
    for scope in ("Group", "User")
]


def test_every_character_comes_back_exactly(operator: Operator, ns: Namespace) -> None:
    # given: everything, as values of a group and of a user
    groups: list[Body] = [{"name": "all", "values": VALUES}, {"name": "own"}]
    ns.template(keys=KEYS, groups=groups, outputs=OUTPUTS)
    ns.preference("alice", VALUES, group="own")
    ns.rendered()
    ns.accepted("alice")

    # then: every reader of every file gets it back
    want = {"c": TEXTS, "nul": NUL, "map": MAP}
    for fmt, read in READERS.items():
        for kind in ("ConfigMap", "Secret"):
            file = f"{kind}.{fmt}".lower()
            assert read(_text(ns, kind, "app-all", file)) == want, (fmt, kind)
            assert read(_text(ns, kind, "app-own-users-0", f"alice.{file}")) == want, (fmt, kind)


def _text(ns: Namespace, kind: str, name: str, entry: str) -> str:
    text = ns.wait_data(name, entry, kind=kind)
    return base64.b64decode(text).decode() if kind == "Secret" else text
