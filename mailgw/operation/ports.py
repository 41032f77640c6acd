"""Listening sockets: bound while we may, in one process or for several."""

from __future__ import annotations

import socket

from attrs import frozen
from twisted.internet.protocol import ServerFactory

# How many connections the kernel completes before we accept them; a burst beyond it is retried by the clients.
_BACKLOG = 1024


class StartError(Exception):
    """The service cannot start; the message is the one line that the postmaster gets."""


@frozen
class Binding:
    """A port to bind. `key` names it in the configuration. Without a factory it is bound for others (the workers)."""

    key: str
    address: str
    port: int
    factory: ServerFactory | None

    @property
    def name(self) -> str:
        return f"{self.key} {self.address} {self.port}"

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


def listen(binding: Binding) -> socket.socket:
    """Bind it and listen. Raises StartError where that cannot be."""
    return _create(binding, binding.port)


def listen_for(binding: Binding, workers: int) -> list[socket.socket]:
    """Bind it once for each worker: the kernel deals the connections out among sockets with SO_REUSEPORT.

    With one socket for all, a worker that is free takes whole bursts, and each connection wakes all that wait.
    """
    # Another process of the same user could join a port of sockets with SO_REUSEPORT: so look whether it is free.
    with _create(binding, binding.port) as probe:
        port = probe.getsockname()[1]
    return [_create(binding, port, reuse=True) for _ in range(workers)]


def _create(binding: Binding, port: int, *, reuse: bool = False) -> socket.socket:
    try:
        # create_server keeps an IPv6 socket to IPv6, so that [::] may stand beside 0.0.0.0; reactor.listenTCP does not.
        listening = socket.create_server(
            (binding.address, port), family=binding.family, backlog=_BACKLOG, reuse_port=reuse
        )
    except OSError as error:
        place = f"{binding.address} port {port} ([listeners.{binding.key}] addresses)"
        raise StartError(f"cannot listen on {place}: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening
