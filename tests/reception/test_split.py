"""Recipients with different verdicts: a message each, one reply; in LMTP a reply each."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.message import Content, FileContent
from mailgw.mail.reply import Reply, TemporaryFailure
from mailgw.mail.verdict import Verdict
from mailgw.queue.memory import MemoryStore
from tests.reception.harness import INBOX, Peer, Server, codes

SPAM = Verdict("spam", 7.0, (), "spam")
HOLD = Verdict("hold", 7.0, (), "hold")
DISCARD = Verdict("discard", 7.0, (), "discard")
REJECT = Verdict("reject", 20.0, (), "spam", Reply(554, "5.7.1", ("Refused",)))


class SplitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.told: list[object] = []
        self.server.recorder.append(lambda *told: self.told.append(told))

    def send(self, *verdicts: Verdict, greeting: str = "EHLO") -> tuple[Peer, str]:
        self.server.judge.verdicts = dict(enumerate(verdicts))
        peer = self.server.connect()
        peer.say(f"{greeting} c.example", "MAIL FROM:<a@b.example>")
        for name in ("alice", "bob", "postmaster")[: len(verdicts)]:
            peer.say(f"RCPT TO:<{name}@ours.example>")
        peer.say("DATA")
        return peer, peer.say("Subject: x", "", "body", ".")

    def test_a_message_for_each_verdict_with_its_fields_and_folder(self) -> None:
        _, reply = self.send(INBOX, SPAM, INBOX)
        self.assertIn("250 2.0.0 OK: queued as ID", reply)
        first, second = self.server.offered
        self.assertIn(first.message.id, reply)
        self.assertEqual(
            [str(d.destination) for d in first.deliveries],
            [
                "maildir:alice@ours.example/inbox",
                "maildir:postmaster@ours.example/inbox",
            ],
        )
        self.assertEqual([str(d.destination) for d in second.deliveries], ["maildir:bob@ours.example/spam"])
        self.assertIn(b"X-Spam-Flag: NO", first.message.message.prefix)
        self.assertIn(b"X-Spam-Flag: YES", second.message.message.prefix)
        self.assertEqual([str(r.forward_path) for r in second.message.envelope.recipients], ["bob@ours.example"])
        self.assertEqual(first.message.message.content, second.message.message.content)

    def test_received_does_not_name_one_recipient_to_another(self) -> None:
        """RFC 5321 7.6"""
        self.send(INBOX, SPAM)
        for entry in self.server.offered:
            self.assertNotIn(b" for <", entry.message.message.prefix)

    def test_refused_for_one_of_them_is_spam_there(self) -> None:
        _, reply = self.send(INBOX, REJECT)
        self.assertEqual(codes(reply), ["250"])
        folders = [str(d.destination) for entry in self.server.offered for d in entry.deliveries]
        self.assertEqual(folders, ["maildir:alice@ours.example/inbox", "maildir:bob@ours.example/spam"])

    def test_thrown_away_for_one_of_them(self) -> None:
        _, reply = self.send(DISCARD, INBOX)
        self.assertEqual(codes(reply), ["250"])
        (entry,) = self.server.offered
        self.assertIn(entry.message.id, reply)
        self.assertEqual([d.destination.target for d in entry.deliveries], ["bob@ours.example"])

    def test_refused_for_all(self) -> None:
        self.assertEqual(codes(self.send(REJECT, REJECT)[1]), ["554"])
        self.assertEqual(self.server.offered, [])

    def test_when_the_store_fails_nothing_is_taken(self) -> None:
        self.server.judge.verdicts = {}
        peer = self.server.connect()
        self.server.judge.verdicts = {0: INBOX, 1: SPAM}
        peer.say("EHLO c.example", "MAIL FROM:<a@b.example>")
        peer.say("RCPT TO:<alice@ours.example>", "RCPT TO:<bob@ours.example>", "DATA")
        self.server.store.broken = "disk"
        self.assertEqual(codes(peer.say("Subject: x", "", "body", ".")), ["451"])
        self.assertEqual((self.server.offered, self.told), ([], []))

    def test_who_keeps_records_is_told_of_each_with_its_id(self) -> None:
        _, reply = self.send(INBOX, SPAM)
        ((transaction, results, told),) = self.told  # type: ignore[misc]
        self.assertEqual([one.recipients for one, _ in results], [(0,), (1,)])
        self.assertEqual([name for _, name in results], [entry.message.id for entry in self.server.offered])
        self.assertEqual(transaction.id, self.server.offered[0].message.id)
        self.assertIn(str(told), reply)

    def test_lmtp_tells_each(self) -> None:
        self.server = Server(kind="lmtp")
        _, reply = self.send(INBOX, REJECT, SPAM, greeting="LHLO")
        self.assertEqual(codes(reply), ["250", "554", "250"])
        folders = [str(d.destination) for entry in self.server.offered for d in entry.deliveries]
        self.assertEqual(folders, ["maildir:alice@ours.example/inbox", "maildir:postmaster@ours.example/spam"])

    def test_held_mail_is_taken_and_stands_in_quarantine_until_its_time_is_over(self) -> None:
        _, reply = self.send(HOLD)
        self.assertEqual(codes(reply), ["250"])
        ((delivery,),) = [entry.deliveries for entry in self.server.offered]
        self.assertEqual(str(delivery.destination), "quarantine:maildir:alice@ours.example/inbox")
        self.assertEqual(delivery.due, self.server.clock.seconds() + 2592000.0)

    def test_copies_of_the_content_go_when_a_later_one_cannot_be_made(self) -> None:
        """They stayed on the disk until the next start."""
        store = CopyingStore()
        self.server = Server(store=store)
        _, reply = self.send(INBOX, SPAM, HOLD)
        self.assertEqual(codes(reply), ["451"])
        self.assertEqual((len(store.copied), store.copied), (1, store.discarded))


class CopyingStore(MemoryStore):
    """Copies once; then its disk is full."""

    def __init__(self) -> None:
        super().__init__()
        self.copied: list[Content] = []
        self.discarded: list[Content] = []

    async def copy(self, content: Content, message_id: str) -> Content:
        if self.copied:
            raise TemporaryFailure("disk")
        self.copied.append(FileContent(message_id, content.size))
        return self.copied[-1]

    async def discard(self, content: Content) -> None:
        self.discarded.append(content)
