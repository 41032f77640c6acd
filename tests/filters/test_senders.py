"""Lists of senders: what counts, what goes before what, and the file that changes. Cases stand in tests/evidence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.config.schema import FilterFile
from mailgw.filters.catalogue import read
from mailgw.filters.sender_lists import load_sender_lists
from mailgw.filters.senders import Senders, SendersSettings
from mailgw.mail.address import Mailbox
from mailgw.mail.envelope import Recipient
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.operation.threads import ThreadsInline
from tests.filters.support import make_transaction

SIGNED = AuthResult("dkim", "pass", (("header.d", "example.net"),))
ALLOWED, DENIED, UNPROVEN = "SENDER_ALLOWED", "SENDER_DENIED", "SENDER_ALLOW_UNPROVEN"


class SendersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.folder = self.mktemp()
        os.makedirs(self.folder)
        self.path = Path(self.folder, "senders")

    def make(self, text: str) -> Senders:
        self.path.write_text(text)
        return Senders(SendersSettings(file="senders"), self.folder, self.clock, ThreadsInline())

    def check(self, filter: Senders, *auth: AuthResult, **changes: Any) -> list[Evidence]:
        transaction = make_transaction(**changes)
        transaction.auth += auth
        return self.successResultOf(Deferred.fromCoroutine(filter.check(transaction)))

    def symbols(self, text: str, *auth: AuthResult, **changes: Any) -> list[str]:
        return [e.symbol for e in self.check(self.make(text), *auth, **changes)]

    def test_what_an_entry_is_about(self) -> None:
        spf = AuthResult("spf", "pass", (("smtp.mailfrom", "bounce@bulk.example"),))
        for sender, symbols in (
            ("ann@example.net", [DENIED]),
            ("ANN@Example.net", [DENIED]),
            ("bob@example.net", []),
            ("example.net", [DENIED]),
            ("net", [DENIED]),
            ("mail.example.net", []),
            ("192.0.2.1", [DENIED]),
            ("192.0.2.0/24", [DENIED]),
            ("2001:db8::/32", []),
            ("dkim:example.net", [DENIED]),
            ("dkim:other.example", []),
            ("spf:bulk.example", [DENIED]),
            ("spf:example.net", []),
        ):
            self.assertEqual(self.symbols(f"* deny {sender}\n", SIGNED, spf), symbols, sender)

    def test_an_allow_has_to_be_proven(self) -> None:
        for entry in ("* allow example.net", "* allow ann@example.net"):
            self.assertEqual(self.symbols(entry, SIGNED), [ALLOWED])
            self.assertEqual(self.symbols(entry), [UNPROVEN])
            self.assertEqual(self.symbols(f"{entry} unproven"), [ALLOWED])
        self.assertEqual(self.symbols("* allow 192.0.2.1"), [ALLOWED])

    def test_the_envelope_sender_proves_nothing_for_from(self) -> None:
        spf = AuthResult("spf", "pass", (("smtp.mailfrom", "x@friend.example"),))
        changes: dict[str, Any] = {"reverse_path": Mailbox("x", "friend.example")}
        self.assertEqual(self.symbols("* allow friend.example", spf, **changes), [UNPROVEN])
        self.assertEqual(self.symbols("* deny friend.example", spf, **changes), [DENIED])
        self.assertEqual(self.symbols("* allow spf:friend.example", spf, **changes), [ALLOWED])

    def test_what_goes_before_what(self) -> None:
        text = "* deny example.net\n@example.org allow example.net\nbob@example.org deny ann@example.net\n"
        (found,) = self.check(self.make(text), SIGNED)
        self.assertEqual(found.symbol, DENIED)
        self.assertEqual(
            found.detail,
            "bob@example.org denies ann@example.net (line 3); it goes before: @example.org allows example.net (line 2)",
        )
        for text, symbol in (
            ("* deny example.net\n* allow ann@example.net\n", ALLOWED),
            ("* deny net\n* allow example.net\n", ALLOWED),
            ("* allow 192.0.2.0/24\n* deny example.net\n", DENIED),
            ("@example.org allow 192.0.2.0/24\n* deny ann@example.net\n", ALLOWED),
            ("@example.com allow example.net\n* deny example.net\n", DENIED),
        ):
            self.assertEqual(self.symbols(text, SIGNED), [symbol], text)

    def test_an_allow_that_does_not_count_is_said_and_passed_over(self) -> None:
        self.assertEqual(self.symbols("bob@example.org allow example.net\n* deny net\n"), [UNPROVEN, DENIED])

    def test_recipients_with_lists_of_their_own(self) -> None:
        recipients = tuple(Recipient(Mailbox(name, "example.org")) for name in ("bob", "carol", "dave"))
        filter = self.make("* deny example.net\ncarol@example.org allow example.net\n")
        found = self.check(filter, SIGNED, recipients=recipients)
        self.assertEqual([(e.symbol, e.recipients) for e in found], [(DENIED, (0, 2)), (ALLOWED, (1,))])

    def test_nothing_is_said_of_our_users(self) -> None:
        self.assertEqual(self.symbols("* deny example.net\n", identity="ann@example.net"), [])

    def test_the_file_is_read_again_when_it_changes(self) -> None:
        filter = self.make("* deny example.net\n")
        self.path.write_text("# nobody\n")
        self.assertEqual(len(self.check(filter)), 1)
        self.clock.advance(2)
        self.assertEqual(self.check(filter), [])
        self.path.write_text("nonsense\n")
        self.clock.advance(2)
        self.assertEqual(self.check(filter), [])  # refused, and the lists stay
        self.path.write_text("* deny example.net\n")
        self.clock.advance(2)
        self.assertEqual(len(self.check(filter)), 1)

    def test_every_line_that_is_wrong(self) -> None:
        self.path.write_text(
            "* deny\n"
            "* block example.net\n"
            "bob allow example.net\n"
            "* allow 192.0.2.1/24\n"
            "* deny example.net unproven\n"
            "* allow 192.0.2.1 unproven\n"
            "* allow example.net\n"
            "* deny Example.NET\n"
        )
        error = self.assertRaises(ConfigurationErrors, load_sender_lists, str(self.path))
        self.assertEqual(
            [(e.line, e.message) for e in error.errors],
            [
                (1, "write: RECIPIENT allow|deny SENDER [unproven]"),
                (2, "write: RECIPIENT allow|deny SENDER [unproven]"),
                (3, "the address has no domain: write user@domain"),
                (4, "192.0.2.1/24 is no network: 192.0.2.1/24 has host bits set"),
                (5, "write: RECIPIENT allow|deny SENDER [unproven]"),
                (6, "`unproven` is for addresses and domains, not for 192.0.2.1"),
                (8, "* has an entry for Example.NET in line 7 already"),
            ],
        )

    def test_what_is_wrong_in_the_file_is_found_with_the_configuration(self) -> None:
        self.path.write_text("nonsense\n")
        file = FilterFile(filters={"senders": {"file": "senders"}})
        error = self.assertRaises(ConfigurationErrors, read, file, f"{self.folder}/filters.toml", "")
        self.assertEqual([(e.file, e.line) for e in error.errors], [(str(self.path), 1)])
        file = FilterFile(filters={"senders": {"file": "nowhere"}})
        error = self.assertRaises(ConfigurationErrors, read, file, f"{self.folder}/filters.toml", "")
        self.assertEqual([e.message for e in error.errors], ["the file does not exist"])
