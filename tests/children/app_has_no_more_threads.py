"""Ranks write at once, when no more threads are allowed to their user: ``LOOP DIR``. As ``app_few_processes``."""

import os
import resource
import sys
from pathlib import Path

from tests.helpers.apps import run_on
from tests.helpers.limits import soft_limit
from tests.helpers.ranks import redirected, shell


async def main() -> None:
    """Say the exit codes."""
    go = Path(sys.argv[2], "go")
    write = f"until [ -e {go} ]; do :; done; i=0; while [ $i -le 99999 ]; do echo $i; i=$((i+1)); done"
    async with shell(*[write] * 6, logs_specs=redirected(Path(sys.argv[2]))) as ctx:
        with soft_limit(resource.RLIMIT_NPROC, 1):
            go.touch()
            result = await ctx.wait()
    print(result and result.exitcodes)


assert os.getuid() != 0
run_on(sys.argv[1], main())
