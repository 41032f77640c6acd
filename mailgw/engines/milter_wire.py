"""The milter protocol, version 6, on the wire: packets, options, the arguments of commands and of replies.

There is no RFC. The names are those of sendmail's include/libmilter/mfdef.h and mfapi.h, which milters are built on.
A packet is a length (4 octets, of what follows), a command or reply (1 octet) and its data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntFlag

from attrs import field, frozen

from mailgw.engines.errors import Broken, quote

VERSION = 6
OLDEST = 2
CHUNK = 65535
"""MILTER_CHUNK_SIZE: octets of the body in a packet at most."""
_MAX_PACKET = 128 * 1024
_MAX_MACROS = 256


class Actions(IntFlag):
    """SMFIF_*: what a milter may ask of the message."""

    ADD_HEADER = 0x1
    CHANGE_BODY = 0x2
    ADD_RECIPIENT = 0x4
    DELETE_RECIPIENT = 0x8
    CHANGE_HEADER = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENT_WITH_PARAMETERS = 0x80
    SET_MACROS = 0x100


class Steps(IntFlag):
    """SMFIP_*: what a milter does not want to be told (NO_*), tells nothing about (SILENT_*, SMFIP_NR_*), and more."""

    NO_CONNECT = 0x1
    NO_HELO = 0x2
    NO_MAIL = 0x4
    NO_RCPT = 0x8
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADER = 0x40
    SILENT_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    REJECTED_RECIPIENTS = 0x800
    SILENT_CONNECT = 0x1000
    SILENT_HELO = 0x2000
    SILENT_MAIL = 0x4000
    SILENT_RCPT = 0x8000
    SILENT_DATA = 0x10000
    SILENT_UNKNOWN = 0x20000
    SILENT_END_OF_HEADER = 0x40000
    SILENT_BODY = 0x80000
    LEADING_SPACE = 0x100000


NO_ACTIONS = Actions(0)
NO_STEPS = Steps(0)


@frozen
class Packet:
    """A command (`C`, `H`, ...) or a reply (`c`, `r`, ...) with its data."""

    code: str
    data: bytes = b""


def encode(code: str, data: bytes = b"") -> bytes:
    return (len(data) + 1).to_bytes(4, "big") + code.encode("ascii") + data


class PacketReader:
    """Bytes in any pieces to packets."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Take what came; give the packets that are whole now. Raises Broken for a length that no reply has."""
        self._data += data
        while len(self._data) >= 4:
            length = int.from_bytes(self._data[:4], "big")
            if not 1 <= length <= _MAX_PACKET:
                raise Broken(f"its answer is no packet of a milter: {quote(bytes(self._data))}")
            if len(self._data) < 4 + length:
                return
            packet = Packet(chr(self._data[4]), bytes(self._data[5 : 4 + length]))
            del self._data[: 4 + length]
            yield packet


@frozen
class Options:
    """What both sides agree on. `macros` are the names that the milter wants, by stage (SMFIM_*); none: the usual."""

    version: int = VERSION
    actions: Actions = NO_ACTIONS
    steps: Steps = NO_STEPS
    macros: Mapping[int, frozenset[str]] = field(factory=dict)

    def encode(self) -> bytes:
        numbers = (self.version, self.actions, self.steps)
        return encode("O", b"".join(int(number).to_bytes(4, "big") for number in numbers))


def read_options(data: bytes, offered: Options) -> Options:
    """Read a milter's answer to `offered`. Raises Broken for what is none, or asks for more than was offered."""
    if len(data) < 12:
        raise Broken("its options are too short")
    version, actions, steps = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4, 8))
    if not OLDEST <= version <= offered.version:
        raise Broken(f"it speaks version {version} of the protocol; {OLDEST} to {offered.version} are spoken here")
    if actions & ~offered.actions or steps & ~offered.steps:
        raise Broken(f"it takes options that it was not offered: actions {actions:#x}, steps {steps:#x}")
    return Options(version, Actions(actions), Steps(steps), dict(_read_macros(data[12:])))


def _read_macros(data: bytes) -> Iterator[tuple[int, frozenset[str]]]:
    """Each is a stage (4 octets) and names with spaces between, ending with NUL."""
    for _ in range(16):
        stage, (names, nul, rest) = int.from_bytes(data[:4], "big"), data[4:].partition(b"\0")
        if not nul:
            return
        wanted = names.replace(b",", b" ").split()[:_MAX_MACROS]
        yield stage, frozenset(name.decode("latin-1") for name in wanted)
        data = rest


def strings(values: Iterable[str | bytes]) -> bytes:
    """Give each with the NUL that ends it."""
    parts = (value if isinstance(value, bytes) else value.encode() for value in values)
    return b"".join(part.replace(b"\0", b"") + b"\0" for part in parts)


def macros(command: str, values: Mapping[str, str]) -> bytes:
    """Give the packet of the macros that go before a command."""
    return encode("D", command.encode("ascii") + strings(part for pair in values.items() for part in pair))


def connect(name: str, address: str, port: int) -> bytes:
    """SMFIC_CONNECT. `name` is the client's, or its address in brackets."""
    if not address:
        return encode("C", strings([name]) + b"U")
    family = b"6" if ":" in address else b"4"
    return encode("C", strings([name]) + family + port.to_bytes(2, "big") + strings([address]))


def header(name: str, raw: bytes, *, leading_space: bool) -> bytes:
    """SMFIC_HEADER: a field as received. Lines are folded with LF alone, as sendmail gives them to milters."""
    value = raw.partition(b":")[2].removesuffix(b"\r\n").replace(b"\r\n", b"\n")
    if not leading_space:
        value = value.removeprefix(b" ")
    return encode("L", strings([name, value]))


def read_strings(data: bytes) -> list[str]:
    """Read strings that end with NUL; one that does not counts too."""
    return [part.decode("utf-8", "replace") for part in data.removesuffix(b"\0").split(b"\0")]
