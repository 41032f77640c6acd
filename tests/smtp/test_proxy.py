"""The PROXY protocol: what a header says, what is none, and that no bytes hurt."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp.proxy import MAX_HEADER, MAX_LINE, ProxyError, ProxyHeader, ProxyReader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V4 = struct.pack("!4s4sHH", bytes([192, 0, 2, 7]), bytes([198, 51, 100, 1]), 40000, 25)
V6 = struct.pack(
    "!16s16sHH", ipaddress.IPv6Address("2001:db8::7").packed, ipaddress.IPv6Address("2001:db8::1").packed, 40000, 25
)


def binary(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def read(*pieces: bytes) -> tuple[ProxyHeader | ProxyError | None, bytes]:
    reader = ProxyReader()
    found = None
    for n, piece in enumerate(pieces):
        found = reader.receive(piece)
        if found is not None:
            return found, reader.rest + b"".join(pieces[n + 1 :])
    return found, reader.rest


class LineTests(SynchronousTestCase):
    def test_addresses_and_what_comes_behind(self) -> None:
        for line, expected in [
            (b"TCP4 192.0.2.7 198.51.100.1 40000 25", ProxyHeader(1, "192.0.2.7", 40000, "198.51.100.1", 25)),
            (b"TCP6 2001:DB8::7 2001:db8::1 40000 25", ProxyHeader(1, "2001:db8::7", 40000, "2001:db8::1", 25)),
            (b"TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 1 25", ProxyHeader(1, "192.0.2.7", 1, "192.0.2.1", 25)),
            (b"UNKNOWN", ProxyHeader(1)),
            (b"UNKNOWN ffff::1 anything at all", ProxyHeader(1)),
        ]:
            self.assertEqual(read(b"PROXY " + line + b"\r\nEHLO x\r\n"), (expected, b"EHLO x\r\n"), line)

    def test_what_is_no_line(self) -> None:
        for line in (
            b"TCP4 192.0.2.7 198.51.100.1 40000",
            b"TCP4 192.0.2.7 198.51.100.1 40000 25 ",
            b"TCP4  192.0.2.7 198.51.100.1 40000 25",
            b"TCP4 192.0.2.7 198.51.100.1 40000 65536",
            b"TCP4 192.0.2.7 198.51.100.1 040 25",
            b"TCP4 192.0.2.777 198.51.100.1 40000 25",
            b"TCP4 2001:db8::7 2001:db8::1 40000 25",
            b"TCP6 192.0.2.7 198.51.100.1 40000 25",
            b"UDP4 192.0.2.7 198.51.100.1 40000 25",
            b"tcp4 192.0.2.7 198.51.100.1 40000 25",
            b"UNKNOWNX",
            b"",
        ):
            found, _ = read(b"PROXY " + line + b"\r\n")
            self.assertIsInstance(found, ProxyError, line)

    def test_the_line_ends_in_crlf_within_107_octets(self) -> None:
        self.assertIsNone(read(b"PROXY UNKNOWN\n")[0])
        longest = b"PROXY UNKNOWN ".ljust(MAX_LINE - 2, b"x")
        self.assertEqual(read(longest + b"\r\n")[0], ProxyHeader(1))
        self.assertIsInstance(read(longest + b"x\r\n")[0], ProxyError)

    def test_a_client_that_sends_none(self) -> None:
        for data in (b"EHLO x\r\n", b"PING", b"\x16\x03\x01", b"\n", b"Proxy UNKNOWN\r\n"):
            self.assertIsInstance(read(data)[0], ProxyError, data)


class BinaryTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        v4 = ProxyHeader(2, "192.0.2.7", 40000, "198.51.100.1", 25)
        v6 = ProxyHeader(2, "2001:db8::7", 40000, "2001:db8::1", 25)
        tlv = b"\x02\0\x0bexample.com\x04\0\0"
        for family, block, expected in [(0x11, V4, v4), (0x12, V4, v4), (0x21, V6, v6), (0x11, V4 + tlv, v4)]:
            self.assertEqual(read(binary(0x21, family, block) + b"rest"), (expected, b"rest"))

    def test_headers_without_an_address_that_counts(self) -> None:
        for command, family, block in [
            (0x20, 0x00, b""),
            (0x20, 0x11, V4),  # LOCAL: the family is ignored
            (0x20, 0xFF, b"junk"),
            (0x21, 0x00, b""),
            (0x21, 0x00, b"ignored"),
            (0x21, 0x10, V4),
            (0x21, 0x31, b"/run/a".ljust(108, b"\0") * 2),
        ]:
            self.assertEqual(read(binary(command, family, block) + b"rest"), (ProxyHeader(2), b"rest"))

    def test_what_is_no_header(self) -> None:
        for data in (
            binary(0x11, 0x11, V4),  # version 1
            binary(0x22, 0x11, V4),  # an unknown command
            binary(0x21, 0x41, V4),  # an unknown family
            binary(0x21, 0x13, V4),  # an unknown protocol
            binary(0x21, 0x11, V4[:-1]),
            binary(0x21, 0x21, V4),
            binary(0x21, 0x31, b"x" * 215),
            SIGNATURE + struct.pack("!BBH", 0x21, 0x11, MAX_HEADER - 15),
            SIGNATURE[:-1] + b"\r",
        ):
            self.assertIsInstance(read(data)[0], ProxyError, data)

    def test_the_largest_header(self) -> None:
        block = V4.ljust(MAX_HEADER - 16, b"\0")
        self.assertIsNone(read(binary(0x21, 0x11, block)[:-1])[0])
        self.assertIsInstance(read(binary(0x21, 0x11, block))[0], ProxyHeader)


_valid = st.sampled_from(
    [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 25\r\n",
        b"PROXY UNKNOWN\r\n",
        binary(0x21, 0x11, V4),
        binary(0x20, 0, b""),
        binary(0x21, 0x21, V6 + b"tlv"),
    ]
)


@st.composite
def stream(draw: st.DrawFn) -> list[bytes]:
    """A header or what looks like one, with something behind it, in pieces."""
    start = draw(_valid | st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"!"]))
    if draw(st.booleans()):  # damaged
        at = draw(st.integers(0, len(start)))
        start = start[:at] + draw(st.binary(max_size=3)) + start[at + draw(st.integers(0, 3)) :]
    data = start + draw(st.binary(max_size=150))
    edges = [0, *sorted(draw(st.sets(st.integers(0, len(data)), max_size=15))), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]  # noqa: RUF007


class FuzzTests(SynchronousTestCase):
    @settings(max_examples=500, deadline=None)
    @given(stream())
    def test_any_cut_gives_the_same_and_nothing_raises(self, pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        whole, cut = read(data), read(*pieces)
        self.assertEqual(whole[0], cut[0])
        if isinstance(whole[0], ProxyHeader):
            self.assertEqual(whole[1], cut[1])
            self.assertTrue(data.endswith(whole[1]))
        octets = read(*[data[n : n + 1] for n in range(len(data))])
        self.assertEqual(whole[0], octets[0])

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=64), st.integers(0, 65535))
    def test_it_answers_within_its_bound(self, head: bytes, length: int) -> None:
        data = (SIGNATURE + b"\x21\x11" + struct.pack("!H", length) + head).ljust(MAX_HEADER, b"\0")
        self.assertIsNotNone(read(data)[0])
        self.assertIsNotNone(read((b"PROXY " + head).ljust(MAX_LINE, b" "))[0])
