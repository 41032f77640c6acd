"""A server for `mailgw send` to talk to: in a thread, since the command blocks."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Mapping

_EHLO = "250-test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 1000000\r\n250-AUTH PLAIN\r\n250 {}\r\n"


class ScriptedServer:
    """Takes one connection. Answers 250 to every command, but for those in `replies` (by their first word)."""

    def __init__(
        self, replies: Mapping[str, str] | None = None, context: ssl.SSLContext | None = None, *, implicit: bool = False
    ) -> None:
        self.commands: list[str] = []
        self.message = b""
        self._replies = {"DATA": "354 go on", "QUIT": "221 bye", "AUTH": "235 2.7.0 welcome", **(replies or {})}
        self._context = context
        self._implicit = implicit
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        try:
            connection, _ = self._socket.accept()
            connection.settimeout(10)
            if self._implicit and self._context:
                connection = self._context.wrap_socket(connection, server_side=True)
            while (connection := self._session(connection)) is not None:  # type: ignore[assignment]  # None ends it
                pass
        except OSError:
            pass  # a client that does not like our certificate

    def _session(self, connection: socket.socket) -> socket.socket | None:
        """Serve until the end, or until STARTTLS: give the connection under TLS then."""
        started = isinstance(connection, ssl.SSLSocket)
        stream = connection.makefile("rwb", buffering=0)
        if not started or self._implicit:
            stream.write(b"220 test\r\n")
        while line := stream.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            word = command.partition(" ")[0].upper()
            if word == "STARTTLS" and self._context:
                stream.write(b"220 go ahead\r\n")
                return self._context.wrap_socket(connection, server_side=True)
            if word == "EHLO":
                stream.write(_EHLO.format("STARTTLS" if self._context and not started else "HELP").encode())
                continue
            reply = self._replies.get(command) or self._replies.get(word, "250 2.0.0 ok")
            stream.write(f"{reply}\r\n".encode())
            if reply.startswith("354"):
                while not self.message.endswith(b"\r\n.\r\n"):
                    self.message += stream.readline()
                stream.write(f"{self._replies.get('.', '250 2.0.0 queued')}\r\n".encode())
            if word == "QUIT":
                break
        connection.close()
        return None
