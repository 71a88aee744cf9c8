"""How to say what ready means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from aelastic.errors.base import InvalidArgumentError
from aelastic.readiness import ExecProbe, HttpProbe, LogProbe, Notify, TcpProbe, Url, split_url
from aelastic.std import Std

if TYPE_CHECKING:
    from collections.abc import Callable


def test_words_are_values() -> None:
    assert Notify() == Notify()
    assert TcpProbe(80) == TcpProbe(80, "127.0.0.1", owned=True)
    assert ExecProbe(["a", "b"]) == ExecProbe(("a", "b"))
    assert len({Notify(), TcpProbe(80), ExecProbe(["a"]), LogProbe("x"), HttpProbe("http://a")}) == 5


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://127.0.0.1:8000/health", Url(False, "127.0.0.1", 8000, "127.0.0.1:8000", "/health")),
        ("http://localhost", Url(False, "localhost", 80, "localhost", "/")),
        ("https://localhost", Url(True, "localhost", 443, "localhost", "/")),
        ("http://[::1]:80/", Url(False, "::1", 80, "[::1]:80", "/")),
        ("http://h?a=b", Url(False, "h", 80, "h", "/?a=b")),
        ("http://h/a?b#c", Url(False, "h", 80, "h", "/a?b")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: Url) -> None:
    assert split_url(url) == parts


WRONG: list[tuple[Callable[[], Any], str]] = [
    *((lambda url=url: HttpProbe(url), "HttpProbe.url") for url in ("", "localhost:80", "ftp://h/", "http://", 5)),
    *((lambda url=url: HttpProbe(url), "HttpProbe.url") for url in ("http://h:0/", "http://h:65536", "http://u@h/")),
    *((lambda url=url: HttpProbe(url), "HttpProbe.url") for url in ("http://h/ x", "http://h/\r\nX: y", "http://é/")),
    *((lambda port=port: TcpProbe(port), "TcpProbe.port") for port in (0, -1, 65536, "80", None)),
    *((lambda host=host: TcpProbe(80, host), "TcpProbe.host") for host in ("", None)),
    *((lambda argv=argv: ExecProbe(argv), "ExecProbe.argv") for argv in ((), "ls -l", b"ls", [1])),
    (lambda: LogProbe("("), "no regular expression"),
    (lambda: LogProbe(None), "no regular expression"),  # type: ignore[arg-type]
    (lambda: LogProbe(re.compile(b"x")), "for text"),  # type: ignore[arg-type]
    (lambda: LogProbe("x", Std.NONE), "LogProbe.stream"),
    (lambda: TcpProbe(80, interval=0), "TcpProbe.interval"),
    (lambda: HttpProbe("http://h", timeout=-1), "HttpProbe.timeout"),
    (lambda: ExecProbe(["a"], timeout=float("inf")), "ExecProbe.timeout"),
    (lambda: ExecProbe(["a"], interval="1"), "ExecProbe.interval"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "match"), WRONG)
def test_a_word_that_makes_no_sense_is_refused_at_once(make: Callable[[], Any], match: str) -> None:
    with pytest.raises(InvalidArgumentError, match=match):
        make()
