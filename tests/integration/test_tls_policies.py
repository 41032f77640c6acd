"""[tls_policies] towards two real Postfix and a real Exim at once: policies that hold, and that break until mended."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests import exim, postfix
from tests.authority import Authority
from tests.certificates import Identity, issue
from tests.integration.gateway import Gateway
from tests.integration.peers import EximTestCase, PostfixTestCase, free_port
from tests.integration.world import in_thread, send

AUTHORITY = Authority()
# One port on all: that of MX hosts.
EXIM, GOOD, OTHER, PLAIN = (f"127.0.0.{number}" for number in range(1, 5))
HOSTS = {"mx.exim.test": EXIM, "mx.good.test": GOOD, "mx.other.test": OTHER, "mx.plain.test": PLAIN}
EXCHANGES = {
    "exim.test": "mx.exim.test",
    "good.test": "mx.good.test",
    "clear.test": "mx.good.test",
    "other.test": "mx.other.test",
    "any.test": "mx.other.test",
    "encrypted.test": "mx.other.test",
    "plain.test": "mx.plain.test",
    "plainly.test": "mx.plain.test",
}
POLICIES = {
    "exim.test": "verified",
    "good.test": "verified",
    "clear.test": "none",
    "other.test": "verified",
    "encrypted.test": "required",
    "plain.test": "required",
}
WITH_TLS = {"smtpd_tls_security_level": "may", "smtpd_tls_received_header": "yes"}
MESSAGE = b"From: alice@example.test\r\nTo: x@y.test\r\nSubject: hello\r\n\r\nhello\r\n"


class TlsPoliciesTests(EximTestCase, PostfixTestCase):
    skip = exim.absent() or postfix.absent() or None  # type: ignore[assignment]

    async def start_host(self, port: int, host: str, named: str = "") -> Path:
        """A Postfix at the host's address, with a certificate for a name, or without TLS; give its certificate's
        file."""
        more: dict[str, str] = {}
        file = Path(self.mktemp()).absolute()
        if named:
            self.certify(file, named)
            more = {"smtpd_tls_chain_files": str(file), **WITH_TLS}
        await self.start_postfix(port, HOSTS[host], myhostname=host, relayhost=f"[127.0.0.1]:{self.sink_port}", **more)
        return file

    def certify(self, file: Path, name: str) -> None:
        self.write(file, AUTHORITY.issue(name))

    def write(self, file: Path, identity: Identity) -> None:
        file.write_bytes(identity.key_pem + identity.pem)

    def received(self, domain: str) -> bytes:
        """What a Postfix gave on for the domain, with its Received field on top."""
        (message,) = [one for one in self.sink.received if one.recipients[0].domain == domain]
        return message.content

    async def outcome(self, gateway: Gateway, domain: str, event: str) -> dict[str, Any]:
        recipient = f"x@{domain}"
        await in_thread(lambda: send(gateway.ports["submission"], "alice@example.test", [recipient], MESSAGE, tls=True))
        return await gateway.wait_for(event=event, recipient=recipient)

    async def test_each_as_its_policy_wants(self) -> None:
        port = free_port()
        zone: dict[str, Any] = {host: {"A": [address]} for host, address in HOSTS.items()}
        await self.make_world(zone=zone | {name: {"MX": [f"10 {host}."]} for name, host in EXCHANGES.items()})
        await self.start_host(port, "mx.good.test", "mx.good.test")
        changing = await self.start_host(port, "mx.other.test", "www.other.test")
        other = self.configurations[-1]
        await self.start_host(port, "mx.plain.test")
        policies = "".join(f'[tls_policies."{name}"]\ntls = "{tls}"\n' for name, tls in POLICIES.items())
        gateway = await self.start_gateway(
            {"ca.pem": AUTHORITY.pem.decode()},
            relay_port=f'{port}\nca_file = "ca.pem"',
            more=f"[queue]\nretry = [1.0]\njitter = 0.0\n{policies}",
        )
        certificate = AUTHORITY.issue("mx.exim.test")
        await self.start_exim(gateway.ports["mx"], port, identity=(certificate.pem, certificate.key_pem))

        for domain, detail in (
            ("good.test", r"TLSv1\.[23], certificate verified"),
            ("exim.test", r"TLSv1\.[23], certificate verified"),
            ("clear.test", "clear text"),
            ("any.test", r"TLSv1\.[23], certificate not verified: .*for another name"),
            ("encrypted.test", r"TLSv1\.[23], certificate not verified"),
            ("plainly.test", "clear text"),
        ):
            self.assertRegex((await self.outcome(gateway, domain, "delivered"))["detail"], detail, domain)
        await self.until(lambda: b"Subject: hello" in self.inbox())
        self.assertRegex(self.inbox(), rb"with esmtps\s+\(TLS1\.[23]\)")
        await self.until(lambda: len(self.sink.received) == 5)
        for domain, tls in (("good", True), ("clear", False), ("any", True), ("encrypted", True), ("plainly", False)):
            self.assertEqual(b"using TLSv1." in self.received(f"{domain}.test"), tls, domain)

        delayed = await self.outcome(gateway, "plain.test", "delayed")
        self.assertRegex(delayed["reason"], r"^4\.7\.4 .*it does not offer STARTTLS")
        delayed = await self.outcome(gateway, "other.test", "delayed")
        self.assertRegex(delayed["reason"], r"^4\.7\.5 no TLS: mx\.other\.test .*for another name")

        self.certify(changing, "mx.other.test")
        await in_thread(postfix.run, other, "reload")
        delivered = await gateway.wait_for(event="delivered", recipient="x@other.test")
        self.assertRegex(delivered["detail"], r"TLSv1\.[23], certificate verified")
        await self.until(lambda: len(self.sink.received) == 6)
        self.assertIn(b"using TLSv1.", self.received("other.test"))

    async def test_what_waits_for_a_host_goes_when_the_host_is_mended(self) -> None:
        """A domain for each thing that is wrong with one Postfix after the other: all are delivered in the end."""
        port = free_port()
        await self.make_world(zone={"broken.test": {"MX": ["10 mx.good.test."]}, "mx.good.test": {"A": [GOOD]}})
        file = await self.start_host(port, "mx.good.test", "mx.good.test")
        gateway = await self.start_gateway(
            {"ca.pem": AUTHORITY.pem.decode()},
            relay_port=f'{port}\nca_file = "ca.pem"',
            more='[queue]\nretry = [1.0]\njitter = 0.0\n[tls_policies."broken.test"]\ntls = "verified"\n',
        )
        (etc,) = self.configurations
        recipients = []
        for user, identity, reason in (
            ("expired", AUTHORITY.issue("mx.good.test", days=-2), r"4\.7\.5 .*a certificate that has expired"),
            ("stranger", issue(["mx.good.test"]), r"4\.7\.5 .*a certificate that is signed by itself only"),
            ("plain", None, r"4\.7\.4 .*it does not offer STARTTLS"),
        ):
            if identity is not None:
                self.write(file, identity)
            else:
                self.set(etc, "smtpd_tls_security_level", "none")
            await in_thread(postfix.run, etc, "reload")
            recipients.append(f"{user}@broken.test")
            await in_thread(
                lambda: send(gateway.ports["submission"], "alice@example.test", recipients[-1:], MESSAGE, tls=True)
            )
            delayed = await gateway.wait_for(event="delayed", recipient=recipients[-1])
            self.assertRegex(delayed["reason"], "^" + reason)
        self.assertEqual(self.sink.received, [])
        self.certify(file, "mx.good.test")
        self.set(etc, "smtpd_tls_security_level", "may")
        await in_thread(postfix.run, etc, "reload")
        for recipient in recipients:
            delivered = await gateway.wait_for(event="delivered", recipient=recipient)
            self.assertRegex(delivered["detail"], r"TLSv1\.[23], certificate verified")

    async def test_exim_gets_its_mail_with_a_new_certificate(self) -> None:
        port = free_port()
        await self.make_world(zone={"exim.test": {"MX": ["10 mx.exim.test."]}, "mx.exim.test": {"A": [EXIM]}})
        gateway = await self.start_gateway(
            {"ca.pem": AUTHORITY.pem.decode()},
            relay_port=f'{port}\nca_file = "ca.pem"',
            more='[queue]\nretry = [1.0]\njitter = 0.0\n[tls_policies."exim.test"]\ntls = "verified"\n',
        )
        old, new = AUTHORITY.issue("mx.exim.test", days=-2), AUTHORITY.issue("mx.exim.test")
        await self.start_exim(gateway.ports["mx"], port, identity=(old.pem, old.key_pem))
        delayed = await self.outcome(gateway, "exim.test", "delayed")
        self.assertRegex(delayed["reason"], r"^4\.7\.5 .*a certificate that has expired")
        self.assertEqual(self.inbox(), b"")
        (self.folder / "key.pem").write_bytes(new.key_pem)
        (self.folder / "certificate.pem").write_bytes(new.pem)
        delivered = await gateway.wait_for(event="delivered", recipient="x@exim.test")
        self.assertRegex(delivered["detail"], r"TLSv1\.[23], certificate verified")
        self.assertRegex(self.log(), r"<= alice@example\.test .* P=esmtps .*X=TLS1\.[23]")

    @staticmethod
    def set(etc: Path, name: str, value: str) -> None:
        main = etc / "main.cf"
        main.write_text(re.sub(rf"(?m)^{name} = .*$", f"{name} = {value}", main.read_text()))
