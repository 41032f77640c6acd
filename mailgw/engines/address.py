"""Where an engine listens, as etc writes it."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from mailgw.config.endpoints import parse_host

_SCHEME = "unix:"


@frozen
class Address:
    """A UNIX socket (`path`), or a host and a port."""

    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `unix:/run/clamav/clamd.ctl`, `127.0.0.1:3310`, `[::1]:3310` or `scanner.example.org:3310`.

        Raises ValueError with what is wrong.
        """
        path = text[len(_SCHEME) :] if text.startswith(_SCHEME) else text
        if path.startswith("/"):
            return cls(path=path)
        if text.startswith((_SCHEME, "local:", "inet:", "inet6:")):
            raise ValueError(f'"{text}" is not unix:/PATH or HOST:PORT{_hint(text)}')
        host, port = parse_host(text, 0)
        if not port:
            raise ValueError(
                f'"{text}" has no port; write "{text.removesuffix(":0")}:PORT", or "unix:/PATH" for a socket'
            )
        return cls(host=host, port=port)

    def endpoint(self, reactor: Any, timeout: float) -> IStreamClientEndpoint:
        """Where to connect to, within `timeout` seconds; the name of a host is looked up then."""
        if self.path:
            return UNIXClientEndpoint(reactor, self.path, timeout=timeout)
        return HostnameEndpoint(reactor, self.host.encode("ascii"), self.port, timeout=timeout)

    def __str__(self) -> str:
        if self.path:
            return f"{_SCHEME}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _hint(text: str) -> str:
    """Milters' configurations write inet:PORT@HOST and local:PATH."""
    scheme, _, rest = text.partition(":")
    if scheme == "local":
        return f'; write "{_SCHEME}{rest}"'
    port, at, host = rest.partition("@")
    return f'; write "{host}:{port}"' if at else ""
