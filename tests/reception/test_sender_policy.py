"""Who may write under which address."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.schema import SendAs, Submission
from mailgw.mail.address import Mailbox
from mailgw.mail.message import Message
from mailgw.reception.sender_policy import SenderPolicy
from tests.reception.test_authorship import Router

ALICE = "alice@example.org"


def policy(**grants: tuple[str, ...]) -> SenderPolicy:
    """`alice`, `bob`, `everybody`: what they may send as."""
    names = {"alice": ALICE, "bob": "bob@example.org", "everybody": "*"}
    return SenderPolicy.of(Submission(send_as={names[n]: SendAs(texts) for n, texts in grants.items()}), Router())


class SenderPolicyTests(SynchronousTestCase):
    def refused(self, policy: SenderPolicy, address: str, identity: str = ALICE) -> bool:
        """Whether an address is refused in MAIL; the same in From is."""
        reply = policy.refuse_reverse_path(identity, Mailbox.parse(address))
        message = Message.from_bytes(f"From: x <{address}>\r\n\r\n".encode())
        self.assertEqual(policy.refuse_author(identity, message), reply)
        if reply is not None:
            self.assertEqual((reply.code, reply.status), (550, "5.7.1"))
            self.assertIn(f"<{address}>", reply.lines[0])
            self.assertIn(f"<{identity}>", reply.lines[0])
        return reply is not None

    def test_own_addresses_and_aliases_that_lead_to_the_user(self) -> None:
        for address in (ALICE, "Alice@EXAMPLE.ORG", "alice+x@example.org", "sales@example.org"):
            self.assertFalse(self.refused(policy(), address), address)

    def test_addresses_of_others_here_and_elsewhere(self) -> None:
        for address in ("bob@example.org", "nobody@example.org", "alice@elsewhere.example"):
            self.assertTrue(self.refused(policy(), address), address)

    def test_leave_for_addresses_and_domains(self) -> None:
        leave = policy(alice=("bob@example.org", "news.example", "*.lists.example"))
        for address in ("bob@example.org", "any@news.example", "any@a.lists.example"):
            self.assertFalse(self.refused(leave, address), address)
            self.assertTrue(self.refused(leave, address, "bob@example.org") or address == "bob@example.org", address)
        for address in ("carol@example.org", "any@x.news.example", "any@lists.example"):
            self.assertTrue(self.refused(leave, address), address)

    def test_leave_for_everybody_comes_on_top(self) -> None:
        leave = policy(everybody=("noreply@example.net",), alice=("bob@example.org",))
        for address in ("noreply@example.net", "bob@example.org"):
            self.assertFalse(self.refused(leave, address), address)
        self.assertFalse(self.refused(leave, "noreply@example.net", "bob@example.org"))

    def test_leave_for_anything(self) -> None:
        self.assertFalse(self.refused(policy(alice=("*",)), "who@ever.example"))

    def test_the_null_reverse_path_is_for_all(self) -> None:
        self.assertIsNone(policy().refuse_reverse_path(ALICE, None))

    def test_every_author_counts(self) -> None:
        message = Message.from_bytes(b"From: alice@example.org, bob@example.org\r\n\r\n")
        reply = policy().refuse_author(ALICE, message)
        assert reply is not None
        self.assertIn("<bob@example.org>", reply.lines[0])

    def test_an_author_who_can_be_read_in_two_ways(self) -> None:
        for fields in (
            b"From: alice@example.org\r\nFrom: bob@example.org\r\n",
            b"From: <alice@example.org> <bob@x.example>\r\n",
        ):
            self.assertIsNotNone(policy().refuse_author(ALICE, Message.from_bytes(fields + b"\r\n")), fields)

    def test_without_from_nobody_is_pretended(self) -> None:
        self.assertIsNone(policy().refuse_author(ALICE, Message.from_bytes(b"Subject: scan\r\n\r\n")))

    def test_who_has_not_logged_in_is_no_user(self) -> None:
        self.assertIsNone(policy().refuse_reverse_path("", Mailbox.parse("any@where.example")))

    def test_switched_off(self) -> None:
        off = SenderPolicy.of(Submission(check_senders=False), Router())
        self.assertFalse(self.refused(off, "any@where.example"))
