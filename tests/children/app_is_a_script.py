"""A script without a loop: ``LOOP HOW DIR SHUTDOWN_TIMEOUT SCRIPT...``; the loop is of no concern to it."""

import sys

import aelastic
import aelastic.sync

how, directory, timeout, *scripts = sys.argv[2:]
ctx = aelastic.sync.start_processes(
    "w",
    "/bin/sh",
    args={rank: ("-c", script) for rank, script in enumerate(scripts)},
    envs={rank: {} for rank in range(len(scripts))},
    logs_specs=aelastic.DefaultLogsSpecs(directory, redirects=aelastic.Std.ALL),
    shutdown_timeout=float(timeout),
)
for rank in range(len(scripts)):
    next(line for line in ctx.logs(rank) if "ready" in line.text)
print("ready", flush=True)
if how == "waits":
    try:
        ctx.wait()
    finally:
        print("result", ctx.result and ctx.result.exitcodes, flush=True)
elif how == "iterates":
    for event in ctx.events():
        print(event, flush=True)
elif how == "leaves":
    sys.exit()
