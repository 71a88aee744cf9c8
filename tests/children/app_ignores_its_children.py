"""Runs ranks with SIGCHLD ignored, as some parents leave it: the kernel reaps, nobody learns exit codes: ``LOOP``."""

import signal
import sys

from tests.helpers.apps import run_on
from tests.helpers.ranks import is_alive, shell


async def main() -> None:
    """Run to an end, and close what does not end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    async with shell("exit 0", "exit 0") as ctx:
        result = await ctx.wait()
        print("exit codes", result and result.exitcodes, flush=True)
    async with shell("exec sleep 600") as ctx:
        pass
    print("closed", not is_alive(ctx.pids()[0]), flush=True)


run_on(sys.argv[1], main())
