r"""Plays the dialogues of tests/dialogues against the server core with a trivial responder.

A file shows one behaviour. Its lines:

    # a comment
    with: starttls auth tls dsn    what the server offers beyond the usual (see Responder.offering); `tls`: TLS is on
                                   from the start; `lmtp`: LMTP is spoken; `normalise`: bare CR and LF become CRLF
    only: blocks segment bytes     how to run it, where not in every way
    C: text                        the client sends the text and CRLF
    R: text                        the client sends the text alone
    S: pattern                     one reply; its lines are joined with ` | `, `*` stands for anything
    M: pattern                     the content of the message that was just sent
    TLS                            the handshake takes place
    CLOSED                         the server has closed

In texts `\r`, `\n`, `\t`, `\xNN` and `\\` stand for octets, and `<<text*N>>` for N times the text. Each dialogue is
run as it is written (what stands between two `S:` comes in one piece, and exactly the replies that follow are given),
in one segment, and byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from attrs import Factory, define
from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp import events
from tests.smtp.responder import LIMITS, Responder

DIALOGUES = Path(__file__).parent.parent / "dialogues"
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([rnt\\]))")
_REPEAT = re.compile(rb"<<(.+?)\*([0-9]+)>>", re.DOTALL)
_LETTERS = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
_WAYS = ("blocks", "segment", "bytes")


@define
class Dialogue:
    """A dialogue file, read: `steps` are (kind, text) in their order."""

    offers: list[str] = Factory(list)
    ways: tuple[str, ...] = _WAYS
    steps: list[tuple[str, bytes]] = Factory(list)


def parse(text: str) -> Dialogue:
    """Raises ValueError for a line that it does not know."""
    dialogue = Dialogue()
    for line in text.splitlines():
        kind, colon, argument = line.partition(":")
        if not line or line.startswith("#"):
            continue
        argument = argument[1:]
        if kind == "with":
            dialogue.offers = argument.split()
        elif kind == "only":
            dialogue.ways = tuple(argument.split())
        elif kind in ("TLS", "CLOSED") and not colon:
            dialogue.steps.append((kind, b""))
        elif kind in ("C", "R", "S", "M"):
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


class DialogueTests(SynchronousTestCase):
    """One test for each file and way, added below."""

    def play(self, dialogue: Dialogue, way: str) -> None:
        responder = Responder.offering(dialogue.offers)
        if way == "blocks":
            self._play_blocks(dialogue, responder)
        else:
            self._play_stream(dialogue, responder, way)
        self.assertLessEqual(responder.held, LIMITS.auth_line)

    def _play_blocks(self, dialogue: Dialogue, responder: Responder) -> None:
        """As it is written: each reply is checked where it stands."""
        sent = b""
        expected: list[bytes] = []
        for kind, text in [*dialogue.steps, ("end", b"")]:
            if kind in ("C", "R"):
                if expected:
                    self._compare(expected, responder)
                sent += text
                continue
            if sent:
                responder.receive([sent])
                sent = b""
            if kind == "S":
                expected.append(text)
                continue
            self._compare(expected, responder)
            if kind == "TLS":
                responder.connection.tls_started()
                responder.receive([b""])
            elif kind == "M":
                self._compare_content(text, responder, -1)
            elif kind == "CLOSED":
                self.assertTrue(responder.closed)

    def _play_stream(self, dialogue: Dialogue, responder: Responder, way: str) -> None:
        """All that the client sends between handshakes in one piece or byte by byte; replies are checked at the end."""
        sent = b""
        for kind, text in [*dialogue.steps, ("TLS", b"")]:
            if kind in ("C", "R"):
                sent += text
            elif kind == "TLS":
                responder.receive([sent] if way == "segment" else [bytes([octet]) for octet in sent])
                responder.connection.tls_started()
                sent = b""
        self._compare([text for kind, text in dialogue.steps if kind == "S"], responder)
        for number, pattern in enumerate(text for kind, text in dialogue.steps if kind == "M"):
            self._compare_content(pattern, responder, number)
        self.assertEqual(responder.closed, ("CLOSED", b"") in dialogue.steps)

    def _compare(self, patterns: list[bytes], responder: Responder) -> None:
        got = replies(responder.output)
        if len(patterns) != len(got) or not all(map(matches, patterns, got)):
            self.fail(f"expected {patterns}, got {got}")
        patterns.clear()
        responder.output = b""

    def _compare_content(self, pattern: bytes, responder: Responder, number: int) -> None:
        messages = [b""]
        for event in responder.events:
            if isinstance(event, events.Content):
                messages[-1] += event.data
            elif isinstance(event, events.ContentEnd) or (isinstance(event, events.ChunkEnd) and event.problem):
                messages.append(b"")
        content = messages[:-1][number]
        self.assertTrue(matches(pattern, content), f"expected {pattern!r}, got {content!r}")


def _test(path: Path, way: str) -> Callable[[DialogueTests], None]:
    def test(self: DialogueTests) -> None:
        self.play(parse(path.read_text()), way)

    return test


for _path in sorted(DIALOGUES.glob("*.txt")):
    for _way in parse(_path.read_text()).ways:
        setattr(DialogueTests, f"test_{_path.stem}_in_{_way}", _test(_path, _way))
