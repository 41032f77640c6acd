"""Ten thousand random cuts of recorded sessions give the same events and replies as the whole."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.dialogue import DIALOGUES, parse
from tests.smtp.responder import Responder

CUTS = 10_000

_LONG = (
    b"EHLO client.example.org\r\nMAIL FROM:<sender@example.org> SIZE=900 BODY=8BITMIME\r\n"
    b"RCPT TO:<unknown@example.com>\r\nRCPT TO:<user@example.com>\r\nDATA\r\n"
    b"Received: from a (b [192.0.2.1])\r\n\tby c; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nFrom: =?utf-8?q?J=C3=B6rg?= <sender@example.org>\r\n"
    b"To: user@example.com\r\nMIME-Version: 1.0\r\n\r\n"
    b"..a line with a dot\r\n...\r\n.. \r\n\r\n\r\nQUIT\r\nRSET\r\n.x\r\n"
    + b"Gr\xc3\xbc\xc3\x9fe\r\n" * 20
    + b".\r\nMAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n"
)


def recorded() -> Iterator[tuple[bytes, list[str]]]:
    """Give the client's side of every dialogue without a handshake, and a longer session, with what is offered."""
    yield _LONG, []
    for path in sorted(DIALOGUES.glob("*.txt")):
        dialogue = parse(path.read_text())
        if "starttls" not in dialogue.offers:
            yield b"".join(text for kind, text in dialogue.steps if kind in ("C", "R")), dialogue.offers


def play(pieces: list[bytes], offers: list[str]) -> Responder:
    responder = Responder.offering(offers)
    responder.receive(pieces)
    return responder


def cut(data: bytes, random_: random.Random) -> list[bytes]:
    """Cut at up to 40 places, half the time near each other, where a line or the data ends."""
    length = len(data)
    if random_.random() < 0.5 and b"\r\n" in data:
        centre = data.index(b"\r\n", random_.randrange(data.rindex(b"\r\n") + 1))
        places = {min(max(centre + random_.randrange(-4, 8), 0), length) for _ in range(4)}
    else:
        places = {random_.randrange(length + 1) for _ in range(random_.randrange(1, 40))}
    ordered = [0, *sorted(places), length]
    return [data[a:b] for a, b in itertools.pairwise(ordered)]


class ChunkingTests(SynchronousTestCase):
    def test_any_cut_gives_the_same(self) -> None:
        random_ = random.Random(20261123)
        sessions = [(data, offers) for data, offers in recorded() if len(data) < 20_000]
        wholes = []
        for data, offers in sessions:
            whole = play([data], offers)
            wholes.append((whole.merged, whole.output))
        for number in range(CUTS):
            data, offers = sessions[number % len(sessions)]
            pieces = cut(data, random_)
            responder = play(pieces, offers)
            if (responder.merged, responder.output) != wholes[number % len(sessions)]:
                self.assertEqual((responder.merged, responder.output), wholes[number % len(sessions)], pieces)
