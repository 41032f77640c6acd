"""A DNS server on loopback, over UDP and TCP, for tests of what asks real DNS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.internet.defer import DeferredList
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

from tests.fakes import FAIL, Zone

SOA = "ns.example. postmaster.example. 1 3600 600 86400 60"

Change = Callable[[dns.message.Message, dns.message.Message], "dns.message.Message | bytes | None"]


class DnsServer:
    """Answers from a zone as FakeResolver takes it; `FAIL` is SERVFAIL. What is not there is NXDOMAIN, with an SOA.

    `change(query, response)` may give another response for a datagram: a message, octets, or None for silence.
    `largest` is the size in octets from which a datagram is truncated. `stream` may give the octets of a TCP answer;
    the connection is closed behind them. Answers come after `delay` seconds. A TXT record may be a tuple of strings.
    `asked` lists (name, type, transport), and `ports` where datagrams came from.
    """

    def __init__(
        self,
        zone: Zone,
        *,
        ttl: int = 300,
        change: Change | None = None,
        largest: int = 1232,
        stream: Callable[[bytes], bytes] | None = None,
        delay: float = 0,
    ) -> None:
        self.zone = {name.lower().rstrip("."): types for name, types in zone.items()}
        self.ttl = ttl
        self.change = change
        self.largest = largest
        self.authenticated = False
        self.stream = stream
        self.delay = delay
        self.asked: list[tuple[str, str, str]] = []
        self.ports: list[int] = []
        self._ports: list[Any] = []
        self._connections: list[Any] = []
        self._delayed: list[Any] = []

    def start(self, reactor: Any, interface: str = "127.0.0.1") -> str:
        """Listen on a free port, the same for both transports. Gives ADDRESS:PORT."""
        server = self

        class Datagrams(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                server.ports.append(addr[1])
                for response in server.answer(datagram, "udp"):
                    server.later(reactor, self.transport.write, response, addr)

        class Stream(Protocol):
            data = b""

            def connectionMade(self) -> None:
                server._connections.append(self.transport)

            def dataReceived(self, data: bytes) -> None:
                if server.stream is not None:
                    self.transport.write(server.stream(data))
                    self.transport.loseConnection()
                    return
                self.data += data
                while len(self.data) >= 2 and len(self.data) >= (end := 2 + int.from_bytes(self.data[:2])):
                    for response in server.answer(self.data[2:end], "tcp"):
                        server.later(reactor, self.transport.write, len(response).to_bytes(2) + response)
                    self.data = self.data[end:]

        tcp = reactor.listenTCP(0, Factory.forProtocol(Stream), interface=interface)
        port = tcp.getHost().port
        self._ports = [tcp, reactor.listenUDP(port, Datagrams(), interface=interface)]
        return f"{interface}:{port}"

    def later(self, clock: Any, write: Callable[..., Any], *arguments: Any) -> None:
        if self.delay:
            self._delayed.append(clock.callLater(self.delay, write, *arguments))
        else:
            write(*arguments)

    async def stop(self) -> None:
        for call in self._delayed:
            if call.active():
                call.cancel()
        for connection in self._connections:
            connection.abortConnection()
        await DeferredList([port.stopListening() for port in self._ports if port.stopListening])

    def answer(self, data: bytes, transport: str) -> Iterator[bytes]:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        type = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, type, transport))
        response = self.respond(query, name, type)
        if self.authenticated:
            response.flags |= dns.flags.AD
        changed = self.change(query, response) if self.change and transport == "udp" else response
        if changed is None:
            return
        wire = changed if isinstance(changed, bytes) else changed.to_wire(max_size=65535)
        if transport == "udp" and len(wire) > self.largest:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
            wire = response.to_wire()
        yield wire

    def respond(self, query: dns.message.Message, name: str, type: str) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        for _ in range(12):  # a chain of CNAMEs goes into the answer
            types = self.zone.get(name)
            if types is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            records = types if types == FAIL else types.get(type, ())
            if records == FAIL:
                response.set_rcode(dns.rcode.SERVFAIL)
                return response
            if records:
                texts = [_text(type, record) for record in records]
                response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", type, *texts))
                return response
            alias = () if types == FAIL else types.get("CNAME", ())
            if not alias:
                break
            target = str(alias[0]).rstrip(".")
            response.answer.append(dns.rrset.from_text(name + ".", self.ttl, "IN", "CNAME", target + "."))
            name = target.lower()
        response.authority.append(dns.rrset.from_text("example.", self.ttl, "IN", "SOA", SOA))
        return response


def _cut(record: str | bytes) -> list[bytes]:
    data = record.encode() if isinstance(record, str) else record
    return [data[n : n + 255] for n in range(0, len(data), 255)] or [b""]


def _text(type: str, record: Any) -> str:
    if type == "TXT":
        strings = [string.encode() for string in record] if isinstance(record, tuple) else _cut(record)
        return " ".join('"' + "".join(f"\\{octet:03d}" for octet in string) + '"' for string in strings)
    if type == "MX":
        return f"{record[0]} {record[1].rstrip('.')}."
    if type in ("PTR", "CNAME", "NS"):
        return str(record).rstrip(".") + "."
    return str(record)
