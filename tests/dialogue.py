r"""Dialogues: files that say what a client sends and what it is told, one behaviour a file.

Their lines, as far as all of them have them:

    # a comment
    only: blocks segment bytes     how to run it, where not in every way
    C: text                        the client sends the text and CRLF
    R: text                        the client sends the text alone
    S: pattern                     one reply; its lines are joined with ` | `, `*` stands for anything
    M: pattern                     the content of the message that was just sent
    TLS                            the handshake takes place
    CLOSED                         the server has closed

In texts `\r`, `\n`, `\t`, `\xNN` and `\\` stand for octets, and `<<text*N>>` for N times the text. The ways to run one
are as it is written (`blocks`: what stands between two `S:` comes in one piece, and exactly the replies that follow
are given), in one `segment`, and byte by byte (`bytes`).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from attrs import Factory, define

DIALOGUES = Path(__file__).parent / "dialogues"
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([rnt\\]))")
_REPEAT = re.compile(rb"<<(.+?)\*([0-9]+)>>", re.DOTALL)
_LETTERS = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
_WAYS = ("blocks", "segment", "bytes")
_STEPS = frozenset({"C", "R", "S", "M", "TLS", "CLOSED"})


@define
class Dialogue:
    """A dialogue file, read: `settings` and `steps` are (kind, text) in their order."""

    settings: list[tuple[str, str]] = Factory(list)
    ways: tuple[str, ...] = _WAYS
    steps: list[tuple[str, bytes]] = Factory(list)

    @property
    def offers(self) -> list[str]:
        """The words of `with:`."""
        return [word for kind, text in self.settings if kind == "with" for word in text.split()]


def parse(text: str, settings: Collection[str] = ("with",), steps: Collection[str] = ()) -> Dialogue:
    """Read a dialogue. `settings` and `steps` are kinds of lines that are known beyond those of all dialogues.
    Raises ValueError for a line that is not."""
    dialogue = Dialogue()
    for line in text.splitlines():
        kind, _, argument = line.partition(":")
        if not line or line.startswith("#"):
            continue
        argument = argument[1:]
        if kind in settings:
            dialogue.settings.append((kind, argument))
        elif kind == "only":
            dialogue.ways = tuple(argument.split())
        elif kind in _STEPS or kind in steps:
            dialogue.steps.append((kind, unescape(argument) + (b"\r\n" if kind == "C" else b"")))
        else:
            raise ValueError(f"not a line of a dialogue: {line!r}")
    return dialogue


def unescape(text: str) -> bytes:
    """Undo `\\xNN` and `<<text*N>>`."""
    data = b""
    position = 0
    for match in _ESCAPE.finditer(text):
        data += text[position : match.start()].encode()
        data += bytes.fromhex(match[1]) if match[1] else _LETTERS[match[2]]
        position = match.end()
    data += text[position:].encode()
    return _REPEAT.sub(lambda match: match[1] * int(match[2]), data)


def matches(pattern: bytes, text: bytes) -> bool:
    return re.fullmatch(b".*".join(map(re.escape, pattern.split(b"*"))), text, re.DOTALL) is not None


def replies(output: bytes) -> list[bytes]:
    """The replies in what the server sent, each with its lines joined by ` | `."""
    found = re.findall(rb"(?:[0-9]{3}-[^\r\n]*\r\n)*[0-9]{3}(?: [^\r\n]*)?\r\n", output)
    assert b"".join(found) == output, output
    return [reply[:-2].replace(b"\r\n", b" | ") for reply in found]
