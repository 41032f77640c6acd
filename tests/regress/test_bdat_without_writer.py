"""BDAT while the store took no message: the octets of the chunk were answered one by one, and each later reply stood
where the client expected another. A 250 for a message that was never taken could be read from that."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.reply import StorageFull
from mailgw.queue.memory import MemoryContentWriter, MemoryStore
from tests.reception.harness import Server, codes


class FullStore(MemoryStore):
    full = True

    def new_content(self, message_id: str) -> MemoryContentWriter:
        if self.full:
            raise StorageFull("no room")
        return MemoryContentWriter()


class BdatWithoutWriterTests(SynchronousTestCase):
    def replies(self, data: bytes, kind: str = "mx") -> list[str]:
        self.server = Server(kind=kind, store=FullStore())
        peer = self.server.connect()
        peer.say("LHLO c.example" if kind == "lmtp" else "EHLO c.example", "MAIL FROM:<a@b.example>")
        peer.say("RCPT TO:<alice@ours.example>", "RCPT TO:<bob@ours.example>")
        return codes(peer.send(data))

    def test_one_reply_for_the_chunk_and_its_octets_are_no_commands(self) -> None:
        self.assertEqual(self.replies(b"BDAT 10\r\nNOOP\r\nNOOPBDAT 6 LAST\r\nNOOP\r\nNOOP\r\n"), ["452", "503", "250"])
        self.assertEqual(self.replies(b"BDAT 12 LAST\r\nNOOP\r\nNOOP\r\nNOOP\r\n"), ["452", "250"])
        self.assertEqual(self.server.offered, [])

    def test_an_empty_message(self) -> None:
        self.assertEqual(self.replies(b"BDAT 0\r\nBDAT 0 LAST\r\nNOOP\r\n"), ["250", "452", "250"])

    def test_lmtp_has_a_reply_for_each_recipient(self) -> None:
        self.assertEqual(self.replies(b"BDAT 12 LAST\r\nNOOP\r\nNOOP\r\nNOOP\r\n", "lmtp"), ["452", "452", "250"])

    def test_the_session_goes_on(self) -> None:
        self.replies(b"BDAT 3\r\nx\r\n")
        store = self.server.store
        assert isinstance(store, FullStore)
        store.full = False
        self.assertIn("queued", self.server.connect().deliver())
