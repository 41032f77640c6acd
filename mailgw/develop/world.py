"""The world around the gateway in development: DNS and the sink, in a process of their own.

`python -m mailgw.develop.world DIRECTORY DNS_PORT SINK_PORT` serves until SIGTERM, or until its standard input ends:
so it never outlives the program that started it. It writes `ready` once it listens.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO

from mailgw.config.schema import Tls
from mailgw.develop import messages
from mailgw.develop.dnsserver import DnsServer, World, Zone
from mailgw.develop.setup import Layout
from mailgw.develop.sink import Sink
from mailgw.operation.tls import server_options

GATEWAY = f"mail.{messages.OUR_DOMAIN}"


def zone(dkim_key: bytes) -> Zone:
    """The names of the development world; all hosts are this one."""
    here = ["127.0.0.1"]
    sender, outside = messages.SENDER_DOMAIN, messages.OUTSIDER.rpartition("@")[2]
    return {
        messages.OUR_DOMAIN: {"MX": [f"10 {GATEWAY}."], "TXT": ["v=spf1 mx -all"]},
        GATEWAY: {"A": here},
        sender: {"MX": [f"10 mail.{sender}."], "TXT": ["v=spf1 ip4:127.0.0.1 -all"]},
        f"mail.{sender}": {"A": here},
        f"_dmarc.{sender}": {"TXT": ["v=DMARC1; p=reject"]},
        f"{messages.SELECTOR}._domainkey.{sender}": {"TXT": [messages.dkim_record(dkim_key)]},
        outside: {"MX": [f"10 mail.{outside}."]},
        f"mail.{outside}": {"A": here},
        "1.0.0.127.in-addr.arpa": {"PTR": [f"mail.{sender}."]},
        "localhost": {"A": here},
    }


class _Parent(Protocol):
    """Standard input: its end is the end of the program that started us."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectionLost(self, reason: Any = None) -> None:
        if self._reactor.running:
            self._reactor.stop()


def main(arguments: list[str]) -> None:
    from twisted.internet import reactor as installed

    reactor: Any = installed
    layout = Layout(Path(arguments[0]))
    tls = server_options(Tls(str(layout.certificate), str(layout.certificate_key)))
    server = DnsServer(reactor, World(zone(layout.dkim_key.read_bytes())))
    server.start(port=int(arguments[1]))
    Sink(reactor, layout.sink, tls=tls).start(port=int(arguments[2]))
    standard_io: Any = StandardIO  # it carries no annotations
    standard_io(_Parent(reactor), reactor=reactor)
    print("ready", flush=True)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
