"""What a rank says of itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelastic.decide.notices import LARGEST, Notice, StackDump, parse_notice


@pytest.mark.parametrize(
    ("datagram", "notice"),
    [
        (b"READY=1", Notice(ready=True)),
        (b"READY=1\n", Notice(ready=True)),
        (b"STOPPING=1", Notice(stopping=True)),
        (b"WATCHDOG=1", Notice(beat=True)),
        (b"WATCHDOG=trigger", Notice(triggered=True)),
        (b"WATCHDOG_USEC=2500000", Notice(watchdog=2.5)),
        (b"STATUS=step 120/1000", Notice(status="step 120/1000")),
        (b"STATUS=", Notice(status="")),
        (b"STATUS=a=b", Notice(status="a=b")),
        (b"READY=1\nSTATUS=up\nMAINPID=12\nWATCHDOG=1", Notice(ready=True, status="up", beat=True)),
        (b"X_AELASTIC_PROGRESS=120.0/1000.0", Notice(progress=(120.0, 1000.0))),
        (b"X_AELASTIC_PROGRESS=0.5/", Notice(progress=(0.5, None))),
        (b"X_AELASTIC_PROGRESS=1e+16/1e22", Notice(progress=(1e16, 1e22))),
        (b"X_AELASTIC_DUMP=4711 62", Notice(dump=StackDump(4711, 62))),
        (b"FDSTORE=1\nBARRIER=1", Notice()),
    ],
)
def test_what_is_understood(datagram: bytes, notice: Notice) -> None:
    assert parse_notice(datagram) == notice


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"READY",
        b"READY=0",
        b"READY=11",
        b"ready=1",
        b" READY=1",
        b"WATCHDOG=0",
        b"WATCHDOG_USEC=0",
        b"WATCHDOG_USEC=-5",
        b"WATCHDOG_USEC=1e6",
        b"WATCHDOG_USEC=" + b"9" * 400,
        b"X_AELASTIC_PROGRESS=nan/1",
        b"X_AELASTIC_PROGRESS=1e999/1",
        b"X_AELASTIC_PROGRESS=1/1e999",
        b"X_AELASTIC_PROGRESS=-1/2",
        b"X_AELASTIC_PROGRESS=/2",
        b"X_AELASTIC_PROGRESS=1",
        b"X_AELASTIC_DUMP=0 9",
        b"X_AELASTIC_DUMP=-1 9",
        b"X_AELASTIC_DUMP=12",
        b"X_AELASTIC_DUMP=12 0",
        b"X_AELASTIC_DUMP=12 999",
        b"READY=1\n" + b"x" * LARGEST,
    ],
)
def test_what_makes_no_sense_says_nothing(datagram: bytes) -> None:
    assert parse_notice(datagram) == Notice()


def test_a_status_cannot_do_anything_to_a_terminal() -> None:
    hostile = "\x1b[2J\x07\r\x9b\u202egnissim\u200b".encode()
    assert parse_notice(b"STATUS=" + hostile).status == "[2Jgnissim"


def test_a_status_is_text_whatever_the_bytes() -> None:
    assert parse_notice(b"STATUS=caf\xc3\xa9 \xff").status == "café \ufffd"


def test_a_status_is_cut() -> None:
    assert parse_notice(b"STATUS=" + b"x" * 4000).status == "x" * 1000


@given(st.binary(max_size=300) | st.text().map(str.encode))
def test_nothing_is_an_error(datagram: bytes) -> None:
    notice = parse_notice(datagram)
    assert notice.status is None or notice.status.isprintable()


@given(st.lists(st.sampled_from(["READY=1", "WATCHDOG=1", "STATUS=x", "X_AELASTIC_PROGRESS=1/2", "=", "\x00"])))
def test_fields_come_in_any_order(fields: list[str]) -> None:
    notice = parse_notice("\n".join(fields).encode())
    assert notice.ready == ("READY=1" in fields)
    assert notice.beat == ("WATCHDOG=1" in fields)
    assert (notice.status == "x") == ("STATUS=x" in fields)
