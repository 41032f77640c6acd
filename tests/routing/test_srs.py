"""Return paths of forwarded mail: they lead back, for a while, and only when they are ours."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.config.errors import ConfigurationErrors
from mailgw.mail.address import Mailbox
from mailgw.queue.item import Destination
from mailgw.routing.interface import REPORT, Origin, Routed, Router, Target, Unknown
from mailgw.routing.returns import ReturningRouter
from mailgw.routing.srs import Srs, SrsError, make_secrets, read_secrets

DAY = 86400.0
BOB = Mailbox("bob", "example.net")


class SrsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(20000 * DAY)
        self.srs = self.make(b"first secret of ours")

    def make(self, *keys: bytes, domain: str = "ours.example") -> Srs:
        return Srs(domain, self.clock.seconds, keys)


class RoundTripTests(SrsTestCase):
    def test_there_and_back(self) -> None:
        path = self.srs.forward(BOB)
        self.assertRegex(str(path), "^SRS0=[A-Z2-7]{8}=[A-Z2-7]{2}=example.net=bob@ours.example$")
        self.assertTrue(self.srs.is_ours(path))
        self.assertEqual(self.srs.reverse(path), BOB)

    @given(st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,60}", fullmatch=True))
    def test_any_local_part(self, local_part: str) -> None:
        if local_part[:4].upper() in ("SRS0", "SRS1"):
            return
        sender = Mailbox(local_part, "mail.example.net")
        self.assertEqual(self.srs.reverse(self.srs.forward(sender)), sender)

    def test_servers_that_change_the_case(self) -> None:
        path = self.srs.forward(BOB)
        for local_part in (path.local_part.lower(), path.local_part.upper()):
            back = self.srs.reverse(Mailbox(local_part, "ours.example"))
            self.assertEqual(str(back).lower(), "bob@example.net")

    def test_longer_than_64_octets(self) -> None:
        sender = Mailbox("0100018c2f8b5d6e-9a1b2c3d-4e5f-6789-abcd-ef0123456789-000000", "bounces.example.net")
        self.assertEqual(self.srs.reverse(Mailbox.parse(str(self.srs.forward(sender)))), sender)


class ForwardedBeforeTests(SrsTestCase):
    """However often it was forwarded, a report goes back by the first and the last forwarder only."""

    def test_by_one(self) -> None:
        first = self.make(b"a secret of another", domain="first.example")
        path = first.forward(BOB)
        ours = self.srs.forward(path)
        self.assertRegex(str(ours), "^SRS1=[A-Z2-7]{8}=first.example==[A-Z2-7]{8}=..=example.net=bob@ours.example$")
        self.assertEqual(self.srs.reverse(ours), path)
        self.assertEqual(first.reverse(self.srs.reverse(ours)), BOB)

    def test_by_two(self) -> None:
        first = self.make(b"a secret of another", domain="first.example")
        second = self.make(b"a secret of a third", domain="second.example")
        ours = self.srs.forward(second.forward(first.forward(BOB)))
        self.assertNotIn("second", str(ours))
        self.assertEqual(first.reverse(self.srs.reverse(ours)), BOB)


class RefusedTests(SrsTestCase):
    def refused(self, local_part: str) -> str:
        return str(self.assertRaises(SrsError, self.srs.reverse, Mailbox(local_part, "ours.example")))

    def test_forged(self) -> None:
        local_part = self.srs.forward(BOB).local_part
        self.assertIn("signature", self.refused(local_part.replace("bob", "eve")))
        self.assertIn("signature", self.refused(local_part.replace("example.net", "example.com")))
        self.assertIn("signature", self.refused(self.make(b"another secret, not ours").forward(BOB).local_part))

    def test_no_key(self) -> None:
        path = self.srs.forward(BOB)
        self.srs.use(())
        self.assertIn("signature", self.refused(path.local_part))

    def test_malformed(self) -> None:
        for local_part in ("SRS0", "SRS0=", "SRS0=AAAAAAAA=AA=example.net", "SRS1=AAAAAAAA=x", "SRS0====", "SRS0-x"):
            self.refused(local_part)

    def test_old(self) -> None:
        path = self.srs.forward(BOB)
        self.clock.advance(21 * DAY)
        self.assertEqual(self.srs.reverse(path), BOB)
        self.clock.advance(DAY)
        self.assertIn("old", self.refused(path.local_part))

    def test_a_secret_that_was_changed(self) -> None:
        path = self.srs.forward(BOB)
        self.srs.use([b"the secret of today", b"first secret of ours"])
        self.assertEqual(self.srs.reverse(path), BOB)
        self.assertNotEqual(self.srs.forward(BOB), path)
        self.srs.use([b"the secret of today"])
        self.refused(path.local_part)


class Nobody:
    def is_ours(self, domain: str) -> bool:
        return domain == "ours.example"

    def resolve(self, mailbox: Mailbox, origin: Origin = REPORT) -> Routed | Unknown:
        if mailbox == BOB:
            return Routed((Target(BOB, Destination("relay", "route:smart"), outside=True, rule="x"),), ours=False)
        return Unknown("nobody is here")


class RouterTests(SrsTestCase):
    def setUp(self) -> None:
        super().setUp()
        router: Router = Nobody()
        self.router = ReturningRouter(router, self.srs)

    def test_a_report_finds_its_way(self) -> None:
        found = self.router.resolve(self.srs.forward(BOB))
        self.assertEqual(
            found,
            Routed(
                (Target(BOB, Destination("relay", "route:smart"), outside=True, rule="x"),),
                ours=True,
                reports_only=True,
            ),
        )

    def test_others_are_the_routers(self) -> None:
        for text in ("bob@ours.example", "SRS0=x@elsewhere.example", "srs@ours.example"):
            self.assertEqual(self.router.resolve(Mailbox.parse(text)), Unknown("nobody is here"))

    def test_a_forged_one_is_an_unknown_recipient(self) -> None:
        found = self.router.resolve(Mailbox.parse("SRS0=AAAAAAAA=AA=example.net=victim@ours.example"))
        self.assertIsInstance(found, Unknown)


class SecretsTests(SynchronousTestCase):
    def write(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_one_a_line_with_comments(self) -> None:
        path = self.write("# new\n" + "n" * 20 + "\n\n" + "o" * 20 + "\n")
        self.assertEqual(read_secrets(path), (b"n" * 20, b"o" * 20))

    def test_what_is_wrong(self) -> None:
        for text, words in (("", "no secret"), ("short\n", "secret 1 is shorter than 16")):
            error = self.assertRaises(ConfigurationErrors, read_secrets, self.write(text))
            self.assertIn(words, str(error))

    def test_it_is_made_once_and_is_nobody_elses(self) -> None:
        path = Path(self.mktemp())
        make_secrets(path)
        made = read_secrets(path)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        make_secrets(path)
        self.assertEqual(read_secrets(path), made)
