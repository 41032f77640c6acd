"""Which servers to ask: those of the configuration, or of the machine."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

RESOLV_CONF = "/etc/resolv.conf"
# resolv.conf(5): MAXNS.
MAX_SERVERS = 3
# [IPv6]:PORT, or IPv4:PORT, each with or without the port; or a bare IPv6 address.
_SERVER = re.compile(r"\[([^\]]+)\](?::(\d{1,6}))?|([^:]+)(?::(\d{1,6}))?|([^\[\]]*)")


@frozen
class Server:
    """A resolver's address. `trusted`: its AD bit is believed (RFC 6840 5.8)."""

    address: str
    port: int = 53
    trusted: bool = False

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def parse_server(text: str) -> Server:
    """Take ADDRESS or ADDRESS:PORT, an IPv6 address in brackets (or bare, without a port).

    Raises ValueError with a text that names what is wrong. A server on loopback is trusted.
    """
    match = _SERVER.fullmatch(text)
    try:
        ip = ipaddress.ip_address(match[1] or match[3] or match[5] if match else "")
    except ValueError:
        raise ValueError(f"{text!r} is not ADDRESS or ADDRESS:PORT; a server is named by its IP address") from None
    port = int(match[2] or match[4] or 53) if match else 53
    if not 0 < port < 65536:
        raise ValueError(f"{text!r}: the port is not a number from 1 to 65535")
    return Server(str(ip), port, trusted=ip.is_loopback)


def choose_servers(
    servers: Iterable[str], trust_authenticated: Iterable[str], resolv_conf: str = RESOLV_CONF
) -> tuple[Server, ...]:
    """Give the servers of the configuration, else those of `resolv_conf`, else the one on this machine.

    Raises ValueError for one that cannot be read. `trust_authenticated` are addresses, with a port or without.
    """
    trusted = {parse_server(text).address for text in trust_authenticated}
    chosen = [parse_server(text) for text in servers] or read_resolv_conf(resolv_conf)
    return tuple(Server(s.address, s.port, s.trusted or s.address in trusted) for s in chosen)


def read_resolv_conf(path: str) -> list[Server]:
    """Give the first three nameservers of the file (resolv.conf(5)), or the one on this machine when it has none."""
    try:
        text = Path(path).read_text("utf-8", "replace")
    except OSError:
        text = ""
    servers = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                ip = ipaddress.ip_address(words[1])
            except ValueError:
                continue
            servers.append(Server(str(ip), trusted=ip.is_loopback))
    return servers[:MAX_SERVERS] or [Server("127.0.0.1", trusted=True)]
