"""A server with a vice: ``serves.py <port> <vice> [host]``. It begins to listen when it has printed ``soon``."""

import os
import signal
import socket
import sys
import time

ANSWERS = {
    "answers": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "redirects": b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "informs": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "is unwell": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
    "speaks otherwise": b"SSH-2.0-OpenSSH\r\n",
    "hangs up": b"",
}


def main(port: int, vice: str, host: str = "127.0.0.1") -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("soon", flush=True)
    time.sleep(0.2)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        listener.settimeout(0.05)
        begin = time.monotonic()
        held = []
        while True:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(1)
            recovered = vice == "recovers" and time.monotonic() - begin > 0.3
            if vice == "says nothing":
                held.append(connection)
                continue
            with connection:
                connection.recv(4096)
                answer = ANSWERS["answers" if recovered else "is unwell"] if vice == "recovers" else ANSWERS[vice]
                connection.sendall(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
