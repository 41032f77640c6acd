"""The PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): whom a balancer's connection is really from.

Sans-IO, bounded, and no bytes make it raise. The header is the first thing on the connection, ahead of TLS.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Literal

from attrs import frozen

# Section 2.1: the longest line, with its CRLF.
MAX_LINE = 107
# Section 2.2: a length of 65535 is possible. What is of use fits into far less: 216 octets of addresses and some TLVs.
MAX_HEADER = 4096

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED = 16
_LINE_START = b"PROXY "
_LINE = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n")
# What stands behind UNKNOWN is to be ignored.
_UNKNOWN_LINE = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")


@frozen
class ProxyHeader:
    """Where the client's connection came from and where it went. Addresses are empty where the header has none that
    counts (UNKNOWN, LOCAL, AF_UNSPEC, AF_UNIX): then those of the connection itself hold."""

    version: Literal[1, 2]
    source: str = ""
    source_port: int = 0
    destination: str = ""
    destination_port: int = 0


@frozen
class ProxyError:
    """The bytes are no header; the connection has to be closed. `reason` is for the log."""

    reason: str


class ProxyReader:
    """Takes the first bytes of a connection, cut in any way, until the header is there or cannot come any more.

    `rest` is what came behind the header. At most MAX_HEADER octets are held before that, and the last piece.
    """

    __slots__ = ("_data", "rest")

    def __init__(self) -> None:
        self._data = b""
        self.rest = b""

    def receive(self, data: bytes) -> ProxyHeader | ProxyError | None:
        """Take bytes; give the header, the error, or None when more are needed. Not to be called after an answer."""
        self._data += data
        found, length = _parse(self._data)
        if found is not None:
            self.rest = self._data[length:]
            self._data = b""
        return found


_Parsed = tuple[ProxyHeader | ProxyError | None, int]


def _parse(data: bytes) -> _Parsed:
    if data[:1] == b"P":
        return _parse_line(data)
    if not data.startswith(_SIGNATURE[: len(data)]):
        return ProxyError("the connection does not begin with a PROXY header"), 0
    return _parse_binary(data) if len(data) >= _FIXED else (_early_error(data), 0)


def _early_error(data: bytes) -> ProxyError | None:
    """What is wrong with the beginning of a version 2 header that is not there as a whole, so that any cut of the
    bytes gives the same error."""
    return _bad_command(data[12]) if len(data) > len(_SIGNATURE) else None


def _parse_line(data: bytes) -> _Parsed:
    """Version 1 (section 2.1)."""
    if not data.startswith(_LINE_START[: len(data)]):
        return ProxyError("the connection does not begin with a PROXY header"), 0
    end = data.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        return (None if len(data) < MAX_LINE else ProxyError(f"no CRLF in the first {MAX_LINE} octets")), 0
    line = data[: end + 2]
    if _UNKNOWN_LINE.fullmatch(line):
        return ProxyHeader(1), len(line)
    match = _LINE.fullmatch(line)
    if match is None:
        return ProxyError("malformed line"), 0
    version, source, destination, source_port, destination_port = (group.decode("ascii") for group in match.groups())
    try:
        kind = ipaddress.IPv4Address if version == "4" else ipaddress.IPv6Address
        return (
            ProxyHeader(1, _text(kind(source)), _port(source_port), _text(kind(destination)), _port(destination_port)),
            len(line),
        )
    except ValueError:
        return ProxyError("malformed address or port"), 0


def _port(digits: str) -> int:
    number = int(digits)
    if number > 65535 or str(number) != digits:  # no heading zeroes
        raise ValueError(digits)
    return number


def _bad_command(octet: int) -> ProxyError | None:
    if octet >> 4 != 2:
        return ProxyError(f"version {octet >> 4} behind the signature of version 2")
    return None if octet & 0x0F <= 1 else ProxyError(f"unknown command {octet & 0x0F}")


def _parse_binary(data: bytes) -> _Parsed:
    """Version 2 (section 2.2)."""
    command, family, length = struct.unpack_from("!BBH", data, len(_SIGNATURE))
    error = _bad_command(command)
    if error is None and _FIXED + length > MAX_HEADER:
        error = ProxyError(f"a header of {_FIXED + length} octets, at most {MAX_HEADER} are taken")
    if error is not None:
        return error, 0
    if len(data) < _FIXED + length:
        return None, 0
    # Behind the addresses may stand TLVs, which are skipped.
    return _addresses(command & 0x0F, family, data[_FIXED : _FIXED + length]), _FIXED + length


def _addresses(command: int, family: int, block: bytes) -> ProxyHeader | ProxyError:
    if command == 0:  # LOCAL: the balancer itself, such as its health checks; the family is ignored
        return ProxyHeader(2)
    address_family, protocol = family >> 4, family & 0x0F
    if address_family > 3 or protocol > 2:
        return ProxyError(f"unknown address family or protocol 0x{family:02x}")
    if len(block) < (0, 12, 36, 216)[address_family]:
        return ProxyError("the addresses are cut short")
    if address_family in (0, 3) or protocol == 0:
        return ProxyHeader(2)
    size = 4 if address_family == 1 else 16
    kind = ipaddress.IPv4Address if size == 4 else ipaddress.IPv6Address
    ports = struct.unpack_from("!HH", block, 2 * size)
    source, destination = kind(block[:size]), kind(block[size : 2 * size])
    return ProxyHeader(2, _text(source), ports[0], _text(destination), ports[1])


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4-mapped IPv6 address is an IPv4 address (RFC 4291 2.5.5.2)."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
