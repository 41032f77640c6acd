"""The settings that the filters which ask another engine have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from attrs import frozen

from mailgw.config.schema.setting import setting
from mailgw.engines.address import Address
from mailgw.engines.engine import Engine
from mailgw.filters.base import FilterSettings

ADDRESSES = "`unix:/PATH` or `HOST:PORT`; the next one is asked when the one before fails."
CONNECT_TIMEOUT = "Seconds for a connection."
FAILURES = "Failures in a row after which an address is not asked for `pause`; `on_error` holds at once then."
PAUSE = "Seconds until one message tries it again."


@frozen
class EngineSettings(FilterSettings):
    """Other engines are off until their address is right."""

    enabled: bool = setting("Whether the filter runs.", False)
    time_limit: float = setting("Seconds until it is given up, all addresses together.", 20.0)
    on_error: Literal["ignore", "defer"] = setting(
        "When it is down or takes too long: `ignore` goes on without it, `defer` answers 451.", "ignore"
    )
    addresses: tuple[str, ...] = setting(ADDRESSES, ())
    max_size: int = setting("Octets of a message; a larger one is not sent, and a symbol says so.", 25 * 1024 * 1024)
    connect_timeout: float = setting(CONNECT_TIMEOUT, 3.0)
    failures: int = setting(FAILURES, 3)
    pause: float = setting(PAUSE, 30.0)

    def findings(self) -> Iterator[tuple[str, str]]:
        if self.enabled and not self.addresses:
            yield "addresses", 'not set; write "unix:/PATH" or "HOST:PORT"'
        for number, text in enumerate(self.addresses):
            yield from address_findings(f"addresses[{number}]", text)

    def make_engine(self, name: str, reactor: Any) -> Engine:
        return Engine(
            name,
            [Address.parse(text) for text in self.addresses],
            reactor,
            time_limit=self.time_limit,
            connect_timeout=self.connect_timeout,
            failures=self.failures,
            pause=self.pause,
        )


def address_findings(key: str, text: str) -> Iterator[tuple[str, str]]:
    try:
        Address.parse(text)
    except ValueError as error:
        yield key, str(error)
