"""Which URLs gates may request: those below a prefix of the cluster admin, compared part by part, never as text.

The authors of rollouts write gates, and the operator sends their requests from inside the cluster. Without this list,
authors could reach servers that they have no access to (server-side request forgery). A URL that programs interpret
differently is refused.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from trimtab.gates.addresses import Address, unmapped

OPTION = "--allow-gate-url"
MAX_LENGTH = 2048
_PORTS = {"http": 80, "https": 443}

_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?"
    r"(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.DOTALL,
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]*\]|[^:\[\]]*)(?P<port>:[0-9]{1,5})?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(r"\??(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_END = re.compile(r"[?#]")
_AT = re.compile("[@\ufe6b\uff20]")
"""The character, and characters that some programs treat as it."""
_SHOWN = tuple(f"{scheme}://" for scheme in _PORTS)
_AMBIGUOUS = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")
_MISREAD = re.compile("\ufffd|%u[0-9A-Fa-f]{4}")
"""Overlong and broken UTF-8, and an escape that only some servers know."""


class RefusedUrlError(ValueError):
    """A gate may not request the URL. The message contains the URL without its query, and what to change."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in canonical form: host in lower case ASCII or an IP address, with a port, without dot segments."""

    scheme: str
    host: str
    port: int
    segments: tuple[str, ...]
    query: str = ""
    address: Address | None = None
    """If the host is an IP address."""

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a default port."""
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self._bracketed}{port}"

    @property
    def url(self) -> str:
        """The URL exactly as requested."""
        return f"{self.origin}/{'/'.join(self.segments)}{self.query}"

    @property
    def authority(self) -> str:
        """``host:port``, without a path or query."""
        return f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def covers(self, other: Target) -> bool:
        """Whether the other has the same origin and begins with these path segments."""
        mine = self.segments[:-1] if self.segments and not self.segments[-1] else self.segments
        same = (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)
        return same and other.segments[: len(mine)] == mine


@dataclass(frozen=True, slots=True)
class AllowList:
    """The prefixes that the cluster admin allows. Without any, nothing is allowed."""

    prefixes: tuple[Target, ...] = ()

    @classmethod
    def parse(cls, prefixes: Sequence[str]) -> AllowList:
        """:raises ValueError: with the invalid prefix and the problem."""
        targets = []
        for prefix in prefixes:
            try:
                target = parse(prefix)
            except RefusedUrlError as error:
                raise ValueError(f"{OPTION} {error}") from None
            if target.query:
                raise ValueError(f"{OPTION} {_shown(prefix)} has a query; end the prefix with its path")
            targets.append(target)
        return cls(tuple(targets))

    def check(self, url: str, below: tuple[str, ...] = ()) -> Target:
        """The URL with ``below`` added to its path.

        :raises RefusedUrlError: it is not allowed, or programs may interpret it differently.
        """
        target = parse(url)
        if below:
            if target.query:
                raise RefusedUrlError(f"{_shown(url)} has a query; end the address with its path")
            base = target.segments[:-1] if target.segments and not target.segments[-1] else target.segments
            target = Target(target.scheme, target.host, target.port, base + below, "", target.address)
        if not any(prefix.covers(target) for prefix in self.prefixes):
            origin = "PREFIX" if _AT.search(url) else target.origin
            raise RefusedUrlError(
                f"{_shown(url)} is not allowed; the cluster admin can allow it with `trimtab run {OPTION} {origin}`"
            )
        return target


def parse(url: str) -> Target:
    """:raises RefusedUrlError: not an http or https URL, or one that programs interpret differently."""
    parts = _split(url)
    scheme = parts["scheme"].lower()
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None or not authority["host"]:
        raise _refused(url, "has no host, or not one host and one port")
    port = int(authority["port"][1:]) if authority["port"] else _PORTS[scheme]
    if not 0 < port < 65536:
        raise _refused(url, "has a port that is not between 1 and 65535")
    host, address = _host(url, authority["host"])
    query = parts["query"] or ""
    if not _QUERY.fullmatch(query):
        raise _refused(url, "has characters in its query that must be percent-encoded")
    segments = _segments(url, parts["path"] or "/")
    return Target(scheme, host, port, segments, "" if query == "?" else query, address)


def _split(url: str) -> re.Match[str]:
    parts = _PARTS.fullmatch(url)
    if len(url) > MAX_LENGTH:
        raise _refused(url, f"is longer than {MAX_LENGTH} characters")
    if any(char <= " " or char in "\\\x7f" for char in url):
        raise _refused(url, "has a space, a backslash or a control character")
    if parts is None or parts["scheme"].lower() not in _PORTS:
        raise _refused(url, "is not an http:// or https:// URL")
    if "@" in parts["authority"]:
        raise _refused(url, "has user info; credentials in a URL would be readable in the object")
    if parts["fragment"] is not None:
        raise _refused(url, "has a fragment (#); remove it")
    return parts


def _host(url: str, written: str) -> tuple[str, Address | None]:
    address = _ipv6_address(url, written)
    if address is not None:
        return str(address), address
    host = _ascii(url, written.lower())
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # some programs read 0x7f.1 and 2130706433 as 127.0.0.1
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            problem = "has a number as its host; write an IPv4 address as four decimal numbers"
            raise _refused(url, problem) from None
        return str(address), address
    if host.endswith("."):
        raise _refused(url, "has a host that ends with a dot; remove the dot")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(url, "has a host that is not a valid DNS name")
    return host, None


def _ipv6_address(url: str, written: str) -> Address | None:
    """The IPv6 address in brackets, None if there are no brackets."""
    if not written.startswith("["):
        return None
    try:
        return unmapped(ipaddress.IPv6Address(written[1:-1]))
    except ValueError:
        raise _refused(url, "has no valid IPv6 address in its brackets") from None


def _ascii(url: str, host: str) -> str:
    if host.isascii():
        return host
    import yarl  # part of aiohttp, which offline verbs do not import

    try:
        return (yarl.URL.build(scheme="http", host=host).raw_host or "").lower()
    except ValueError:  # UnicodeError is one
        raise _refused(url, "has a host that is not a valid internationalized name") from None


def _segments(url: str, path: str) -> tuple[str, ...]:
    if not _PATH.fullmatch(path):
        raise _refused(url, "has characters in its path that must be percent-encoded")
    segments = tuple(_ESCAPE.sub(_plain, segment) for segment in path.split("/")[1:])
    for segment in segments:
        for read in _readings(segment):
            if _AMBIGUOUS.search(read):
                raise _refused(url, "has an encoded slash, backslash or control character in its path")
            if _MISREAD.search(read):
                raise _refused(url, "has an escape in its path that is not valid UTF-8")
            if read.split(";")[0].strip() in (
                ".",
                "..",
            ):  # some servers first drop the rest after a semicolon
                raise _refused(url, "has a dot segment (. or ..) in its path; remove it")
    return segments


def _readings(segment: str) -> Iterator[str]:
    """What servers may decode it to, any number of times, and with letters instead of their wide forms."""
    while True:
        plain = unquote(segment, errors="replace")
        yield unicodedata.normalize("NFKC", plain)
        if plain == segment:
            return
        segment = plain


def _plain(escape: re.Match[str]) -> str:
    """The character if it needs no escape, otherwise the escape in capitals."""
    char = chr(int(escape[0][1:], 16))
    return char if char.isascii() and (char.isalnum() or char in "-._~") else escape[0].upper()


def _refused(url: str, why: str) -> RefusedUrlError:
    return RefusedUrlError(f"{_shown(url)} {why}")


def _shown(url: str) -> str:
    """The URL for messages: without query and possible user info, unprintable characters escaped, shortened."""
    head = _END.split(url, maxsplit=1)[0]
    tail = url[len(head) :]
    scheme = next((known for known in _SHOWN if head.lower().startswith(known)), "")
    if _AT.search(tail):  # user info with an unescaped ? or #, or a query with an @
        text = f"{scheme}…"
    elif _AT.search(head):
        text = scheme + _AT.split(head)[-1]
    else:
        text = head
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return text if len(text) <= 200 else text[:200] + "…"
