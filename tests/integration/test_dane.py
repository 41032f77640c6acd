"""Mail to MX hosts with TLSA records: two real Postfix, and a DNS server whose answers are as from DNSSEC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred, gatherResults

from mailgw.delivery.tls.tlsa import presented
from mailgw.dns.interface import TlsaRecord
from tests import postfix, programs
from tests.certificates import PAST, Identity, issue
from tests.delivery.tls.test_dane import record
from tests.integration.gateway import Gateway
from tests.integration.peers import PostfixTestCase, free_port
from tests.integration.world import in_thread, send
from tests.unbound import Unbound

FIRST, SECOND = "mx1.dane.test", "mx2.dane.test"
ADDRESSES = {FIRST: "127.0.0.1", SECOND: "127.0.0.2"}
MESSAGE = b"From: alice@example.test\r\nMessage-ID: <m@example.test>\r\nSubject: x\r\n\r\nbody\r\n"
QUEUE = "[queue]\nretry = [1.0]\njitter = 0.0\n"
ROOT = issue(common_name="Root", authority=True)
EXPIRED = issue(["other.example"], valid=PAST)
BY_ROOT = issue([SECOND], ROOT)


class DaneTests(PostfixTestCase):
    if postfix.absent():
        skip = postfix.absent()

    async def start(
        self,
        hosts: Mapping[str, Identity | None],
        records: Mapping[str, Sequence[TlsaRecord]],
        *,
        authenticated: bool = True,
        failing: Sequence[str] = (),
    ) -> Gateway:
        """Start a Postfix for each host, all on one port; None is one without TLS. Then the gateway."""
        port = free_port()
        zone = {
            "dane.test": {"MX": [f"10 {FIRST}.", f"20 {SECOND}."]},
            **{host: {"A": [address]} for host, address in ADDRESSES.items()},
            **{f"_{port}._tcp.{host}": {"TLSA": list(map(presented, of))} for host, of in records.items()},
        }
        await self.make_world(zone=zone)
        self.dns.world = evolve(
            self.dns.world, authenticated=authenticated, failing=[f"_{port}._tcp.{host}" for host in failing]
        )
        starting = []
        for host, identity in hosts.items():
            settings = {"myhostname": host, "relayhost": f"[127.0.0.1]:{self.sink_port}"}
            if identity is not None:
                settings |= {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": self.write(identity)}
            starting.append(Deferred.fromCoroutine(self.start_postfix(port, ADDRESSES[host], **settings)))
        await gatherResults(starting)
        return await self.start_gateway(relay_port=port, more=QUEUE)

    def write(self, identity: Identity) -> str:
        self.file = Path(self.mktemp()).absolute()
        self.file.write_bytes(identity.key_pem + identity.pem)
        return str(self.file)

    async def submit(self, gateway: Gateway) -> None:
        await in_thread(
            lambda: send(gateway.ports["submission"], "alice@example.test", ["d@dane.test"], MESSAGE, tls=True)
        )

    async def test_the_hosts_own_key(self) -> None:
        """Whatever names and dates are in the certificate."""
        gateway = await self.start({FIRST: EXPIRED}, {FIRST: [record(EXPIRED, 3, 1, 1)]})
        await self.submit(gateway)
        await self.until(lambda: len(self.sink.received) == 1)
        session = await gateway.wait_for(event="relay_session", policy="dane")
        self.assertRegex(session["tls"], rf"^TLSv1\.3, certificate proven by TLSA 3 1 1 of {FIRST}$")
        self.assertIn("with ESMTPS", self.sink.received[0].content.decode())
        self.assertNotIn("dane_off", gateway.output)

    async def test_the_next_host_when_the_first_is_not_who_it_says(self) -> None:
        gateway = await self.start(
            {FIRST: EXPIRED, SECOND: BY_ROOT},
            {FIRST: [record(BY_ROOT, 3, 1, 1)], SECOND: [record(ROOT, 2, 0, 1)]},
        )
        await self.submit(gateway)
        await self.until(lambda: len(self.sink.received) == 1)
        delivered = await gateway.wait_for(event="delivered")
        self.assertIn(f"proven by TLSA 2 0 1 of {SECOND}", delivered["detail"])

    async def test_it_waits_until_the_certificate_is_mended(self) -> None:
        right, wrong = issue([FIRST]), issue([FIRST])
        gateway = await self.start({FIRST: wrong}, {FIRST: [record(right, 3, 1, 1)]})
        await self.submit(gateway)
        delayed = await gateway.wait_for(event="delayed")
        for words in (f"{FIRST} [127.0.0.1]", "fits no TLSA record", presented(record(wrong, 3, 1, 1))):
            self.assertIn(words, delayed["reason"])
        self.assertEqual(self.sink.received, [])
        self.file.write_bytes(right.key_pem + right.pem)
        await in_thread(postfix.run, self.configurations[0], "reload")
        await self.until(lambda: len(self.sink.received) == 1)

    async def test_never_in_clear_text(self) -> None:
        """DNS does not tell what the first wants (it would take mail), and the second does not offer TLS any more."""
        gateway = await self.start({FIRST: None, SECOND: None}, {SECOND: [record(BY_ROOT, 3, 1, 1)]}, failing=[FIRST])
        await self.submit(gateway)
        delayed = await gateway.wait_for(event="delayed")
        self.assertIn(f"{SECOND} [127.0.0.2]: it does not offer STARTTLS, which the host's TLSA", delayed["reason"])
        self.assertNotIn("relay_session", gateway.output)
        self.assertEqual(self.sink.received, [])

    async def test_without_a_validating_resolver_it_is_off_and_said(self) -> None:
        gateway = await self.start({FIRST: EXPIRED}, {FIRST: [record(BY_ROOT, 3, 1, 1)]}, authenticated=False)
        warning = await gateway.wait_for(event="dane_off")
        self.assertEqual(warning["level"], "warn")
        await self.submit(gateway)
        await self.until(lambda: len(self.sink.received) == 1)
        self.assertEqual(gateway.output.count("dane_off"), 1)


class DnssecTests(PostfixTestCase):
    """The resolver is a real one, which validates zones that are signed; the host is one Postfix by several names."""

    if postfix.absent() or programs.absent("unbound"):
        skip = postfix.absent() or programs.absent("unbound")

    async def test_signed_spoilt_and_unsigned_zones(self) -> None:
        await self.make_world()
        port, resolver_port = free_port(), free_port()
        right, wrong = (presented(record(of, 3, 1, 1)) for of in (EXPIRED, BY_ROOT))
        zone = f"@ 60 IN MX 10 mx\nmx 60 IN A 127.0.0.1\n_{port}._tcp.mx 60 IN TLSA"
        zones = {
            "org": "",
            "good.test": f"{zone} {right}\n",
            "other.test": f"{zone} {wrong}\n",
            "spoilt.test": f"{zone} {wrong}\n",
            "unsigned.test": f"{zone} {wrong}\n",
            "alias.test": f"@ 60 IN MX 10 mx\nmx 60 IN CNAME mx.good.test.\n_{port}._tcp.mx 60 IN TLSA {wrong}\n",
        }
        key = {"spoilt.test": (wrong.split()[3], right.split()[3])}  # by somebody who cannot sign
        signed = ["org", "good.test", "other.test", "alias.test"]
        self.unbound = Unbound(self.make_folder(), resolver_port, zones, signed, key)
        await in_thread(self.unbound.start)
        self.addCleanup(in_thread, self.unbound.stop)
        settings = {
            "relayhost": f"[127.0.0.1]:{self.sink_port}",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_chain_files": self.certificate(),
        }
        await self.start_postfix(port, **settings)
        gateway = await self.start_gateway(dns=resolver_port, relay_port=port, more=QUEUE)
        outcomes = {}
        for domain in zones.keys() - {"org"}:
            await in_thread(
                partial(send, gateway.ports["submission"], "alice@example.test", [f"d@{domain}"], MESSAGE, tls=True)
            )
        for domain, event in (
            ("good.test", "delivered"),
            ("alias.test", "delivered"),
            ("unsigned.test", "delivered"),
            ("other.test", "delayed"),
            ("spoilt.test", "delayed"),
        ):
            found = await gateway.wait_for(event=event, recipient=f"d@{domain}")
            outcomes[domain] = found["detail"] if event == "delivered" else found["reason"]
        self.assertIn("proven by TLSA 3 1 1 of mx.good.test", outcomes["good.test"])
        # RFC 7672 2.2.3: the target of the alias comes first.
        self.assertIn("proven by TLSA 3 1 1 of mx.good.test", outcomes["alias.test"])
        self.assertIn("certificate not verified", outcomes["unsigned.test"])
        self.assertIn("fits no TLSA record", outcomes["other.test"])
        self.assertRegex(outcomes["spoilt.test"], r"whether mx\.spoilt\.test wants TLS \(DANE\).*SERVFAIL")
        self.assertNotIn("dane_off", gateway.output)

    def certificate(self) -> str:
        path = self.folder / "chain.pem"
        path.write_bytes(EXPIRED.key_pem + EXPIRED.pem)
        return str(path)
