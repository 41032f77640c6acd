"""MTA-STS (RFC 8461) towards a real Postfix and a real Exim: over DNS and HTTPS, with certificates good and wrong."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

from attrs import evolve
from twisted.internet import reactor as installed_reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests import exim, postfix
from tests.authority import Authority, Identity
from tests.integration.gateway import Gateway
from tests.integration.peers import EximTestCase, PeerTestCase, PostfixTestCase, free_port
from tests.integration.world import in_thread, send

reactor: Any = installed_reactor
AUTHORITY = Authority()
# Each domain's web server has an address, and so a certificate, of its own.
GOOD, EXPIRED, WRONG, UNTRUSTED, NOBODY = (f"127.0.88.{number}" for number in range(1, 6))
MESSAGE = b"From: alice@example.test\r\nTo: x@y.test\r\nSubject: hello\r\n\r\nhello\r\n"


def _no_port() -> str:
    """Why no web server can be had at the port that policies are fetched from."""
    try:
        with socket.create_server((GOOD, 443)):
            return ""
    except OSError as error:
        return f"port 443 on {GOOD} cannot be had: {error.strerror}"


class _Policies(Resource):
    """What stands at a host: a policy of the mode that is its domain's name, for the MX host that it says."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.exchange = "mx.dest.test"
        self.asked: list[str] = []

    def render_GET(self, request: Any) -> bytes:
        host = request.getRequestHostname().decode()
        self.asked.append(host)
        mode = "testing" if "testing" in host else "enforce"
        request.setHeader(b"Content-Type", b"text/plain")
        if request.uri != b"/.well-known/mta-sts.txt":
            request.setResponseCode(404)
        return f"version: STSv1\r\nmode: {mode}\r\nmx: {self.exchange}\r\nmax_age: 86400\r\n".encode()


def _zone(domains: Mapping[str, str]) -> dict[str, Any]:
    """Domains with a policy on a web server, and the MX host mx.dest.test."""
    zone: dict[str, Any] = {"mx.dest.test": {"A": ["127.0.0.1"]}, "plain.test": {"MX": ["10 mx.dest.test."]}}
    for domain, address in domains.items():
        zone[domain] = {"MX": ["10 mx.dest.test."]}
        zone[f"_mta-sts.{domain}"] = {"TXT": ["v=STSv1; id=1;"]}
        zone[f"mta-sts.{domain}"] = {"A": [address]}
    return zone


class _StsTestCase(PeerTestCase):
    async def make_domains(self, domains: Mapping[str, str]) -> None:
        """The world with these domains, each with the address of its web server; those at GOOD are there."""
        await self.make_world(zone=_zone(domains))
        self.policies = _Policies()
        self.serve(GOOD, AUTHORITY.issue(*(f"mta-sts.{domain}" for domain in domains)))

    def serve(self, address: str, identity: Identity) -> None:
        port = reactor.listenSSL(443, Site(self.policies), identity.options(), interface=address)
        self.addCleanup(port.stopListening)

    async def start(self, port: int, more: str = "") -> Gateway:
        """Start the gateway; `port` is that of MX hosts."""
        relay_port = f'{port}\nca_file = "ca.pem"'
        return await self.start_gateway({"ca.pem": AUTHORITY.pem.decode()}, relay_port=relay_port, more=more)

    async def outcome(self, gateway: Gateway, domain: str, event: str) -> dict[str, Any]:
        """Send to a domain, and give the event that says what became of it."""
        recipient = f"x@{domain}"
        await in_thread(lambda: send(gateway.ports["submission"], "alice@example.test", [recipient], MESSAGE, tls=True))
        return await gateway.wait_for(event=event, recipient=recipient)


