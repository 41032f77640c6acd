"""REQUIRETLS and `TLS-Required: No` towards next hops (RFC 8689)."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.localend import LocalEnd
from mailgw.delivery.opening import Access
from mailgw.delivery.sessions import NextHops
from mailgw.delivery.tls.choice import Choice
from mailgw.delivery.tls.requiretls import access_for, hops_for, is_tls_optional
from mailgw.mail.message import Message
from mailgw.mta_sts.finder import Problem, Standing
from mailgw.mta_sts.policy import Mode, Policy
from mailgw.mta_sts.store import Kept
from mailgw.queue.item import Delayed, Delivered, Failed
from tests.delivery.peers import EHLO, queued
from tests.delivery.test_loopback import CERTIFICATE, LoopbackTestCase
from tests.delivery.test_relay import RelayTestCase

STRICT_EHLO = b"250-mx.example\r\n250-STARTTLS\r\n250-REQUIRETLS\r\n250 PIPELINING\r\n"
OPTIONAL = b"TLS-Required: No\r\nSubject: x\r\n\r\nx\r\n"


class AccessTests(SynchronousTestCase):
    def test_requiretls_wants_a_verified_certificate(self) -> None:
        message = queued(OPTIONAL, requiretls=True)  # the field is to be ignored then
        for policy in ("none", "opportunistic", "required", "verified"):
            self.assertEqual(access_for(message, Access(policy)).tls, "verified")  # type: ignore[arg-type]
        self.assertEqual(access_for(message, Access("implicit")).tls, "implicit")

    def test_tls_not_required(self) -> None:
        for policy in ("required", "verified", "opportunistic"):
            self.assertEqual(access_for(queued(OPTIONAL), Access(policy)).tls, "opportunistic")  # type: ignore[arg-type]
        self.assertFalse(access_for(queued(OPTIONAL), Access()).dane)
        for access in (Access("none"), Access("implicit"), Access("verified", "user", "password")):
            self.assertIs(access_for(queued(OPTIONAL), access), access)

    def test_other_messages_as_the_route_says(self) -> None:
        access = Access("verified")
        self.assertIs(access_for(queued(), access), access)

    def test_the_field(self) -> None:
        for header, optional in (
            (b"TLS-Required: No\r\n", True),
            (b"tls-required:no\r\n", True),
            (b"TLS-Required: Yes\r\n", False),
            (b"TLS-Required: No way\r\n", False),
            (b"TLS-Required: No\r\nTLS-Required: No\r\n", False),
            (b"Subject: TLS-Required: No\r\n", False),
            (b"X: y\r\n\r\nTLS-Required: No\r\n", False),
        ):
            self.assertEqual(is_tls_optional(Message.from_bytes(header + b"\r\n")), optional, header)


HOPS = NextHops(
    ("mx:mx1.dest.example,mx2.dest.example", Access()),
    (("mx1.dest.example", 25), ("mx2.dest.example", 25)),
    LocalEnd("gw.example.org"),
    "dest.example",
)


def chosen(*exchanges: str, mode: Mode = "testing", problem: Problem | None = None) -> Choice:
    """What was chosen by an MTA-STS policy that names these hosts; without any there is none."""
    kept = Kept("dest.example", "1", Policy(mode, exchanges, 86400), 0.0) if exchanges else None
    return Choice(HOPS.access, ("mx1.dest.example", "mx2.dest.example"), Standing(kept, problem))


class GenuineHostTests(SynchronousTestCase):
    """RFC 8689 4.2.1: the MX hosts are the domain's by DNSSEC or MTA-STS, else such a message does not go there."""

    def hosts(self, hops: NextHops = HOPS, **change: Any) -> list[str]:
        return [host for host, _ in hops_for(queued(requiretls=True), evolve(hops, **change)).hosts]

    def refusal(self, **change: Any) -> Delayed | Failed:
        return self.assertRaises(Unreachable, self.hosts, **change).outcome

    def test_neither(self) -> None:
        outcome = self.refusal()
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.7.10")
        for words in ("dest.example", "not signed (DNSSEC)", "it has no MTA-STS policy"):
            self.assertIn(words, outcome.reason)

    def test_other_messages_go(self) -> None:
        self.assertIs(hops_for(queued(), HOPS), HOPS)

    def test_dnssec(self) -> None:
        self.assertEqual(self.hosts(proven=("dest.example",)), ["mx1.dest.example", "mx2.dest.example"])

    def test_mta_sts_even_if_it_is_only_tested(self) -> None:
        hops = hops_for(queued(requiretls=True), evolve(HOPS, choice=chosen("mx2.dest.example")))
        self.assertEqual(hops.hosts, (("mx2.dest.example", 25),))
        self.assertEqual((hops.access.tls, hops.access.basis), ("verified", "requiretls"))
        # No connection to the other host, opened for a domain whose policy names that, is taken for this one.
        self.assertNotEqual(hops.key[0], HOPS.key[0])

    def test_a_policy_that_names_others(self) -> None:
        outcome = self.refusal(choice=chosen("other.example"))
        self.assertIn("names none of them", outcome.reason)

    def test_a_policy_that_is_not_known_now(self) -> None:
        outcome = self.refusal(choice=chosen(problem=Problem("fetch", "the answer is 500")))
        self.assertIsInstance(outcome, Delayed)
        self.assertIn("the answer is 500", outcome.reason)
        self.assertFalse(outcome.site_wide)

    def test_the_postmaster_vouches(self) -> None:
        access = Access("verified", basis="policy")
        self.assertEqual(len(self.hosts(HOPS.spoken_to_by(access))), 2)

    def test_the_domain_itself_is_the_host(self) -> None:
        """RFC 5321 5.1: without MX records no name came from DNS."""
        self.assertEqual(self.hosts(hosts=(("dest.example", 25),)), ["dest.example"])
        self.assertEqual(self.hosts(hosts=(("192.0.2.1", 25),), domain="[192.0.2.1]"), ["192.0.2.1"])

    def test_a_route_is_the_postmasters_word(self) -> None:
        self.assertEqual(self.hosts(hosts=(("smarthost.example", 25),), domain=""), ["smarthost.example"])


