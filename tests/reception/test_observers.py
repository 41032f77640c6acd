"""Who observes verdicts is told of those that stand, and cannot hurt the mail."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import Reply, TemporaryFailure
from mailgw.queue.memory import MemoryStore
from mailgw.queue.store import Entry
from tests.reception.harness import INBOX, Server, codes


class FullStore(MemoryStore):
    async def put(self, entry: Entry) -> None:
        raise TemporaryFailure("the disk is full")


class ObserverTests(SynchronousTestCase):
    def deliver(self, server: Server) -> list[str]:
        return codes(server.connect().deliver())

    def test_accepted_and_refused_messages_are_told(self) -> None:
        server = Server()
        self.deliver(server)
        server.judge.verdict = evolve(INBOX, action="reject", reply=Reply(554, "5.7.1", ("no",)))
        self.deliver(server)
        self.assertEqual([verdict.action for _, verdict in server.told], ["inbox", "reject"])
        self.assertEqual([transaction.client.address for transaction, _ in server.told], ["192.0.2.1"] * 2)

    def test_a_message_that_is_not_stored_is_not_told(self) -> None:
        server = Server(store=FullStore())
        self.assertEqual(self.deliver(server), ["451"])
        self.assertEqual(server.told, [])

    def test_an_error_of_theirs_costs_nothing(self) -> None:
        server = Server()
        server.observe = lambda *told: 1 / 0  # type: ignore[assignment,return-value]
        self.assertEqual(self.deliver(server), ["250"])
        self.assertEqual(len(server.offered), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
