"""A generator for messages under STARTTLS, a connection each: smtp-source knows no TLS.

`python -m tests.bench.starttls_source PORT MESSAGES SENDERS SIZE`; it ends with 1 when any message was not taken.

Threads, whose handshakes run outside of Python's lock, each with blocking sockets; sessions are never resumed, so that
each connection costs the server a whole handshake.
"""

from __future__ import annotations

import itertools
import socket
import ssl
import sys
import threading
from collections.abc import Sequence

from tests.bench.addresses import RECIPIENT, SENDER

_TIMEOUT = 60.0


def main(arguments: Sequence[str]) -> int:
    port, messages, senders, size = map(int, arguments)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    content = _content(size)
    numbers = itertools.count()  # its next() is atomic
    failures: list[str] = []

    def work() -> None:
        while not failures and next(numbers) < messages:
            try:
                _send(port, context, content)
            except (OSError, ConnectionError, ValueError) as error:
                failures.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        print(failures[0], file=sys.stderr)
    return 1 if failures else 0


def _send(port: int, context: ssl.SSLContext, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT) as clear:
        clear.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _expect(clear, b"220")
        for line, code in ((b"EHLO load.test\r\n", b"250"), (b"STARTTLS\r\n", b"220")):
            clear.sendall(line)
            _expect(clear, code)
        with context.wrap_socket(clear, server_hostname="gw.test") as secure:
            commands = (b"EHLO load.test", f"MAIL FROM:<{SENDER}>".encode(), f"RCPT TO:<{RECIPIENT}>".encode())
            for command in commands:
                secure.sendall(command + b"\r\n")
                _expect(secure, b"250")
            secure.sendall(b"DATA\r\n")
            _expect(secure, b"354")
            secure.sendall(content)
            _expect(secure, b"250")
            secure.sendall(b"QUIT\r\n")
            _expect(secure, b"221")


def _expect(connection: socket.socket, code: bytes) -> None:
    """Read one whole reply; raises ValueError when it is another."""
    reply = b""
    while not reply.endswith(b"\r\n") or reply.splitlines()[-1][3:4] == b"-":
        data = connection.recv(4096)
        if not data:
            raise ValueError(f"the server closed the connection after {reply!r}")
        reply += data
    if not reply.splitlines()[-1].startswith(code):
        raise ValueError(f"the server said {reply!r}, not {code!r}")


def _content(size: int) -> bytes:
    head = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: load\r\n\r\n".encode()
    line = b"x" * 70 + b"\r\n"
    return head + line * max(1, (size - len(head)) // len(line)) + b".\r\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
