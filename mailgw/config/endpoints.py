"""`ADDRESS:PORT` and `HOST:PORT` as the configuration writes them."""

from __future__ import annotations

import ipaddress

from mailgw.mail.address import AddressError, ascii_domain, parse_domain

UNIX = "unix:"
"""Before the path of a socket of this host."""
# unix(7): sun_path, without the NUL at its end.
MAX_SOCKET_PATH = 107


def parse_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Read `192.0.2.1:25` or `[2001:db8::1]:25` into an address and a port.

    Without a default the port has to be there. With one, a bare IPv6 address needs no brackets. Raises ValueError
    with what is wrong.
    """
    host, port = _split(text, default_port)
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        raise ValueError(
            f'"{text}" has no IP address before the port; write "127.0.0.1:25", "[::1]:25", or "0.0.0.0:25" '
            "for every address"
        ) from None


def parse_host(text: str, default_port: int) -> tuple[str, int]:
    """Read `mail.example.org`, `mail.example.org:587` or an address as above. Raises ValueError."""
    host, port = _split(text, default_port)
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        pass
    try:
        return ascii_domain(parse_domain(host)), port
    except AddressError:
        raise ValueError(f'"{text}" is neither a host name nor an IP address') from None


def parse_next_hop(text: str, default_port: int) -> tuple[str, int]:
    """Read what `parse_host` reads, or `unix:/run/dovecot/lmtp`: it stays as it is, with port 0. Raises ValueError."""
    if not text.startswith(UNIX):
        return parse_host(text, default_port)
    path = text.removeprefix(UNIX)
    if not path.startswith("/") or "\0" in path:
        raise ValueError(f'"{text}" has no absolute path; write "unix:/run/dovecot/lmtp"')
    if len(path.encode()) > MAX_SOCKET_PATH:
        raise ValueError(f'"{text}" is longer than the {MAX_SOCKET_PATH} octets that the path of a socket may have')
    return text, 0


def is_socket(host: str) -> bool:
    """Whether a host of a next hop is a socket of this host."""
    return host.startswith(UNIX)


def _split(text: str, default_port: int | None) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host:
            raise ValueError(f'"{text}" has brackets that hold no IPv6 address')
    elif text.count(":") > 1:
        if default_port is None:
            raise ValueError(f'"{text}" is an IPv6 address without brackets; write "[{text.rpartition(":")[0]}]:PORT"')
        return text, default_port
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
    if not rest and default_port is not None:
        return host, default_port
    if not rest.startswith(":"):
        raise ValueError(f'"{text}" has no port; write "{text}:PORT"')
    digits = rest[1:]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and int(digits) <= 65535):
        raise ValueError(f'"{text}" has no port between 0 and 65535')
    return host, int(digits)
