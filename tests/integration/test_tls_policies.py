"""[tls_policies] towards two real Postfix and a real Exim at once: policies that hold, and that break until mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests import exim, postfix
from tests.authority import Authority
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
            more = {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": str(file)}
        await self.start_postfix(port, HOSTS[host], myhostname=host, relayhost=f"[127.0.0.1]:{self.sink_port}", **more)
        return file

    def certify(self, file: Path, name: str) -> None:
        identity = AUTHORITY.issue(name)
        file.write_bytes(identity.key_pem + identity.pem)

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

        delayed = await self.outcome(gateway, "plain.test", "delayed")
        self.assertIn("it does not offer STARTTLS", delayed["reason"])
        delayed = await self.outcome(gateway, "other.test", "delayed")
        self.assertIn("for another name", delayed["reason"])
        self.assertIn("mx.other.test", delayed["reason"])

        self.certify(changing, "mx.other.test")
        await in_thread(postfix.run, other, "reload")
        delivered = await gateway.wait_for(event="delivered", recipient="x@other.test")
        self.assertRegex(delivered["detail"], r"TLSv1\.[23], certificate verified")
