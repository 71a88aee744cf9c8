"""Sends small requests at a fixed rate, and notes how long each took: ``PORT RATE CONNECTIONS FILE``.

The rate does not depend on the answers: a request that should have been sent while the service stood still counts from
the moment at which it should have been. wrk sends the next request when the last one was answered, and so sees a pause
of a second as one slow request for each connection. Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def send(port: int, rate: float, first: float, seen: list[tuple[float, float]]) -> None:
    """One connection: a request each ``1 / rate`` seconds from ``first`` on, by the monotonic clock."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    due = first
    while True:
        await asyncio.sleep(due - time.monotonic())
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        seen.append((due, time.monotonic() - due))
        due += 1 / rate


async def main(port: int, rate: float, connections: int, path: Path) -> None:
    """Until standard input ends."""
    seen: list[tuple[float, float]] = []
    begin = time.monotonic() + 0.1
    share = rate / connections
    tasks = [asyncio.create_task(send(port, share, begin + at / rate, seen)) for at in range(connections)]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks)
    failed = [repr(task.exception()) for task in done if not task.cancelled()]
    path.write_text(json.dumps({"seen": seen, "failed": failed}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
