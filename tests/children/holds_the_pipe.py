"""Ends at once with 0 and leaves its standard output open in a process of another session, whose pid it says."""

import subprocess

escaped = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
print("escaped", escaped.pid, flush=True)