class PostfixTests(_StsTestCase, PostfixTestCase):
    skip = postfix.absent() or _no_port() or None  # type: ignore[assignment]

    async def make(self, domains: Mapping[str, str], certificate: Identity, more: str = "") -> Gateway:
        """The domains, a Postfix with that certificate as their MX host, and the gateway."""
        await self.make_domains(domains)
        files = certificate.write(self.make_folder(), "mx")
        port = await self.start_postfix(
            relayhost=f"[127.0.0.1]:{self.sink_port}",
            smtpd_tls_security_level="may",
            smtpd_tls_cert_file=str(files[0]),
            smtpd_tls_key_file=str(files[1]),
        )
        return await self.start(port, more)

    async def test_a_certificate_that_fits(self) -> None:
        gateway = await self.make({"enforce.test": GOOD, "moved.test": GOOD}, AUTHORITY.issue("mx.dest.test"))
        delivered = await self.outcome(gateway, "enforce.test", "delivered")
        self.assertRegex(delivered["detail"], r"TLSv1\.[23], certificate verified")
        await gateway.wait_for(event="relay_session", policy="mta-sts")
        # A policy that does not name the MX host: its mail waits, and the reason says what to do.
        self.policies.exchange = "old.dest.test"
        delayed = await self.outcome(gateway, "moved.test", "delayed")
        self.assertIn("(mx.dest.test) is in its MTA-STS policy, which names old.dest.test", delayed["reason"])
        self.assertIn('ignore = ["mta-sts"] in [tls_policies."moved.test"]', delayed["reason"])
        # Others on the same host are not held up by that.
        await self.outcome(gateway, "plain.test", "delivered")
        # What the reason says helps, without a restart.
        configuration = gateway.etc / "mailgw.toml"
        ignoring = '[tls_policies."moved.test"]\ntls = "opportunistic"\nignore = ["mta-sts"]\n'
        configuration.write_text(configuration.read_text() + ignoring)
        os.kill(gateway.pid, signal.SIGHUP)
        self.assertEqual((await gateway.wait_for(event="reloaded"))["waiting"], [])
        await self.outcome(gateway, "moved.test", "delivered")

    async def test_a_certificate_for_another_name(self) -> None:
        domains = {"enforce.test": GOOD, "testing.test": GOOD, "ignored.test": GOOD}
        more = '[tls_policies."ignored.test"]\ntls = "opportunistic"\nignore = ["mta-sts"]\n'
        gateway = await self.make(domains, AUTHORITY.issue("www.dest.test"), more)
        delayed = await self.outcome(gateway, "enforce.test", "delayed")
        self.assertIn("4.7.5", delayed["reason"])
        self.assertIn("has a certificate that is for another name", delayed["reason"])
        self.assertIn("the domain's MTA-STS policy demands", delayed["reason"])
        for domain in ("testing.test", "ignored.test", "plain.test"):
            delivered = await self.outcome(gateway, domain, "delivered")
            self.assertIn("certificate not verified: it is for another name", delivered["detail"])
        self.assertNotIn("mta-sts.ignored.test", self.policies.asked)
        self.assertNotIn("x@enforce.test", self.log())
        # kill -9; DNS has no record any more, and the web server is away: the policy goes on.
        await gateway.kill()
        zone = {name: types for name, types in self.dns.world.zone.items() if not name.startswith("_mta-sts")}
        self.dns.world = evolve(self.dns.world, zone=zone, failing=("_mta-sts.enforce.test",))
        await gateway.start()
        gateway.events.clear()
        await self.outcome(gateway, "enforce.test", "delayed")
        self.assertEqual(self.policies.asked.count("mta-sts.enforce.test"), 1)

    async def test_web_servers_that_do_not_prove_their_name(self) -> None:
        """RFC 8461 3.3: there is no policy then, and mail goes as if none were announced."""
        domains = {"expired.test": EXPIRED, "wrong.test": WRONG, "untrusted.test": UNTRUSTED, "away.test": NOBODY}
        gateway = await self.make(domains, Authority("Other CA").issue("mx.dest.test"))
        self.serve(EXPIRED, AUTHORITY.issue("mta-sts.expired.test", days=-1))
        self.serve(WRONG, AUTHORITY.issue("www.wrong.test"))
        self.serve(UNTRUSTED, Authority("Other CA").issue("mta-sts.untrusted.test"))
        for domain, reason in (
            ("expired.test", "its certificate has expired"),
            ("wrong.test", "its certificate is for another name"),
            ("untrusted.test", "its certificate is signed by nobody whom we trust"),
            ("away.test", f"no connection to mta-sts.away.test [{NOBODY}]"),
        ):
            delivered = await self.outcome(gateway, domain, "delivered")
            self.assertIn("certificate not verified: it is signed by nobody whom we trust", delivered["detail"])
            self.assertIn(reason, (await gateway.wait_for(event="mta_sts_failed", domain=domain))["reason"])
        self.assertEqual(self.policies.asked, [])


class SilenceTests(_StsTestCase):
    async def test_dns_that_is_silent_about_it_holds_nothing_up(self) -> None:
        await self.make_world(zone=_zone({"slow.test": NOBODY}))
        zone = {name: types for name, types in self.dns.world.zone.items() if not name.startswith("_mta-sts")}
        self.dns.world = evolve(self.dns.world, zone=zone, silent=("_mta-sts.slow.test",))
        gateway = await self.start(self.sink_port)
        await self.outcome(gateway, "slow.test", "delivered")
        await self.outcome(gateway, "plain.test", "delivered")


class StartTests(PeerTestCase):
    async def test_a_file_of_authorities_that_is_not_there_ends_the_start_with_one_line(self) -> None:
        for workers in (1, 2):
            gateway = Gateway(self.mktemp(), relay_port='25\nca_file = "ca.pem"')
            gateway.write_configuration()
            configuration = gateway.etc / "mailgw.toml"
            configuration.write_text(f"workers = {workers}\n{configuration.read_text()}")
            self.addCleanup(self.coroutine, gateway.kill)
            gateway.spawn()
            status, output = await gateway.ended()
            self.assertEqual(status, 1)
            (line,) = [line for line in output.splitlines() if line.startswith("mailgw: ")]
            self.assertIn("/ca.pem: [relay] ca_file cannot be read: No such file", line)
            self.assertNotIn("Traceback", output)


class EximTests(_StsTestCase, EximTestCase):
    skip = exim.absent() or _no_port() or None  # type: ignore[assignment]

    async def send_to_exim(self, certificate: Identity, event: str) -> dict[str, Any]:
        await self.make_domains({"exim.test": GOOD})
        port = free_port()
        gateway = await self.start(port)
        await self.start_exim(gateway.ports["mx"], port, identity=(certificate.pem, certificate.key_pem))
        return await self.outcome(gateway, "exim.test", event)

    async def test_a_certificate_that_fits(self) -> None:
        delivered = await self.send_to_exim(AUTHORITY.issue("mx.dest.test"), "delivered")
        self.assertRegex(delivered["detail"], r"TLSv1\.[23], certificate verified")
        await self.until(lambda: b"Subject: hello" in self.inbox())

    async def test_a_certificate_that_has_expired(self) -> None:
        delayed = await self.send_to_exim(AUTHORITY.issue("mx.dest.test", days=-1), "delayed")
        self.assertIn("has a certificate that has expired", delayed["reason"])
        self.assertEqual(self.inbox(), b"")
