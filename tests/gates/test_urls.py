"""The allow-list compares parts, never text: every way to spell one thing as another is refused or seen through."""

from __future__ import annotations

import pytest

from trimtab.gates.urls import AllowList, RefusedUrlError, parse

ALLOWED = AllowList.parse(
    ["http://prometheus.monitoring:9090", "https://api.example.com/x", "http://[fd00::1]/", "http://10.0.0.7"]
)


@pytest.mark.parametrize(
    ("url", "requested"),
    [
        ("http://prometheus.monitoring:9090", "http://prometheus.monitoring:9090/"),
        ("http://prometheus.monitoring:9090/", "http://prometheus.monitoring:9090/"),
        ("HTTP://Prometheus.MONITORING:9090/a/b", "http://prometheus.monitoring:9090/a/b"),
        ("https://api.example.com/x", "https://api.example.com/x"),
        ("https://api.example.com/x/", "https://api.example.com/x/"),
        ("https://api.example.com/x/y/z", "https://api.example.com/x/y/z"),
        ("https://api.example.com:443/x", "https://api.example.com/x"),
        ("https://api.example.com:00443/x", "https://api.example.com/x"),
        ("https://api.example.com/%78/y", "https://api.example.com/x/y"),
        (
            "https://api.example.com/x?a=b/../c&d=http://e@f/",
            "https://api.example.com/x?a=b/../c&d=http://e@f/",
        ),
        ("https://api.example.com/x/a.b..c/...", "https://api.example.com/x/a.b..c/..."),
        ("https://api.example.com/x//y", "https://api.example.com/x//y"),
        ("https://api.example.com/x/caf%c3%a9", "https://api.example.com/x/caf%C3%A9"),
        ("https://api.example.com/x/v1%2e0", "https://api.example.com/x/v1.0"),
        ("https://api.example.com/x?", "https://api.example.com/x"),
        ("https://ａｐｉ.example．com/x", "https://api.example.com/x"),
        ("http://[FD00:0:0:0:0:0:0:1]/", "http://[fd00::1]/"),
        ("http://[fd00::1]:80/a", "http://[fd00::1]/a"),
        ("http://[::ffff:10.0.0.7]/", "http://10.0.0.7/"),
        ("http://[::ffff:a00:7]/", "http://10.0.0.7/"),
        ("http://１０.0.0.7/", "http://10.0.0.7/"),
    ],
)
def test_what_is_below_a_prefix_is_allowed_in_its_one_spelling(url: str, requested: str) -> None:
    assert ALLOWED.check(url).url == requested


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/",
        "https://prometheus.monitoring:9090/",
        "http://prometheus.monitoring/",
        "http://prometheus.monitoring:90900",
        "http://prometheus.monitoring.evil.example:9090/",
        "http://xprometheus.monitoring:9090/",
        "https://api.example.com/",
        "https://api.example.com/xy",
        "https://api.example.com/X",
        "https://api.example.com//x",
        "https://api.example.com/x;a/y",
        "https://api.example.com/?/x",
        "https://api.example.com:444/x",
        "http://api.example.com/x",
        "http://[fd00::2]/",
        "http://10.0.0.70/",
    ],
)
def test_what_only_begins_like_a_prefix_is_refused(url: str) -> None:
    with pytest.raises(RefusedUrlError):
        ALLOWED.check(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://prometheus.monitoring:9090@evil.example/", "user info"),
        ("http://good:secret@prometheus.monitoring:9090/", "user info"),
        ("http://prometheus.monitoring:9090%40evil.example/", "has no host"),
        ("http://prometheus.monitoring%2eevil:9090/", "not a valid DNS name"),
        ("http://evil.example#@prometheus.monitoring:9090/", "fragment"),
        ("http://prometheus.monitoring:9090/#x", "fragment"),
        ("http://evil.example\\@prometheus.monitoring:9090/", "backslash"),
        ("http:\\\\prometheus.monitoring:9090/", "backslash"),
        ("http:///prometheus.monitoring:9090/", "has no host"),
        ("http:prometheus.monitoring:9090/", "not an http:// or https:// URL"),
        ("//prometheus.monitoring:9090/", "not an http:// or https:// URL"),
        ("http://", "has no host"),
        ("http://:9090/", "has no host"),
        ("http://prometheus.monitoring:/", "has no host"),
        ("http://prometheus.monitoring:9090:80/", "has no host"),
        ("http://prometheus.monitoring:0/", "port"),
        ("http://prometheus.monitoring:65536/", "port"),
        ("http://prometheus.monitoring:+9090/", "has no host"),
        ("http://prometheus.monitoring.:9090/", "ends with a dot"),
        ("http://prometheus..monitoring:9090/", "not a valid DNS name"),
        ("http://-prometheus.monitoring:9090/", "not a valid DNS name"),
        ("http://" + "a" * 64 + "/", "not a valid DNS name"),
        ("http://" + "a." * 130 + "a/", "not a valid DNS name"),
        ("ftp://prometheus.monitoring:9090/", "not an http:// or https:// URL"),
        ("file:///etc/passwd", "not an http:// or https:// URL"),
        ("gopher://prometheus.monitoring:9090/_x", "not an http:// or https:// URL"),
        ("javascript://prometheus.monitoring:9090/", "not an http:// or https:// URL"),
        (" http://prometheus.monitoring:9090/", "space"),
        ("http://prometheus.monitoring:9090/ HTTP/1.1", "space"),
        ("http://prometheus.monitoring:9090/\r\nHost: evil", "control character"),
        ("http://prometheus.monitoring\t:9090/", "control character"),
        ("ht\ntp://prometheus.monitoring:9090/", "control character"),
        ("http://prometheus.monitoring:9090/\x7f", "control character"),
        ("https://api.example.com/x/../y", "dot segment"),
        ("https://api.example.com/x/..", "dot segment"),
        ("https://api.example.com/./x", "dot segment"),
        ("https://api.example.com/x/%2e%2e/y", "dot segment"),
        ("https://api.example.com/x/.%2E/y", "dot segment"),
        ("https://api.example.com/x/%252e%252e/y", "dot segment"),
        ("https://api.example.com/x/%25252e%25252e/y", "dot segment"),
        ("https://api.example.com/x/%2525252525252e%2525252525252e/y", "dot segment"),
        ("https://api.example.com/x/%252525252e./y", "dot segment"),
        ("https://api.example.com/x/%25252e%25252e%25253b/y", "dot segment"),
        ("https://api.example.com/x/%EF%BC%8E%EF%BC%8E/y", "dot segment"),
        ("https://api.example.com/x/%E2%80%A5/y", "dot segment"),
        ("https://api.example.com/x/..%20/y", "dot segment"),
        ("https://api.example.com/x%25252fy", "encoded slash"),
        ("https://api.example.com/x/%2525255c..", "encoded slash"),
        ("https://api.example.com/x/%25252500", "control character"),
        ("https://api.example.com/x/%EF%BC%8F..%EF%BC%8Fy", "encoded slash"),
        ("https://api.example.com/x/%C0%AE%C0%AE/y", "not valid UTF-8"),
        ("https://api.example.com/x%C0%AFy", "not valid UTF-8"),
        ("https://api.example.com/x%E0%80%AFy", "not valid UTF-8"),
        ("https://api.example.com/x/%25u002e%25u002e/y", "not valid UTF-8"),
        ("https://api.example.com/x/..;/y", "dot segment"),
        ("https://api.example.com/x/..;a=b/y", "dot segment"),
        ("https://api.example.com/x/%2e%2e%3b/y", "dot segment"),
        ("https://api.example.com/x%2fy", "encoded slash"),
        ("https://api.example.com/x%2F..%2fy", "encoded slash"),
        ("https://api.example.com/x%252fy", "encoded slash"),
        ("https://api.example.com/x/%5c..%5cy", "encoded slash"),
        ("https://api.example.com/x/%00", "control character"),
        ("https://api.example.com/x/%0d%0aHost:evil", "control character"),
        ("https://api.example.com/x/%", "percent-encoded"),
        ("https://api.example.com/x/%zz", "percent-encoded"),
        ("https://api.example.com/x/é", "percent-encoded"),
        ("https://api.example.com/x/．．/y", "percent-encoded"),
        ("https://api.example.com/x／y", "percent-encoded"),
        ("https://api.example.com/x?q=é", "percent-encoded"),
        ("https://api.example.com／x", "not a valid internationalized name"),
        ("https://api.example.com℀/x", "not a valid internationalized name"),
        ("https://api.example.com。/x", "ends with a dot"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://0x7f.1/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://10.0.0.07/", "four decimal numbers"),
        ("http://10.0.0.7./", "ends with a dot"),
        ("http://256.0.0.1/", "four decimal numbers"),
        ("http://example.com.0x1/", "four decimal numbers"),
        ("http://[fd00::1/", "has no host"),
        ("http://fd00::1/", "has no host"),
        ("http://[fd00::1]x/", "has no host"),
        ("http://[fe80::1%25eth0]/", "has no host"),
        ("http://[fd00::1]:80:80/", "has no host"),
        ("http://[]/", "no valid IPv6"),
        ("http://[10.0.0.7]/", "no valid IPv6"),
        ("http://[v1.x]/", "has no host"),
        ("https://api.example.com/x/" + "a" * 2048, "longer than 2048"),
        ("", "not an http:// or https:// URL"),
    ],
)
def test_urls_that_programs_read_differently_are_refused_with_the_reason(url: str, said: str) -> None:
    with pytest.raises(RefusedUrlError) as refusal:
        ALLOWED.check(url)

    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.example/a?token=hunter2",
        "http://user:hunter2@evil.example/a",
        "http://user:hunter2@evil.example/a\r\nX: y",
        "http://evil.example/a#hunter2",
        "http://a@hunter2@evil.example/",
    ],
)
def test_a_refusal_names_the_url_without_what_may_be_a_credential(url: str) -> None:
    with pytest.raises(RefusedUrlError) as refusal:
        ALLOWED.check(url)

    assert "http://evil.example/" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:hun?ter2@evil.example/",
        "http://ann:hun#ter2@evil.example/",
        "http://ann:hun/ter2?@evil.example/",
        "HTTPS://ann:hun?ter2＠evil.example/",
        "http://ann:hunter2＠evil.example/",
        "http://ann:12?34@evil.example/",
        "ann:hunter2@evil.example/",
        "ann:hun//ter2@evil.example/",
        "http:\\\\ann:hunter2@evil.example/",
        "ann://hunter2@evil.example",
    ],
)
def test_whatever_may_be_user_info_is_never_shown(url: str) -> None:
    with pytest.raises(RefusedUrlError) as refusal:
        ALLOWED.check(url)

    assert not any(part in str(refusal.value) for part in ("ann", "hun", "ter2", ":12"))


