"""Mail to MX hosts with TLSA records, over real sockets."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, CertificateOptions

from mailgw.config import schema
from mailgw.delivery.relay import RelayAgent
from mailgw.delivery.sessions import Sessions
from mailgw.delivery.tls.choice import AccessChooser
from mailgw.delivery.tls.client import ClientTls
from mailgw.dns.interface import TlsaRecord
from mailgw.mail.tlsresult import TlsResult
from mailgw.mta_sts.finder import PolicyFinder
from mailgw.queue.item import Delayed, Delivered
from tests.certificates import PAST, Identity, issue
from tests.delivery.peers import EHLO, ScriptedPeer, deliveries, queued
from tests.delivery.test_loopback import LoopbackTestCase
from tests.delivery.tls.test_dane import record
from tests.delivery.tls.test_requiretls import OPTIONAL, STRICT_EHLO
from tests.fakes import FAIL, FakeResolver
from tests.mta_sts.case import MemoryStore, Web

DOMAIN, HOST = "example.org", "mx.example.org"
ROOT = issue(common_name="Root", authority=True)
GOOD = issue([HOST], ROOT)
EXPIRED = issue([HOST], ROOT, valid=PAST)
OTHER = issue(["other.example"], ROOT)
OF_DOMAIN = issue([DOMAIN], ROOT)
ANCHOR = record(ROOT, 2, 0, 1)
WRONG = record(OTHER, 3, 1, 1)
UNUSABLE = TlsaRecord(1, 1, 1, bytes(32))


class DaneTestCase(LoopbackTestCase):
    """`mx.example.org` is 127.0.0.1, by its A record; all of DNS is secure."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver = FakeResolver(
            {
                DOMAIN: {"MX": [(10, HOST)]},
                "other.example": {"MX": [(10, HOST)]},
                HOST: {"A": ["127.0.0.1"]},
                "backup.example.org": {"A": ["127.0.0.1"]},
            },
            authenticated=True,
        )
        self.results: list[TlsResult] = []
        self.settings: dict[str, Any] = {}
        self.policies: dict[str, schema.TlsPolicy] = {}
        self.finder: PolicyFinder | None = None

    def mx(self, identity: Identity | None, *records: TlsaRecord, **script: Any) -> ScriptedPeer:
        """Start the host with a certificate (None: without TLS), and publish its records."""
        if identity is None:
            peer = self.serve(EHLO=EHLO, **script)
        else:
            self.server_tls = identity.options()
            peer = self.serve(**script)
        self.publish(HOST, *records)
        self.relay = self.mx_agent()
        return peer

    def publish(self, host: str, *records: TlsaRecord) -> None:
        self.resolver.set(f"_{self.port}._tcp.{host}", {"TLSA": records})

    def mx_agent(self) -> RelayAgent:
        sessions = Sessions(
            reactor,  # type: ignore[arg-type]
            self.resolver,
            schema.Relay(port=self.port, connect_timeout=1.0, **self.settings),
            {"hop": schema.Route(hosts=(f"{HOST}:{self.port}",)), "sure": schema.Route((HOST,), tls="verified")},
            "gw.example.net",
            self.threads,
            random.Random(1),
            ClientTls(Certificate.loadPEM(ROOT.pem)),
            AccessChooser(self.policies, self.finder),
            self.results.append,
        )
        agent = RelayAgent(sessions, self.threads)
        self.addCleanup(lambda: Deferred.fromCoroutine(agent.close()))
        return agent

    async def send(self, message: Any = None, domain: str = DOMAIN, target: str = "") -> Any:
        (outcome,) = await self.relay.deliver(message or queued(), deliveries(target or f"mx:{domain}"))
        return outcome

    async def delivered(self, words: str, message: Any = None, domain: str = DOMAIN, target: str = "") -> None:
        outcome = await self.send(message, domain, target)
        self.assertIsInstance(outcome, Delivered, outcome)
        self.assertIn(words, outcome.detail)

    async def delayed(self, words: str, message: Any = None, domain: str = DOMAIN, target: str = "") -> Delayed:
        outcome = await self.send(message, domain, target)
        self.assertIsInstance(outcome, Delayed, outcome)
        self.assertIn(words, outcome.reason)
        return outcome  # type: ignore[no-any-return]


