"""The codec: whatever a server sends is read, or refused; nothing is raised that the resolver does not expect."""

from __future__ import annotations

import time

import dns.message
import dns.rrset
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.dns.interface import Answer, DnsFailure, RecordType, TlsaRecord
from mailgw.dns.wire import (
    MAX_TTL,
    Alias,
    NoExtensions,
    Query,
    ServerFailure,
    decode_response,
    encode_query,
    parse_name,
    read_response,
)


def query(name: str = "example.org", type: RecordType = "A") -> Query:
    parsed = parse_name(name)
    assert parsed is not None
    return encode_query(parsed, type, 4711)


def response(question: Query, *records: str) -> dns.message.Message:
    made = dns.message.make_response(question.message)
    for record in records:
        name, ttl, type, data = record.split(" ", 3)
        made.answer.append(dns.rrset.from_text(name, int(ttl), "IN", type, data))
    return made


class WireTests(SynchronousTestCase):
    def read(self, type: RecordType, *records: str) -> Answer | Alias:
        question = query(type=type)
        decoded = decode_response(response(question, *records).to_wire(), question)
        assert decoded is not None
        return read_response(decoded, type, trusted=False)

    def test_records(self) -> None:
        for type, data, record in (
            ("A", "192.0.2.1", "192.0.2.1"),
            ("AAAA", "2001:DB8:0::1", "2001:db8::1"),
            ("TXT", '"a" "b\\255"', b"ab\xff"),
            ("PTR", "Host.Example.", "host.example"),
            ("NS", "ns.example.", "ns.example"),
            ("SOA", "ns.example. a.b. 1 2 3 4 5", "ns.example"),
            ("TLSA", "3 1 1 " + "ab" * 32, TlsaRecord(3, 1, 1, b"\xab" * 32)),
            ("CNAME", "a\\.b.example.", "a\\.b.example"),
        ):
            answer = self.read(type, f"example.org. 300 {type} {data}")  # type: ignore[arg-type]  # from a table
            self.assertEqual(answer, Answer((record,), ttl=300))

    def test_ttl_is_the_least_of_the_chain_and_bounded(self) -> None:
        chain = ("example.org. 100 CNAME a.example.", "a.example. 7 CNAME b.example.", "b.example. 50 A 192.0.2.1")
        self.assertEqual(self.read("A", *chain), Answer(("192.0.2.1",), ttl=7, alias_of="b.example"))
        self.assertEqual(self.read("A", "example.org. 999999 A 192.0.2.1"), Answer(("192.0.2.1",), ttl=MAX_TTL))

    def test_records_of_other_names_are_not_taken(self) -> None:
        self.assertEqual(self.read("A", "evil.example. 300 A 192.0.2.66"), Answer())

    def test_codes(self) -> None:
        question = query()
        for code, error in ((2, ServerFailure), (5, ServerFailure), (1, NoExtensions), (4, NoExtensions)):
            made = response(question)
            made.set_rcode(code)  # type: ignore[arg-type]  # a number will do
            with self.assertRaises(error):
                read_response(made, "A", trusted=False)

    def test_response_to_something_else(self) -> None:
        question = query()
        good = response(question).to_wire()
        self.assertIsNotNone(decode_response(good, question))
        self.assertIsNone(decode_response(b"\0\0" + good[2:], question))  # another id
        self.assertIsNone(decode_response(question.wire, question))  # a query
        self.assertIsNone(decode_response(good, query("example.net")))
        self.assertIsNone(decode_response(good, query(type="MX")))

    def test_record_that_cannot_be_read_is_the_servers_failure(self) -> None:
        question = query()
        wire = response(question, "example.org. 300 A 192.0.2.1").to_wire()
        with self.assertRaises(ServerFailure):
            decode_response(wire[:-1], question)

    @settings(max_examples=500, deadline=None)
    @given(st.binary(max_size=80), st.integers(0, 200), st.integers(0, 20))
    def test_any_octets(self, noise: bytes, position: int, removed: int) -> None:
        question = query(type="TXT")
        wire = response(question, 'example.org. 300 TXT "v=spf1 -all"', "example.org. 300 CNAME x.example.").to_wire()
        position %= len(wire)
        for data in (noise, question.wire[:2] + noise, wire[:position] + noise + wire[position + removed :]):
            try:
                decoded = decode_response(data, question)
                if decoded is not None:
                    read_response(decoded, "TXT", trusted=True)
            except (ServerFailure, NoExtensions, DnsFailure):
                pass

    def test_compression_bomb(self) -> None:
        question = query(type="TXT")
        header = question.wire[:2] + b"\x81\x80\x00\x01\x20\x00\x00\x00\x00\x00"
        data = header + question.wire[12:29] + b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x02\xc0\x0c" * 4000
        before = time.process_time()
        try:
            decode_response(data, question)
        except ServerFailure:
            pass
        self.assertLess(time.process_time() - before, 1.0)