def test_a_refusal_names_what_the_cluster_admin_has_to_add() -> None:
    with pytest.raises(RefusedUrlError) as refusal:
        ALLOWED.check("http://grafana.monitoring:3000/api/health?x=1")

    assert str(refusal.value).startswith("http://grafana.monitoring:3000/api/health is not allowed")
    assert "--allow-gate-url http://grafana.monitoring:3000" in str(refusal.value)


def test_without_prefixes_nothing_is_allowed() -> None:
    for url in ("http://prometheus.monitoring:9090/", "http://localhost/", "http://127.0.0.1/"):
        with pytest.raises(RefusedUrlError):
            AllowList.parse([]).check(url)


def test_a_prefix_that_ends_with_a_slash_is_as_one_that_does_not() -> None:
    allowed = AllowList.parse(["http://a/x/"])

    assert allowed.check("http://a/x").url == "http://a/x"
    assert allowed.check("http://a/x/y").url == "http://a/x/y"
    with pytest.raises(RefusedUrlError):
        allowed.check("http://a/xy")


@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("prometheus:9090", "not an http:// or https:// URL"),
        ("http://a@b/", "user info"),
        ("http://b/?x=1", "has a query"),
        ("http://*.example.com/", "not a valid DNS name"),
        ("http://b/x/..", "dot segment"),
        ("", "not an http:// or https:// URL"),
    ],
)
def test_a_prefix_that_is_none_is_refused_by_its_option(prefix: str, said: str) -> None:
    with pytest.raises(ValueError, match="--allow-gate-url") as refusal:
        AllowList.parse(["http://good/", prefix])

    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("http://p:9090", "http://p:9090/api/v1/query"),
        ("http://p:9090/", "http://p:9090/api/v1/query"),
        ("http://p:9090/prom", "http://p:9090/prom/api/v1/query"),
        ("http://p:9090/prom/", "http://p:9090/prom/api/v1/query"),
    ],
)
def test_a_path_is_added_before_it_is_looked_whether_the_url_is_allowed(address: str, asked: str) -> None:
    below = ("api", "v1", "query")

    assert AllowList.parse(["http://p:9090"]).check(address, below).url == asked
    assert AllowList.parse([asked]).check(address, below).url == asked
    with pytest.raises(RefusedUrlError):
        AllowList.parse([asked + "_range"]).check(address, below)
    with pytest.raises(RefusedUrlError, match="has a query"):
        AllowList.parse(["http://p:9090"]).check(address + "?x=1", below)


@pytest.mark.parametrize(
    "url", ["http://a", "http://a/", "https://ä.example/x?y", "http://[::1]:81/", "http://1.2.3.4/%41"]
)
def test_the_one_spelling_is_stable(url: str) -> None:
    once = parse(url)

    assert parse(once.url) == once