class ProofTests(DaneTestCase):
    async def test_the_hosts_own_certificate(self) -> None:
        self.mx(EXPIRED, record(EXPIRED, 3, 1, 1))
        await self.delivered(f"certificate proven by TLSA 3 1 1 of {HOST}")

    async def test_a_trust_anchor(self) -> None:
        self.mx(GOOD, ANCHOR)
        await self.delivered(f"certificate proven by TLSA 2 0 1 of {HOST}")

    async def test_sni_is_the_tlsa_base_domain(self) -> None:
        """RFC 7672 8.1."""
        asked = []
        self.mx(GOOD, ANCHOR)
        self.server_tls.getContext().set_tlsext_servername_callback(
            lambda connection: asked.append(connection.get_servername())
        )
        await self.delivered("proven")
        self.assertEqual(asked, [HOST.encode()])

    async def test_another_certificate(self) -> None:
        peer = self.mx(GOOD, WRONG)
        outcome = await self.delayed("has a certificate that fits no TLSA record")
        self.assertEqual((outcome.status, outcome.site_wide), ("4.7.5", True))
        way_out = 'to send nonetheless: [tls_policies."example.org"] ignore = ["dane"]'
        for words in (f"{HOST} [127.0.0.1]", "3 1 1 ", f"TLSA of {HOST}", "would fit", "DANE", way_out):
            self.assertIn(words, outcome.reason)
        self.assertEqual(peer.contents, [])
        self.assertEqual([line.split()[0] for line in peer.sessions[0]], ["EHLO", "STARTTLS"])

    async def test_below_a_trust_anchor_names_and_dates_count(self) -> None:
        for identity, words in ((EXPIRED, "has expired"), (OTHER, f"is for another name than {HOST}")):
            peer = self.mx(identity, ANCHOR)
            await self.delayed(words)
            self.assertEqual(peer.contents, [])

    async def test_the_recipient_domains_name_will_do(self) -> None:
        """RFC 7672 3.2.2. What it proves to one domain it does not prove to others with the same host."""
        peer = self.mx(OF_DOMAIN, ANCHOR)
        await self.delivered("proven")
        await self.delivered("proven")
        await self.delayed("is for another name", domain="other.example")
        self.assertEqual(len(peer.contents), 2)

    async def test_the_name_that_the_recipient_domain_is_an_alias_of(self) -> None:
        self.resolver.set("alias.example", {"CNAME": [DOMAIN]})
        self.mx(OF_DOMAIN, ANCHOR)
        await self.delivered("proven", domain="alias.example")

    async def test_not_where_its_mx_is_not_secure(self) -> None:
        self.resolver.insecure.add(DOMAIN)
        self.mx(OF_DOMAIN, ANCHOR)
        await self.delayed("is for another name")

    async def test_the_key_to_come(self) -> None:
        self.mx(GOOD, WRONG, record(GOOD, 3, 1, 1))
        await self.delivered("proven by TLSA 3 1 1")

    async def test_a_connection_is_used_again(self) -> None:
        peer = self.mx(GOOD, ANCHOR)
        await self.delivered("proven")
        await self.delivered("proven", domain="other.example")
        self.assertEqual((len(peer.sessions), len(peer.contents)), (1, 2))


