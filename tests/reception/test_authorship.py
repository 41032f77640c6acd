"""Whether From is the submitter's own."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.address import Mailbox
from mailgw.mail.message import Message
from mailgw.queue.item import Destination
from mailgw.reception.authorship import authorship
from mailgw.routing.interface import Routed, Target, Unknown


class Router:
    """alice and bob have folders at example.org, sales@ and team+...@ lead to them; carol's mail goes on."""

    table = {"alice": ("alice",), "bob": ("bob",), "sales": ("bob", "alice"), "alice+x": ("alice",)}

    def is_ours(self, domain: str) -> bool:
        return domain in ("example.org", "routed.example")

    def resolve(self, mailbox: Mailbox) -> Routed | Unknown:
        if mailbox.domain == "routed.example":
            return Routed((Target(mailbox, Destination("relay", "route:x")),), ours=True)
        if mailbox.domain != "example.org":
            return Routed((Target(mailbox, Destination("relay", "mx:x")),), ours=False)
        names = self.table.get(mailbox.local_part.lower())
        if names is None:
            return Unknown("nobody")
        return Routed(tuple(Target(Mailbox(n, "example.org"), Destination("maildir", n)) for n in names), ours=True)


class AuthorshipTests(SynchronousTestCase):
    def domain(self, value: str, identity: str = "alice@example.org", more: str = "") -> str:
        message = Message.from_bytes(f"From: {value}\r\n{more}\r\nx\r\n".encode())
        return authorship(message, identity, Router()).domain

    def test_own_addresses(self) -> None:
        for value in (
            "alice@example.org",
            "Alice <Alice@EXAMPLE.org>",
            '"Smith, Alice" <alice@example.org>',
            '"alice"@example.org',
            "alice @ example.org (at home)",
            "alice+x@example.org",
            "sales@example.org",
            '"bob@example.org" <alice@example.org>',
            "alice@example.org, sales@example.org",
        ):
            self.assertEqual(self.domain(value), "example.org", value)

    def test_addresses_of_others(self) -> None:
        for value in (
            "bob@example.org",
            "alice@example.org, bob@example.org",
            "alice@elsewhere.example",
            "nobody@example.org",
            '"alice@example.org" <bob@example.org>',
            "",
            "alice@example.org <bob@example.org>",
            "alice smith@example.org",
        ):
            self.assertEqual(self.domain(value), "", value)

    def test_two_from_fields(self) -> None:
        self.assertEqual(self.domain("alice@example.org", more="From: alice@example.org\r\n"), "")

    def test_a_user_whose_mail_goes_on(self) -> None:
        self.assertEqual(self.domain("carol@routed.example", "carol@routed.example"), "routed.example")
        self.assertEqual(self.domain("dave@routed.example", "carol@routed.example"), "")

    def test_the_reason_names_the_address(self) -> None:
        message = Message.from_bytes(b"From: bob@example.org\r\n\r\n")
        self.assertIn("bob@example.org", authorship(message, "alice@example.org", Router()).reason)
