"""A small authoritative DNS server on loopback: it answers for the world from a table, over UDP and TCP."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from attrs import field, frozen
from twisted.internet import error
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import DatagramProtocol, Factory
from twisted.protocols.basic import Int16StringReceiver

Zone = Mapping[str, Mapping[str, Sequence[str]]]
"""Name (without the final dot) -> type -> records. Records are in presentation form (`10 mail.example.test.`;
names end in a dot); those of type TXT are the bare text, which is cut into strings of 255 octets here, in UTF-8."""

_TTL = 60
_MAX_ALIASES = 8
_PLAIN_UDP = 512
_TRIES = 20
# RFC 2308 3: with an SOA in the authority section a resolver may keep the negative answer.
_SOA = dns.rrset.from_text(".", _TTL, "IN", "SOA", f"ns.invalid. hostmaster.invalid. 1 3600 600 86400 {_TTL}")


@frozen
class World:
    """What is known, and what goes wrong. Names are without the final dot and in lower case."""

    zone: Zone = field(factory=dict)
    failing: Collection[str] = ()
    """Names that get SERVFAIL."""
    silent: Collection[str] = ()
    """Names that never get an answer, but for types that stand in the zone."""
    authenticated: bool = False
    """Whether answers carry the AD bit."""
    insecure: Collection[str] = ()
    """Names whose answers do not, even then."""

    def answer(self, query: dns.message.Message) -> dns.message.Message | None:
        """Answer a query with one question; None means silence."""
        response = dns.message.make_response(query, recursion_available=True)
        if len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        question = query.question[0]
        name = _text(question.name)
        if name in self.silent and dns.rdatatype.to_text(question.rdtype) not in self.zone.get(name, {}):
            return None
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        if self.authenticated and name not in self.insecure:
            response.flags |= dns.flags.AD
        response.answer.extend(self._records(question.name, question.rdtype))
        if not response.answer:
            response.authority.append(_SOA)
            if not self._exists(name):
                response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    def _records(self, name: dns.name.Name, wanted: dns.rdatatype.RdataType) -> Iterator[dns.rrset.RRset]:
        for _ in range(_MAX_ALIASES):
            types = self.zone.get(_text(name), {})
            kind = dns.rdatatype.to_text(wanted)
            if kind not in types and "CNAME" in types:
                alias = dns.rrset.from_text(name, _TTL, "IN", "CNAME", *types["CNAME"])
                yield alias
                name = alias[0].target
                continue
            if records := types.get(kind):
                texts = [_quoted(record) for record in records] if kind == "TXT" else records
                yield dns.rrset.from_text(name, _TTL, "IN", kind, *texts)
            return

    def _exists(self, name: str) -> bool:
        """A name above an existing one exists too (RFC 8020)."""
        return any(known == name or known.endswith(f".{name}") for known in self.zone)


class DnsServer:
    """Serves a World on one address, UDP and TCP. `world` may be replaced while it runs."""

    def __init__(self, reactor: Any, world: World) -> None:
        self._reactor = reactor
        self.world = world
        self.queries: list[tuple[str, str]] = []
        """(name, type) of each question, in order: for tests that count them."""
        self._ports: list[IListeningPort] = []

    def start(self, address: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; 0 takes a port that is free for both. Gives the port. Raises CannotListenError."""
        tries = 1 if port else _TRIES
        while True:
            tries -= 1
            udp = self._reactor.listenUDP(port, _Datagrams(self), interface=address)
            number: int = udp.getHost().port
            try:
                streams = Factory.forProtocol(lambda: _Stream(self))
                self._ports = [udp, self._reactor.listenTCP(number, streams, interface=address)]
                return number
            except error.CannotListenError:
                udp.stopListening()
                if not tries:
                    raise

    async def stop(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def respond(self, wire: bytes, max_size: int = 0) -> bytes | None:
        """Answer one message in wire form, cut to `max_size` octets (0: to what the query's EDNS allows)."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR:
            return None
        self.queries.extend((_text(q.name), dns.rdatatype.to_text(q.rdtype)) for q in query.question)
        response = self.world.answer(query)
        if response is None:
            return None
        # RFC 2181 9: what does not fit is cut with TC set, and the client comes again over TCP.
        size = max_size or max(query.payload, _PLAIN_UDP)
        return response.to_wire(max_size=size, prefer_truncation=True, want_shuffle=False)


class _Datagrams(DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if (response := self._server.respond(datagram)) and self.transport:
            self.transport.write(response, addr)


class _Stream(Int16StringReceiver):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def stringReceived(self, string: bytes) -> None:
        if (response := self._server.respond(string, 65535)) and self.transport:
            self.transport.write(len(response).to_bytes(2, "big") + response)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _quoted(text: str) -> str:
    data = text.encode()
    strings = [data[n : n + 255] for n in range(0, len(data), 255)]
    return " ".join(f'"{"".join(map(_escaped, string))}"' for string in strings or [b""])


def _escaped(octet: int) -> str:
    return chr(octet) if 0x20 <= octet < 0x7F and octet not in b'"\\' else f"\\{octet:03d}"
