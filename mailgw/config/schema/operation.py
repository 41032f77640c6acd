"""What every part uses: DNS and the log."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mailgw.config.schema.setting import setting


@frozen
class Dns:
    """The resolver."""

    servers: tuple[str, ...] = setting(
        "ADDRESS or ADDRESS:PORT, IPv6 in brackets. Empty: those of /etc/resolv.conf.", ()
    )
    timeout: float = setting("For one question, all tries and servers together.", 10.0)
    cache_size: int = setting("Answers kept.", 10000, minimum=0)
    trust_authenticated: tuple[str, ...] = setting(
        "Servers whose AD bit is believed (RFC 6840 5.8), beside those on loopback.", ()
    )


@frozen
class History:
    """What was decided about each message, by which evidence, and what became of it: for `mailgw trace`, `explain ID`
    and `replay`. It holds addresses and subjects, no content."""

    enabled: bool = setting("Whether it is kept.", True)
    lifetime: float = setting("Time after which a message is forgotten.", 2592000.0)
    size: int = setting("Octets that all may take; the oldest goes first.", 2 * 1024 * 1024 * 1024)


@frozen
class Log:
    """One line an event."""

    format: Literal["text", "json"] = setting("`text` or `json`.", "text")
    level: Literal["debug", "info", "warn", "error"] = setting("The least severe that is written.", "info")
    file: str = setting("Empty: standard output (systemd's journal).", "", path=True)