class DowngradeTests(DaneTestCase):
    """Never in clear text, whatever an attacker takes away."""

    async def test_no_starttls(self) -> None:
        peer = self.mx(None, ANCHOR)
        outcome = await self.delayed("does not offer STARTTLS, which the host's TLSA records demand (DANE)")
        self.assertEqual((outcome.status, peer.contents), ("4.7.4", []))

    async def test_starttls_refused(self) -> None:
        peer = self.mx(GOOD, ANCHOR, STARTTLS=b"454 not now\r\n")
        await self.delayed("refused STARTTLS")
        self.assertEqual(peer.contents, [])

    async def test_a_handshake_that_breaks(self) -> None:
        peer = self.mx(GOOD, ANCHOR)
        peer.tls = CertificateOptions()
        await self.delayed("no TLS")
        await self.delayed("no TLS")
        self.assertEqual(peer.contents, [])

    async def test_clear_text_is_not_remembered_for_it(self) -> None:
        """Its TLS was broken while it had no records; now it has."""
        peer = self.mx(GOOD)
        sound, peer.tls = peer.tls, CertificateOptions()
        self.relay.sessions.pool._settings = schema.Relay(max_messages=1)
        await self.delivered("clear text")
        peer.tls = sound
        self.publish(HOST, ANCHOR)
        await self.delivered("proven")

    async def test_no_record_is_of_use(self) -> None:
        """RFC 7672 2.2: TLS must be, with whoever it is."""
        self.mx(OTHER, UNUSABLE)
        await self.delivered("certificate not verified")
        self.mx(None, UNUSABLE)
        await self.delayed("STARTTLS")

    async def test_a_lookup_that_fails(self) -> None:
        peer = self.mx(GOOD)
        self.resolver.set(f"_{self.port}._tcp.{HOST}", FAIL)
        outcome = await self.delayed(f"whether {HOST} wants TLS (DANE)")
        self.assertIn('ignore = ["dane"]', outcome.reason)
        self.assertEqual((outcome.status, peer.sessions), ("4.4.3", []))

    async def test_the_next_host_is_tried(self) -> None:
        peer = self.mx(GOOD, record(GOOD, 3, 1, 1))
        self.resolver.set(DOMAIN, {"MX": [(10, "backup.example.org"), (20, HOST)]})
        for broken in ({"TLSA": [WRONG]}, FAIL):
            self.resolver.set(f"_{self.port}._tcp.backup.example.org", broken)  # type: ignore[arg-type]
            await self.delivered(f"of {HOST}")
            self.relay = self.mx_agent()
        self.assertEqual(len(peer.contents), 2)

    async def test_the_next_host_whatever_the_number_of_addresses(self) -> None:
        """A host that DNS says nothing sure about used up the tries with its addresses."""
        self.mx(GOOD, record(GOOD, 3, 1, 1))
        self.resolver.set(DOMAIN, {"MX": [(10, "backup.example.org"), (20, HOST)]})
        self.resolver.set("backup.example.org", {"A": [f"127.0.0.{number}" for number in range(2, 12)]})
        self.resolver.set(f"_{self.port}._tcp.backup.example.org", FAIL)
        await self.delivered(f"of {HOST}")
        self.assertEqual([result.mx_host for result in self.results if result.failure], ["backup.example.org"])


class ScopeTests(DaneTestCase):
    """To whom it applies, and what it comes before."""

    async def test_hosts_without_records(self) -> None:
        self.mx(OTHER)
        await self.delivered("certificate not verified")

    async def test_records_that_are_not_secure(self) -> None:
        self.mx(EXPIRED, WRONG)
        self.resolver.insecure.add(f"_{self.port}._tcp.{HOST}")
        await self.delivered("certificate not verified")

    async def test_mx_records_that_are_not_secure(self) -> None:
        """RFC 7672 2.2.1: the host's records are used all the same; they protect from who only changes connections."""
        self.resolver.insecure.add(DOMAIN)
        self.mx(GOOD, ANCHOR)
        await self.delivered("proven")
        self.mx(OTHER, record(GOOD, 3, 1, 1))
        await self.delayed("fits no TLSA record")

    async def test_turned_off(self) -> None:
        self.settings = {"dane": False}
        self.mx(OTHER, WRONG)
        await self.delivered("certificate not verified")
        self.assertNotIn("TLSA", [type for _, type in self.resolver.asked])

    async def test_before_a_local_policy(self) -> None:
        self.policies = {DOMAIN: schema.TlsPolicy("verified")}
        self.mx(OTHER, record(OTHER, 3, 1, 1))
        await self.delivered("proven by TLSA 3 1 1")
        self.mx(GOOD, WRONG)
        await self.delayed("fits no TLSA record")

    async def test_a_policy_stands_where_dane_proves_nothing(self) -> None:
        self.policies = {DOMAIN: schema.TlsPolicy("verified")}
        self.mx(OTHER, UNUSABLE)
        await self.delayed("is for another name")
        self.resolver.insecure.add(DOMAIN)
        self.mx(OTHER, record(OTHER, 3, 1, 1))
        await self.delayed("is for another name")
        self.mx(GOOD, WRONG)
        await self.delivered("certificate verified")

    async def test_a_policy_that_ignores_it(self) -> None:
        """For a domain whose records are wrong; others with its hosts are held to them, and to no delay of its mail."""
        self.policies = {DOMAIN: schema.TlsPolicy("opportunistic", ignore=("dane",))}
        self.mx(EXPIRED, WRONG)
        await self.delivered("certificate not verified")
        await self.delayed("fits no TLSA record", domain="other.example")
        sites = [await self.relay.sessions.site(f"mx:{domain}") for domain in (DOMAIN, "other.example")]
        self.assertNotEqual(*sites)

    async def test_a_policy_for_clear_text(self) -> None:
        self.policies = {DOMAIN: schema.TlsPolicy("none")}
        self.mx(GOOD, WRONG)
        await self.delivered("clear text")

    async def test_tls_required_no(self) -> None:
        """RFC 8689 3: such a message is to arrive, whatever the host wants."""
        self.mx(EXPIRED, WRONG)
        await self.delivered("certificate not verified", queued(OPTIONAL))
        await self.delayed("fits no TLSA record")

    async def test_requiretls(self) -> None:
        """RFC 8689 4.2.1: DANE proves the host as well as a certificate that we trust."""
        self.mx(OTHER, record(OTHER, 3, 1, 1), EHLO=STRICT_EHLO)
        await self.delivered("proven", queued(requiretls=True))

    async def test_smarthosts(self) -> None:
        self.mx(GOOD, record(GOOD, 3, 1, 1))
        await self.delivered("proven", target="route:hop")
        self.mx(OTHER, WRONG, record(GOOD, 3, 1, 1))
        await self.delivered("proven", target="route:hop")
        self.mx(GOOD, WRONG)
        await self.delayed("fits no TLSA record", target="route:hop")