class RequireTlsTests(LoopbackTestCase):
    async def test_over_verified_tls_to_who_takes_it(self) -> None:
        peer = self.serve(EHLO=STRICT_EHLO)
        outcome = await self.deliver(self.agent("opportunistic", "127.0.0.1"), queued(requiretls=True))
        self.assertIsInstance(outcome, Delivered)
        self.assertIn("certificate verified", outcome.detail)
        self.assertIn("MAIL FROM:<bob@example.net> REQUIRETLS", peer.sessions[0])

    async def test_others_go_as_ever(self) -> None:
        peer = self.serve(EHLO=STRICT_EHLO)
        agent = self.agent("opportunistic", "127.0.0.1")
        self.assertIsInstance(await self.deliver(agent), Delivered)
        self.assertIsInstance(await self.deliver(agent, queued(requiretls=True)), Delivered)
        self.assertEqual(len(peer.sessions), 2)  # never over a connection that was not verified
        self.assertIn("MAIL FROM:<bob@example.net>", peer.sessions[0])

    async def test_to_a_host_that_does_not_offer_it(self) -> None:
        peer = self.serve()
        outcome = await self.deliver(self.agent("opportunistic", "127.0.0.1"), queued(requiretls=True))
        self.assertIsInstance(outcome, Failed)
        self.assertEqual((outcome.status, peer.contents), ("5.7.30", []))

    async def test_to_a_host_that_does_not_prove_its_name(self) -> None:
        for host, trust in (("wrong.example", CERTIFICATE), ("127.0.0.1", None)):
            peer = self.serve(EHLO=STRICT_EHLO)
            outcome = await self.deliver(self.agent("opportunistic", host, trust), queued(requiretls=True))
            self.assertIsInstance(outcome, Failed)
            self.assertEqual((outcome.status, peer.contents), ("5.7.10", []))

    async def test_required_tls_is_not_wanted_by_the_message(self) -> None:
        """TLS-Required: No goes to who has no certificate that is good, where other mail would not."""
        self.serve()
        agent = self.agent("verified", "wrong.example")
        self.assertIsInstance(await self.deliver(agent), Delayed)
        outcome = await self.deliver(agent, queued(OPTIONAL))
        self.assertIn("certificate not verified", outcome.detail)


class WithoutTlsTests(RelayTestCase):
    def outcome(self, **envelope: Any) -> Any:
        (outcome,) = self.deliver(queued(**envelope))
        return outcome

    def test_no_starttls_fails_only_this_message(self) -> None:
        peer = self.peer(EHLO=EHLO)
        outcome = self.outcome(requiretls=True)
        self.assertIsInstance(outcome, Failed)
        self.assertEqual(outcome.status, "5.7.10")
        self.assertEqual(peer.contents, [])
        self.assertIsInstance(self.outcome(), Delivered)

    def test_a_host_that_cannot_be_reached_may_have_it_later(self) -> None:
        outcome = self.outcome(requiretls=True)
        self.assertIsInstance(outcome, Delayed)
        self.assertEqual(outcome.status, "4.4.1")
