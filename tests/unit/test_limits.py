"""What the kernel lets this process have."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from typing import TYPE_CHECKING

import pytest

from aelastic.process import limits
from aelastic.process.limits import check_descriptors, descriptors_left, explain, name_limit
from tests.helpers.limits import descriptors, soft_limit

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTINGS = {
    "/proc": ("/proc/self/fd",),
    "/dev": ("/no/such/directory", "/dev/fd"),
    "none": (),
}
PLENTY = 10_000


@pytest.fixture(params=LISTINGS)
def listings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux, macOS, and a chroot with neither ``/proc`` nor ``/dev``."""
    monkeypatch.setattr(limits, "_LISTINGS", LISTINGS[request.param])


@contextlib.contextmanager
def opened() -> Iterator[list[int]]:
    """Every descriptor that can be opened, as long as this is entered."""
    descriptors: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                descriptors.append(os.dup(0))
        yield descriptors
    finally:
        for one in descriptors:
            os.close(one)


@pytest.mark.usefixtures("listings")
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_as_many_are_left_as_can_be_opened(count: int) -> None:
    with descriptors(count):
        left = descriptors_left(PLENTY)
        with opened() as ours:
            assert left == len(ours) == count
            assert descriptors_left(PLENTY) == 0


@pytest.mark.usefixtures("listings")
def test_descriptors_beyond_a_lowered_limit_take_no_room_below_it() -> None:
    with opened_at_once(30) as ours, soft_limit(resource.RLIMIT_NOFILE, ours[9] + 1):
        for one in ours[:5]:
            os.close(one)
        assert descriptors_left(PLENTY) == 5
        ours[:5] = [os.dup(0) for _ in range(5)]


@contextlib.contextmanager
def opened_at_once(count: int) -> Iterator[list[int]]:
    """``count`` descriptors."""
    ours = [os.dup(0) for _ in range(count)]
    try:
        yield ours
    finally:
        for one in ours:
            os.close(one)


def test_where_descriptors_are_tried_out_it_ends_when_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_LISTINGS", ())
    with descriptors(20):
        assert descriptors_left(7) == 7


def test_without_a_limit_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert descriptors_left(7) == 7


def test_exactly_enough_is_enough() -> None:
    with descriptors(20):
        check_descriptors(20)
        with pytest.raises(OSError, match="need 21 file descriptors, and 20 are left") as caught:
            check_descriptors(21)
    assert caught.value.errno == errno.EMFILE


def test_what_is_advised_helps() -> None:
    with descriptors(20):
        with pytest.raises(OSError, match=r"ulimit -n \d+") as caught:
            check_descriptors(35)
        limit = str(caught.value).split("RLIMIT_NOFILE, (")[1].split(",")[0]
        with soft_limit(resource.RLIMIT_NOFILE, int(limit)):
            check_descriptors(35)


def test_what_no_shell_may_allow_is_not_advised() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(OSError, match=f"hard limit is {hard}, .* start fewer ranks") as caught:
        check_descriptors(hard + 1)
    assert "ulimit" not in str(caught.value)


def test_a_refused_process_names_the_limits_that_may_be_behind_it() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    allowed = "any number" if soft == resource.RLIM_INFINITY else str(soft)
    said = explain(OSError(errno.EAGAIN, "Resource temporarily unavailable"))
    assert f"RLIMIT_NPROC ({allowed} " in said
    assert "pids.max" in said


def test_a_refused_descriptor_names_its_limit() -> None:
    with soft_limit(resource.RLIMIT_NOFILE, 123):
        assert explain(OSError(errno.EMFILE, "Too many")) == "Too many: RLIMIT_NOFILE allows 123 (ulimit -n)"


def test_other_errors_speak_for_themselves() -> None:
    assert explain(OSError(errno.ENOENT, "No such file")) == "No such file"


def test_a_refused_thread_is_an_error_of_the_system() -> None:
    refused = RuntimeError("can't start new thread")
    named = name_limit(refused)
    assert isinstance(named, OSError)
    assert named.errno == errno.EAGAIN
    assert "RLIMIT_NPROC" in str(named)
    assert named.__cause__ is refused


@pytest.mark.parametrize("error", [RuntimeError("another"), ValueError("can't start new thread"), OSError(2, "x")])
def test_any_other_error_stays_what_it_is(error: Exception) -> None:
    assert name_limit(error) is error
