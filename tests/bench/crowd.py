"""Many clients at once, for the benchmarks of what the gateway bears: plain sockets, without a reactor."""

from __future__ import annotations

import os
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench.peers import GatewayUnjudged

_PER_TURN = 100
"""Connections begun at once: the listen queue takes them."""


class CrowdError(Exception):
    """The crowd did not get where it should; the message says what it got instead."""


def allow_descriptors(number: int) -> None:
    """Let this process, and those that it starts, have so many descriptors. Raises CrowdError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= number:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(hard, number)))
    except (ValueError, OSError):
        raise CrowdError(f"{number} descriptors are needed and {hard} allowed: run it as root, or with less") from None


def resident(pid: int) -> int:
    """The octets of memory that a process has now (VmRSS of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise CrowdError(f"process {pid} has no memory any more")


class CrowdGateway(GatewayUnjudged):
    """A gateway that judges nothing, with the keys of [limits] and the sections that a benchmark wants."""

    limits: dict[str, float] = {}
    top = ""
    sections = ""

    def prepare(self) -> None:
        super().prepare()
        path = self.directory / "etc" / "mailgw.toml"
        keys = "".join(f"{key} = {value}\n" for key, value in self.limits.items())
        text = path.read_text().replace("[limits]\n", f"[limits]\n{keys}")
        path.write_text(f"{self.top}\n{text}\n{self.sections}\n")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


class Crowd:
    """Connections to one port. Nothing is read between the calls; each call waits `limit` seconds at most."""

    def __init__(self, port: int, limit: float = 60.0) -> None:
        self._port = port
        self._limit = limit
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.sockets:
            connection.close()

    def connect(self, number: int, source: Callable[[int], str] = lambda n: "127.0.0.1") -> None:
        """Open connections, from the addresses that `source` gives; wait for their greetings. Raises CrowdError."""
        for start in range(0, number, _PER_TURN):
            new = []
            for count in range(start, min(number, start + _PER_TURN)):
                connection = socket.create_connection(
                    ("127.0.0.1", self._port), self._limit, source_address=(source(count), 0)
                )
                connection.setblocking(False)
                new.append(connection)
            self.sockets += new
            self.expect(b"220", new)

    def say(self, data: bytes, code: bytes) -> None:
        """Send the same on all of them; wait for a reply with this code on each. Raises CrowdError."""
        for connection in self.sockets:
            connection.sendall(data)
        self.expect(code, self.sockets)

    def expect(self, code: bytes, connections: Iterable[socket.socket]) -> None:
        """Wait until each connection has a last line that begins with the code. Raises CrowdError."""
        deadline = time.monotonic() + self._limit
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                selector.register(connection, selectors.EVENT_READ, bytearray())
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise CrowdError(f"{len(selector.get_map())} connections wait for {code!r}")
                for key, _ in ready:
                    got = key.data
                    piece = key.fileobj.recv(4096)  # type: ignore[union-attr]
                    got += piece
                    last = got.rstrip(b"\r\n").rpartition(b"\r\n")[2]
                    if not piece or (got.endswith(b"\r\n") and last[3:4] == b" " and last[:3] != code):
                        raise CrowdError(f"expected {code!r}, got {bytes(got[-200:])!r}")
                    if got.endswith(b"\r\n") and last[3:4] == b" ":
                        selector.unregister(key.fileobj)

    def pour(self, block: bytes, times: int) -> None:
        """Send a block so often on each connection, all of them in turns as they take it. Raises CrowdError."""
        deadline = time.monotonic() + self._limit
        view = memoryview(block)
        with selectors.DefaultSelector() as selector:
            for connection in self.sockets:
                selector.register(connection, selectors.EVENT_WRITE, [0, times])
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    raise CrowdError(f"{len(selector.get_map())} connections take no more")
                for key, _ in ready:
                    state = key.data
                    state[0] += key.fileobj.send(view[state[0] :])  # type: ignore[union-attr]
                    if state[0] == len(block):
                        state[0] = 0
                        state[1] -= 1
                        if not state[1]:
                            selector.unregister(key.fileobj)


def descriptors(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
