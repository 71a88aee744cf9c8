"""Forks a rank while another thread imports a codec, as one that opens a text file for the first time does: ``LOOP``.

The lock of that import is held from just before the fork until just after it; in the rank nobody can release it.
"""

from __future__ import annotations

import os
import sys
import threading
from importlib._bootstrap import _get_module_lock  # type: ignore[attr-defined]

from tests.helpers.apps import run_on

import aelastic

wanted, held, unwanted = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)


def hold() -> None:
    while True:
        wanted.acquire()
        lock = _get_module_lock("encodings.ascii")
        lock.acquire()
        held.release()
        unwanted.acquire()
        lock.release()


def before() -> None:
    wanted.release()
    held.acquire()


def work() -> str:
    return "worked"


async def main() -> None:
    threading.Thread(target=hold, daemon=True).start()
    os.register_at_fork(before=before, after_in_parent=unwanted.release)
    async with aelastic.start_processes("fork", work, {0: ()}, {0: {}}, start_method="fork") as ctx:
        result = await ctx.wait(timeout=20)
    print("values:", result and result.return_values, flush=True)


if __name__ == "__main__":
    run_on(sys.argv[1], main())
