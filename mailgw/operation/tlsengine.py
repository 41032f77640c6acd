"""TLS as the server, without I/O: what the network brings goes in, what is to be written comes out.

Twisted's own layer (twisted.protocols.tls) writes through the reactor: three calls and a round for each record. With
the bytes in our hands a reply under TLS is written as one in clear text is (`outbox.Outbox`), at the end of the turn.
"""

from __future__ import annotations

from typing import Any, Protocol

from OpenSSL import SSL

# RFC 8446 5.1: the plaintext of a record has no more.
_RECORD = 16384


class TlsEngine(Protocol):
    """The TLS of one connection. After each call but `output` there may be something to write."""

    established: bool
    """Whether the handshake is done: before, `receive` gives nothing, and nothing may be sent."""
    lost: str
    """Why nothing more comes: the handshake failed, a record was not genuine, or the peer said so. Empty until then."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the network; give what they say, up to where it is `lost`."""
        ...

    def send(self, data: bytes) -> None:
        """Take what is to be said. What cannot be said any more is dropped."""
        ...

    def close(self) -> None:
        """Say that there will be no more (close_notify, RFC 8446 6.1)."""
        ...

    def output(self) -> bytes:
        """Take what is to be written to the network now."""
        ...

    @property
    def version(self) -> str:
        """Protocol and cipher, once it is established."""
        ...


class ServerTls:
    """OpenSSL between two memory buffers. Implements TlsEngine."""

    def __init__(self, context: SSL.Context) -> None:
        self.established = False
        self.lost = ""
        self._connection = SSL.Connection(context, None)
        self._connection.set_accept_state()

    @property
    def version(self) -> str:
        return f"{self._connection.get_protocol_version_name()} {self._connection.get_cipher_name()}"

    def receive(self, data: bytes) -> bytes:
        connection = self._connection
        if data:  # OpenSSL takes an empty write for an error
            connection.bio_write(data)
        pieces = []
        try:
            if not self.established:
                connection.do_handshake()
                self.established = True
            while True:
                pieces.append(connection.recv(_RECORD))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.lost = "the peer ended TLS"
        except SSL.Error as error:
            self.lost = _reason(error)
        return b"".join(pieces)

    def send(self, data: bytes) -> None:
        try:
            self._connection.sendall(data)
        except SSL.Error as error:
            self.lost = self.lost or _reason(error)

    def close(self) -> None:
        if not self.established:
            return
        try:
            self._connection.shutdown()
        except SSL.Error:
            pass  # it has failed already: there is nobody to tell

    def output(self) -> bytes:
        pieces = []
        try:
            while True:
                pieces.append(self._connection.bio_read(2 * _RECORD))
        except SSL.WantReadError:
            return b"".join(pieces)


def _reason(error: SSL.Error) -> str:
    """OpenSSL's reason without its traceback: `no shared cipher`."""
    details: Any = error.args[0] if error.args else ()
    return str(details[0][-1]) if details else type(error).__name__
