"""What ranks take of the machine."""

from __future__ import annotations

import os
import subprocess
import sys

from aelastic.process.usage import Meter, Usage

FAMILY = """
import subprocess, sys
held = bytearray({size})
child = "import sys; held = bytearray({size}); print(flush=True); sys.stdin.read()"
subprocess.run([sys.executable, "-c", child])
"""
SIZE = 30_000_000


def test_a_rank_is_measured_with_what_it_has_started() -> None:
    command = [sys.executable, "-c", FAMILY.format(size=SIZE)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as rank,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as small,
    ):
        assert rank.stdout is not None
        rank.stdout.readline()
        meter = Meter()
        usage = meter.sample([rank.pid, small.pid])
        assert usage[rank.pid].memory > 2 * SIZE
        assert 0 < usage[small.pid].memory < SIZE
        assert meter.sample([rank.pid])[rank.pid].cpu >= 0
        rank.communicate(b"")
        small.communicate(b"")
    assert Meter().sample([rank.pid]) == {rank.pid: Usage()}


def test_time_of_the_cpu_counts_from_one_sample_to_the_next() -> None:
    meter = Meter()
    leader = os.getsid(0)
    meter.sample([leader])
    sum(number * number for number in range(2_000_000))
    assert meter.sample([leader])[leader].cpu > 1
