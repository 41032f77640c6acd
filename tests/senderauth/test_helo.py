"""HELO: what a client's name says about it."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.transaction import Client
from mailgw.senderauth.helo import check_helo
from tests.fakes import FAIL, FakeResolver

CLIENT = Client("S", "mx", "192.0.2.1", local="198.51.100.1:25")
SIX = evolve(CLIENT, address="2001:db8::1", local="2001:db8::25:25")


class HeloTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver(
            {
                "mail.example.net": {"A": ["192.0.2.9", "192.0.2.1"], "AAAA": ["2001:db8::1"]},
                "elsewhere.example": {"A": ["203.0.113.1"]},
                "empty.example": {"TXT": ["x"]},
                "broken.example": FAIL,
            }
        )

    def check(self, helo: str, client: Client = CLIENT) -> list[str]:
        checked = check_helo(self.resolver, evolve(client, helo=helo), "mx.ours.example")
        return [e.symbol for e in self.successResultOf(Deferred.fromCoroutine(checked))]

    def test_a_name_that_leads_to_the_client(self) -> None:
        self.assertEqual(self.check("mail.example.net"), [])
        self.assertEqual(self.check("MAIL.example.net."), [])
        self.assertEqual(self.check("mail.example.net", SIX), [])

    def test_a_name_that_does_not(self) -> None:
        self.assertEqual(self.check("elsewhere.example"), ["HELO_MISMATCH"])
        self.assertEqual(self.check("elsewhere.example", SIX), ["HELO_MISMATCH"])
        self.assertEqual(self.check("empty.example"), ["HELO_UNKNOWN_NAME"])
        self.assertEqual(self.check("nowhere.example"), ["HELO_UNKNOWN_NAME"])

    def test_dns_that_does_not_answer_says_nothing(self) -> None:
        self.assertEqual(self.check("broken.example"), [])

    def test_what_is_no_full_name(self) -> None:
        for helo in ("PC-17", "under_score", "a..b.example", "-", "(x)", "[junk]", "[]", "x y.example", "\\"):
            self.assertEqual(self.check(helo), ["HELO_NOT_FQDN"], helo)
        self.assertEqual(self.resolver.asked, [])

    def test_addresses(self) -> None:
        self.assertEqual(self.check("[192.0.2.1]"), [])
        self.assertEqual(self.check("[IPv6:2001:DB8:0::1]", SIX), [])
        self.assertEqual(self.check("192.0.2.1"), ["HELO_BARE_IP"])
        self.assertEqual(self.check("192.0.2.8"), ["HELO_BARE_IP", "HELO_OTHER_ADDRESS"])
        self.assertEqual(self.check("[192.0.2.8]"), ["HELO_OTHER_ADDRESS"])
        self.assertEqual(self.check("2001:db8::1", SIX), ["HELO_BARE_IP"])

    def test_who_claims_to_be_us(self) -> None:
        self.assertEqual(self.check("MX.ours.example"), ["HELO_IS_US"])
        self.assertEqual(self.check("[198.51.100.1]"), ["HELO_IS_US"])
        self.assertEqual(self.check("198.51.100.1"), ["HELO_BARE_IP", "HELO_IS_US"])
        self.assertEqual(self.check("[IPv6:2001:db8::25]", SIX), ["HELO_IS_US"])

    def test_localhost(self) -> None:
        for helo in ("localhost", "localhost.localdomain", "x.localhost"):
            self.assertEqual(self.check(helo), ["HELO_LOCALHOST"])

    def test_this_host_may(self) -> None:
        for client in (evolve(CLIENT, address="127.0.0.1"), evolve(CLIENT, address="198.51.100.1")):
            for helo in ("mx.ours.example", "localhost", "[198.51.100.1]"):
                self.assertEqual(self.check(helo, client), [])

    def test_lmtp_is_spoken_by_servers_of_ours(self) -> None:
        self.assertEqual(self.check("PC-17", evolve(CLIENT, service="lmtp")), [])