class MtaStsTests(DaneTestCase):
    """The domain has both: a policy that enforces a certificate for the name of its host, and TLSA records."""

    def setUp(self) -> None:
        super().setUp()
        self.resolver.set(f"_mta-sts.{DOMAIN}", {"TXT": ["v=STSv1; id=1"]})
        web = Web(f"version: STSv1\nmode: enforce\nmx: {HOST}\nmax_age: 604800\n".encode())
        self.finder = PolicyFinder(self.resolver, web, MemoryStore(), reactor)  # type: ignore[arg-type]

    async def test_dane_comes_first(self) -> None:
        self.mx(OTHER, record(OTHER, 3, 1, 1))
        await self.delivered("proven by TLSA 3 1 1")

    async def test_the_policy_does_not_mend_what_dane_finds_wrong(self) -> None:
        """RFC 8461 2."""
        self.mx(GOOD, WRONG)
        await self.delayed("fits no TLSA record")

    async def test_the_policy_counts_where_dane_proves_nothing_of_the_domain(self) -> None:
        self.resolver.insecure.add(DOMAIN)
        self.mx(OTHER, record(OTHER, 3, 1, 1))
        await self.delayed("is for another name")
        self.mx(GOOD, WRONG)
        await self.delivered("certificate verified")

    async def test_a_connection_by_dane_is_not_taken_for_the_policys(self) -> None:
        """The other domain has the same host and no policy, and nobody vouches for the MX records of either."""
        self.resolver.insecure |= {DOMAIN, "other.example"}
        peer = self.mx(OTHER, record(OTHER, 3, 1, 1))
        await self.delivered("proven", domain="other.example")
        await self.delayed("is for another name")
        self.assertEqual(len(peer.contents), 1)


class ResultTests(DaneTestCase):
    """What TLS reports are made of (RFC 8460 4.3)."""

    async def test_kinds_of_failures(self) -> None:
        for identity, records, failure in (
            (GOOD, WRONG, "tlsa-invalid"),
            (EXPIRED, ANCHOR, "certificate-expired"),
            (OTHER, ANCHOR, "certificate-host-mismatch"),
            (None, ANCHOR, "starttls-not-supported"),
        ):
            self.results.clear()
            self.mx(identity, records)
            await self.send()
            self.assertEqual([result.failure for result in self.results], [failure])

    async def test_no_record_is_of_use(self) -> None:
        """RFC 8460 4.3.2.1: "None of the records in the RRset were found to be valid." """
        self.mx(OTHER, UNUSABLE)
        await self.delivered("certificate not verified")
        (result,) = self.results
        self.assertEqual((result.failure, result.policy.type), ("tlsa-invalid", "tlsa"))
        self.assertEqual(result.reason, "none of the TLSA records can be used")

    async def test_the_policy(self) -> None:
        records = [WRONG, record(GOOD, 3, 1, 1)]
        self.mx(GOOD, *records)
        await self.delivered("proven")
        (result,) = self.results
        self.assertEqual((result.domain, result.failure), (DOMAIN, ""))
        self.assertEqual((result.policy.type, result.policy.domain), ("tlsa", HOST))
        self.assertEqual(result.policy.strings, tuple(f"3 1 1 {one.data.hex()}" for one in records))

    async def test_a_lookup_that_fails(self) -> None:
        self.mx(GOOD)
        self.resolver.set(f"_{self.port}._tcp.{HOST}", FAIL)
        await self.delayed("DANE")
        (result,) = self.results
        self.assertEqual((result.failure, result.mx_host), ("dnssec-invalid", HOST))
