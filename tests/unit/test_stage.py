"""The few lines that become a program."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aelastic.process.stage import staged_command

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOKS = """
import json, os
numbers = [int(number) for number in sorted(os.listdir("/proc/self/fd"))[:-1]]
print(json.dumps({number: os.readlink(f"/proc/self/fd/{number}") for number in numbers if number > 2}))
"""

# Makes the pipe ends that are wanted under these numbers, then becomes the command.
BECOMES = """
import json, os, sys
numbers, command = json.loads(sys.argv[1])
pipes = [os.dup2(os.pipe()[0], 100 + index) for index in range(len(numbers))]
os.closerange(3, 100)
for number, pipe in zip(numbers, pipes):
    os.dup2(pipe, number)
print(json.dumps([os.readlink(f"/proc/self/fd/{number}") for number in numbers]), flush=True)
os.closerange(100, 200)
os.execv(command[0], command)
"""


def staged(*argv: str, env: dict[str, str] | None = None, sockets: Sequence[int] = ()) -> tuple[str, ...]:
    return staged_command(argv, env or {}, None, sockets)


@pytest.mark.parametrize("numbers", [*itertools.permutations((3, 4, 5)), (3,), (4,), (9, 3), (4, 50), (5, 4), (60, 61)])
def test_descriptors_are_moved_whatever_is_in_the_way(numbers: tuple[int, ...]) -> None:
    command = staged(sys.executable, "-c", LOOKS, sockets=numbers)
    plan = json.dumps([numbers, command])
    done = subprocess.run([sys.executable, "-c", BECOMES, plan], capture_output=True, text=True, check=True)
    given, found = map(json.loads, done.stdout.splitlines())
    assert found == {str(number): pipe for number, pipe in enumerate(given, 3)}


@pytest.mark.parametrize("env", [{}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "POSIX", "LANG": "C"}, {"LC_ALL": "C"}], ids=str)
def test_the_environment_is_the_one_given(env: dict[str, str]) -> None:
    done = subprocess.run(staged("/usr/bin/env", env=env), env=env, capture_output=True, text=True, check=True)
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == env


def test_the_pid_is_the_programs_own() -> None:
    read, write = os.pipe()
    command = staged("/bin/sh", "-c", "echo $$ $LISTEN_PID", sockets=[read])
    done = subprocess.run(command, pass_fds=[read], capture_output=True, text=True, check=True)
    os.close(read)
    os.close(write)
    first, second = done.stdout.split()
    assert first == second


def test_signals_are_those_of_any_program() -> None:
    show = ("/bin/sh", "-c", "grep -E 'SigIgn|SigBlk' /proc/self/status")
    outputs = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for command in (show, staged(*show))
    ]
    assert outputs[0] == outputs[1]


def test_a_program_that_is_gone_by_then() -> None:
    done = subprocess.run(staged("/no/such/program"), capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert done.stderr.startswith("aelastic: the program could not be started: [Errno 2]")
