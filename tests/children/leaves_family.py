"""Starts a grandchild that is deaf and silent, says its pid, and exits with CODE: ``CODE``. ``stay``: does not exit."""

import subprocess
import sys
import time

deaf = "trap '' TERM INT HUP; echo ready; exec >/dev/null; while :; do sleep 600; done"
grandchild = subprocess.Popen(["/bin/sh", "-c", deaf], stdout=subprocess.PIPE)
assert grandchild.stdout is not None
grandchild.stdout.readline()
print("grandchild", grandchild.pid, flush=True)
if sys.argv[1] == "stay":
    time.sleep(600)
sys.exit(int(sys.argv[1]))
