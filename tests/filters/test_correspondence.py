"""Who of ours wrote to whom, remembered in a file."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from mailgw.filters.correspondence import TABLES, Known, StateCorrespondence
from mailgw.filters.correspondents import find_references
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.message import Message
from mailgw.state.database import Database
from tests.filters.support import make_transaction

ALICE, BOB = Mailbox("alice", "example.org"), Mailbox("bob", "example.org")
CAROL, DAVE = Mailbox("carol", "mail.example.net"), Mailbox("dave", "example.net")
MESSAGE = b"From: alice@example.org\r\nMessage-ID: <ours@example.org>\r\n\r\nHello\r\n"
DAY = 86400.0


class CorrespondenceTests(TestCase):
    async def start(self) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.path = Path(self.mktemp())
        self.database = Database(self.path, TABLES, reactor)
        await self.database.open()
        self.store = StateCorrespondence(self.database, self.clock)

    async def note(self, identity: str = "alice@example.org") -> None:
        """Alice writes to Carol."""
        self.store.note(
            make_transaction(MESSAGE, identity=identity, reverse_path=ALICE, recipients=(Recipient(CAROL),))
        )
        await self.database.close()  # notes are written by then
        self.database = Database(self.path, TABLES, reactor)
        await self.database.open()
        self.store = StateCorrespondence(self.database, self.clock)

    async def known(self, author: Mailbox, recipient: Mailbox = ALICE, *references: str) -> Known:
        now = self.clock.seconds()
        return await self.store.look_up(author, [recipient], references, (now - 30 * DAY, now - 10 * DAY))

    async def test_what_is_known(self) -> None:
        await self.start()
        await self.note()
        self.assertEqual(await self.known(CAROL), Known(True, True))
        self.assertEqual(await self.known(CAROL, BOB), Known(False, True))
        self.assertEqual(await self.known(evolve(CAROL, local_part="CAROL")), Known(True, True))
        self.assertEqual(await self.known(DAVE), Known())
        # What was registered is the same, so a colleague of hers may answer.
        self.assertEqual(await self.known(DAVE, ALICE, "<ours@example.org>"), Known(reply=True))
        self.assertEqual(await self.known(DAVE, ALICE, "<other@example.org>"), Known())
        self.assertEqual(await self.known(Mailbox("eve", "example.com"), ALICE, "<ours@example.org>"), Known())
        await self.database.close()

    async def test_only_what_our_people_send(self) -> None:
        await self.start()
        await self.note(identity="")
        self.assertEqual(await self.known(CAROL), Known())
        await self.database.close()

    async def test_it_fades(self) -> None:
        await self.start()
        await self.note()
        self.clock.advance(11 * DAY)
        self.assertEqual(await self.known(CAROL, ALICE, "<ours@example.org>"), Known(True, True))
        self.clock.advance(20 * DAY)
        self.assertEqual(await self.known(CAROL), Known())
        await self.database.close()
        database = Database(self.path, TABLES, reactor)
        await database.open()
        rows = await database.read(lambda c: c.execute("SELECT count(*) FROM correspondents").fetchone()[0])
        self.assertEqual(rows, 0)
        await database.close()

    def test_references(self) -> None:
        message = Message.from_bytes(b"References: <a@x> <b@x>\r\n <c@x> rubbish\r\nIn-Reply-To: (of) <d@x>\r\n\r\n")
        self.assertEqual(find_references(message), ["<d@x>", "<c@x>", "<b@x>", "<a@x>"])
        many = Message.from_bytes(
            b"References:" + b" <a@x>\r\n" * 9 + b"".join(b" <%d@x>" % n for n in range(99)) + b"\r\n\r\n"
        )
        self.assertEqual((len(find_references(many)), find_references(many)[0]), (20, "<98@x>"))
