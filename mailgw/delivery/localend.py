"""Our end of a connection: where it comes from, the name that it says, and which addresses it may go to."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from attrs import frozen
from twisted.internet.error import ConnectBindError, ConnectError

from mailgw.config import schema
from mailgw.config.errors import ConfigError
from mailgw.config.schema.delivery import Family
from mailgw.config.text import number_lines, quote_key

# No interface, no route or no address of ours for the family of the peer's: the system says so at once.
_NO_WAY = frozenset({errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


@frozen
class LocalEnd:
    """`name` is said in EHLO. An empty source is chosen by the system."""

    name: str
    source_ipv4: str = ""
    source_ipv6: str = ""
    family: Family = "ipv4_first"

    @classmethod
    def of(cls, hostname: str, relay: schema.Relay, route: schema.Route | None = None) -> LocalEnd:
        """Take it from the configuration; what a route leaves out is as in [relay]."""
        sources = (route.source_addresses if route is not None else ()) or relay.source_addresses
        return cls(
            (route.helo if route is not None else "") or relay.helo or hostname,
            _first(address for address in sources if ":" not in address),
            _first(address for address in sources if ":" in address),
            (route.family if route is not None else "") or relay.family,
        )

    def source(self, address: str) -> str:
        """Give the address to come from towards an address."""
        return self.source_ipv6 if ":" in address else self.source_ipv4


def check_sources(settings: schema.Settings, file: str) -> list[ConfigError]:
    """Say which source addresses are not this host's. `file` is the path of mailgw.toml."""
    sections = {"relay": settings.relay.source_addresses}
    sections |= {f"routes.{quote_key(name)}": route.source_addresses for name, route in settings.routes.items()}
    errors = []
    for section, addresses in sections.items():
        for number, address in enumerate(addresses):
            if problem := _problem(address):
                errors.append(ConfigError(file, f"{section}.source_addresses[{number}]", problem))
    return number_lines(errors)


def _problem(address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return f'"{address}" cannot be used, it is no address of this host: {error.strerror}'
    return ""


def has_no_way(error: ConnectError | OSError) -> bool:
    """Whether a connection failed here, before anything was sent: from this host no way leads to that address, or we
    have no socket, or no port at the source address, to begin one."""
    if isinstance(error, ConnectBindError):
        return True
    number = error.osError if isinstance(error, ConnectError) else error.errno
    return number in _NO_WAY


def _first(addresses: Iterable[str]) -> str:
    return next(iter(addresses), "")
