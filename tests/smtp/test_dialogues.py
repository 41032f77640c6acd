"""Plays the dialogues of tests/dialogues (tests/dialogue.py) against the server core with a trivial responder.

A file may begin with `with: starttls auth tls dsn`: what the server offers beyond the usual (see Responder.offering);
`tls`: TLS is on from the start; `lmtp`: LMTP is spoken; `normalise`: bare CR and LF become CRLF.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from mailgw.smtp import events
from tests.dialogue import DIALOGUES, Dialogue, matches, parse, replies
from tests.smtp.responder import LIMITS, Responder


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
