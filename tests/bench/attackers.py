"""Clients that do harm, each a process of its own: for bench_abuse, against a gateway on loopback."""

from __future__ import annotations

import base64
import multiprocessing
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

_LIMIT = 60.0
"""Seconds after which an attacker ends by itself, whatever happens to the benchmark."""


class Attack:
    """Runs an attacker beside the benchmark: `with Attack(slowloris, port, 2000): ...`; `counts` tells what it got."""

    def __init__(self, attacker: Callable[..., Counter[str]], *arguments: Any) -> None:
        self.counts: Counter[str] = Counter()
        self._ours, its = multiprocessing.Pipe()
        self._process = multiprocessing.Process(target=_run, args=(its, attacker, arguments), daemon=True)

    def __enter__(self) -> Attack:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.send("stop")
        if self._ours.poll(10.0):
            self.counts = self._ours.recv()
        self._process.join(5.0)
        if self._process.is_alive():
            self._process.kill()


def _run(ours: Connection, attacker: Callable[..., Counter[str]], arguments: tuple[Any, ...]) -> None:
    ends_at = time.monotonic() + _LIMIT
    ours.send(attacker(lambda: ours.poll() or time.monotonic() > ends_at, *arguments))


def slowloris(ended: Callable[[], bool], port: int, number: int) -> Counter[str]:
    """Hold so many connections from many networks, say a command octet by octet, and come again when cut."""
    counts: Counter[str] = Counter()
    held: dict[int, socket.socket] = {}
    while not ended():
        for name in range(number):
            if name not in held and (connection := _open(port, f"127.2.{name // 60}.{1 + name % 60 // 20}", counts)):
                held[name] = connection
            if name % 100 == 0 and ended():
                break
        for name, connection in tuple(held.items()):
            try:
                got = connection.recv(4096)
                counts["refused" if got[:3] == b"421" else "closed" if not got else "greeted"] += 1
                if got[:3] == b"220":
                    continue
            except BlockingIOError:
                try:
                    connection.send(b"E")
                    continue
                except OSError:
                    pass
            except OSError:
                pass
            del held[name]
            connection.close()
        time.sleep(0.2)
    counts["held at the end"] = len(held)
    return counts


def _open(port: int, source: str, counts: Counter[str]) -> socket.socket | None:
    connection = socket.socket()
    try:
        connection.bind((source, 0))
        connection.setblocking(False)
        connection.connect(("127.0.0.1", port))
    except BlockingIOError:
        pass
    except OSError:
        connection.close()
        return None
    counts["connections"] += 1
    return connection


def flood(ended: Callable[[], bool], port: int, source: str) -> Counter[str]:
    """Connect from one address, as fast as it goes; talk where it is let."""
    counts: Counter[str] = Counter()
    while not ended():
        try:
            with socket.create_connection(("127.0.0.1", port), 10.0, source_address=(source, 0)) as connection:
                counts[connection.recv(4096)[:3].decode() or "closed"] += 1
                connection.sendall(b"EHLO flood.test\r\n")
        except OSError:
            counts["failed"] += 1
    return counts


def wrong_passwords(ended: Callable[[], bool], port: int, sources: int, threads: int = 20) -> Counter[str]:
    """Try passwords of alice from many addresses, over so many TLS connections at the same time, as fast as it goes."""
    context = unverified()
    stop = threading.Event()

    def guess(first: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        number = first
        while not stop.is_set():
            number += threads
            token = base64.b64encode(f"\0alice@dest.test\0wrong {number}".encode())
            source = f"127.4.{number % sources // 6}.{1 + number % sources % 6}"
            try:
                plain = socket.create_connection(("127.0.0.1", port), 10.0, source_address=(source, 0))
                with context.wrap_socket(plain) as connection:  # which closes the plain one too
                    connection.recv(4096)
                    connection.sendall(b"EHLO flood.test\r\n")
                    connection.recv(4096)
                    connection.sendall(b"AUTH PLAIN " + token + b"\r\n")
                    counts[connection.recv(4096)[:3].decode() or "closed"] += 1
            except OSError:
                counts["closed"] += 1  # it is over the rate of connections: before TLS nobody says why
        return counts

    with ThreadPoolExecutor(threads) as pool:
        results = [pool.submit(guess, first) for first in range(threads)]
        while not ended():
            time.sleep(0.05)
        stop.set()
        return sum((result.result() for result in results), Counter())


def unverified() -> ssl.SSLContext:
    """A client's TLS that takes any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
