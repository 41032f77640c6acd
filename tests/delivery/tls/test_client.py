"""What is wrong with a next hop's certificate, when it has to prove a name: in words, and as RFC 8460 4.3 has it."""

from __future__ import annotations

from twisted.internet.ssl import Certificate, CertificateOptions

from mailgw.delivery.classify import Peer, Unreachable
from mailgw.mail.tlsresult import FailureType
from mailgw.queue.item import Delayed
from tests.certificates import FUTURE, PAST, Identity, issue
from tests.delivery.test_loopback import LoopbackTestCase

HOST = "localhost"
ROOT = issue(common_name="Test Root", authority=True)


class CertificateTests(LoopbackTestCase):
    async def outcome(self, identity: Identity, failure: FailureType) -> Delayed:
        """What becomes of mail for a host that has this certificate, and must prove to be `localhost`."""
        self.server_tls = Identity(identity.certificate, identity.key, identity.above[:-1]).options()
        peer = self.serve()
        agent = self.agent("verified", HOST, Certificate.loadPEM(ROOT.pem))
        hops = await agent.sessions.next_hops("route:hop")
        with self.assertRaises(Unreachable) as caught:
            await agent.sessions.connect(Peer(HOST, "127.0.0.1"), self.port, hops, hops.access)
        self.assertEqual(caught.exception.failure, failure)
        self.assertEqual(peer.contents, [])
        outcome = caught.exception.outcome
        assert isinstance(outcome, Delayed)
        return outcome

    async def test_expired(self) -> None:
        outcome = await self.outcome(issue([HOST], ROOT, valid=PAST), "certificate-expired")
        self.assertIn("localhost [127.0.0.1] has a certificate that has expired", outcome.reason)

    async def test_not_yet_valid(self) -> None:
        outcome = await self.outcome(issue([HOST], ROOT, valid=FUTURE), "certificate-expired")
        self.assertIn("is not valid yet", outcome.reason)

    async def test_for_another_name(self) -> None:
        outcome = await self.outcome(issue(["other.example"], ROOT), "certificate-host-mismatch")
        self.assertIn("is for another name", outcome.reason)

    async def test_without_any_name(self) -> None:
        """Twisted's own check took such a certificate for everybody's."""
        outcome = await self.outcome(issue((), ROOT, common_name=HOST), "certificate-host-mismatch")
        self.assertIn("names nobody", outcome.reason)

    async def test_signed_by_strangers(self) -> None:
        stranger = issue(common_name="Stranger", authority=True)
        outcome = await self.outcome(issue([HOST], stranger), "certificate-not-trusted")
        self.assertIn("signed by nobody whom we trust", outcome.reason)
        outcome = await self.outcome(issue([HOST]), "certificate-not-trusted")
        self.assertIn("signed by itself", outcome.reason)

    async def test_an_expired_intermediate(self) -> None:
        between = issue(common_name="Between", by=ROOT, authority=True, valid=PAST)
        await self.outcome(issue([HOST], between), "certificate-expired")

    async def test_no_starttls(self) -> None:
        self.serve(EHLO=b"250 mx.example\r\n")
        agent = self.agent("verified", HOST)
        hops = await agent.sessions.next_hops("route:hop")
        with self.assertRaises(Unreachable) as caught:
            await agent.sessions.connect(Peer(HOST, "127.0.0.1"), self.port, hops, hops.access)
        self.assertEqual(caught.exception.failure, "starttls-not-supported")

    async def test_no_handshake(self) -> None:
        self.server_tls = CertificateOptions()
        self.serve()
        agent = self.agent("verified", HOST)
        hops = await agent.sessions.next_hops("route:hop")
        with self.assertRaises(Unreachable) as caught:
            await agent.sessions.connect(Peer(HOST, "127.0.0.1"), self.port, hops, hops.access)
        self.assertEqual(caught.exception.failure, "validation-failure")
