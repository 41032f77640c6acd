"""Greylisting in a file: who has to come again, and who is known then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from mailgw.config.schema import Greylisting
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.transaction import Transaction
from mailgw.state.database import Database
from mailgw.verdict.greylist import TABLES, StateGreylist
from tests.filters.support import make_transaction

ALICE, BOB = (Recipient(Mailbox(name, "example.org")) for name in ("alice", "bob"))
OTHER = Recipient(Mailbox("alice", "example.com"))
DAY = 86400.0


def message(body: str = "Buy now") -> bytes:
    return f"From: carol@mail.example.net\r\nSubject: x\r\n\r\n{body}\r\n".encode()


class GreylistTests(TestCase):
    async def start(self, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.path = Path(self.mktemp())
        self.database = Database(self.path, TABLES, reactor)
        await self.database.open()
        self.greylist = StateGreylist(Greylisting(**settings), self.database, self.clock)

    def transaction(self, body: str = "Buy now", address: str = "192.0.2.7", proven: bool = False) -> Transaction:
        transaction = make_transaction(message(body), address=address)
        if proven:
            transaction.auth.append(AuthResult("dkim", "pass", (("header.d", "example.net"),)))
        return transaction

    async def wait(self, recipient: Recipient = ALICE, **facts: Any) -> float:
        answer = await self.greylist.ask(self.transaction(**facts), [recipient])
        return answer.wait

    async def test_comes_again(self) -> None:
        await self.start()
        self.assertEqual(await self.wait(), 300.0)
        self.clock.advance(100)
        self.assertEqual(await self.wait(), 200.0)
        self.clock.advance(200)
        self.assertEqual(await self.wait(), 0.0)
        self.clock.advance(35 * DAY)
        self.assertEqual(await self.wait(body="another message"), 0.0)
        self.clock.advance(37 * DAY)
        self.assertEqual(await self.wait(body="a third"), 300.0)
        await self.database.close()

    async def test_comes_too_late(self) -> None:
        await self.start()
        await self.wait()
        self.clock.advance(2 * DAY)
        self.assertEqual(await self.wait(), 300.0)
        await self.database.close()

    async def test_its_neighbours_and_our_colleagues_are_known_with_it(self) -> None:
        await self.start()
        await self.wait()
        self.clock.advance(300)
        await self.wait()
        self.assertEqual(await self.wait(BOB, address="192.0.2.99", body="other"), 0.0)
        self.assertEqual(await self.wait(OTHER, body="other"), 300.0)
        self.assertEqual(await self.wait(address="192.0.3.7", body="other"), 300.0)
        await self.database.close()

    async def test_a_pool_that_has_proven_its_domain_is_one_sender(self) -> None:
        await self.start()
        self.assertEqual(await self.wait(proven=True), 60.0)
        self.clock.advance(60)
        self.assertEqual(await self.wait(proven=True, address="203.0.113.1", body="other"), 0.0)
        await self.database.close()

    async def test_a_pool_without_is_known_by_the_message(self) -> None:
        await self.start()
        await self.wait()
        self.clock.advance(300)
        self.assertEqual(await self.wait(address="2001:db8::1"), 0.0)
        self.assertEqual(await self.wait(address="2001:db8:0:0:1::2", body="other"), 0.0)
        await self.database.close()

    async def test_the_strictest_of_several_domains_counts(self) -> None:
        await self.start()
        await self.wait()
        self.clock.advance(300)
        answer = await self.greylist.ask(self.transaction(), [ALICE, OTHER])
        self.assertEqual(answer.wait, 300.0)
        await self.database.close()

    async def test_who_is_exempt(self) -> None:
        await self.start()
        transaction = self.transaction()
        transaction.evidence.append(Evidence("DNSWL_LOW"))
        answer = await self.greylist.ask(transaction, [ALICE])
        self.assertEqual((answer.wait, answer.detail), (0.0, "not for DNSWL_LOW"))
        await self.database.close()

    async def test_off(self) -> None:
        await self.start(enabled=False)
        self.assertEqual(await self.wait(), 0.0)
        await self.database.close()

    async def test_what_is_over_is_forgotten(self) -> None:
        await self.start()
        await self.wait()
        self.clock.advance(3 * DAY)
        await self.wait(address="203.0.113.9", body="other")
        rows = await self.database.read(lambda c: c.execute("SELECT count(*) FROM greylist").fetchone()[0])
        self.assertEqual(rows, 2)
        await self.database.close()
