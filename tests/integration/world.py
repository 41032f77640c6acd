"""The world around a gateway in integration tests: DNS, a sink, a signed sender; and clients as processes."""

from __future__ import annotations

import os
import shutil
import smtplib
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dkim
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from mailgw.develop.dnsserver import DnsServer, World
from mailgw.develop.messages import dkim_record
from mailgw.develop.sink import Manners, Sink
from tests.integration.gateway import PASSWORD, Gateway

reactor: Any = installed_reactor

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


class GatewayTestCase(TestCase):
    """A test that starts a gateway, with DNS and a sink on loopback. The sink is the MX of outside.test."""

    timeout = 120

    async def make_world(self, manners: Manners | None = None, zone: Mapping[str, Any] = {}) -> None:
        self.key = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        here = {"A": ["127.0.0.1"]}
        self.dns = DnsServer(
            reactor,
            World(
                {
                    "example.test": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"]},
                    "sender.test": {"TXT": ["v=spf1 ip4:127.0.0.1 -all"], "MX": ["10 mail.sender.test."]},
                    "mail.sender.test": here,
                    "forged.test": {"TXT": ["v=spf1 -all"]},
                    "test._domainkey.sender.test": {"TXT": [dkim_record(self.key)]},
                    "1.0.0.127.in-addr.arpa": {"PTR": ["mail.sender.test."]},
                    "outside.test": {"MX": ["10 mx.outside.test."]},
                    "mx.outside.test": here,
                    "nomail.test": {"MX": ["0 ."]},
                    **zone,
                },
                silent=("silent.test",),
            ),
        )
        self.dns_port = self.dns.start()
        self.sink = Sink(reactor, manners=manners)
        self.sink_port = self.sink.start()
        self.addCleanup(self.coroutine, self.sink.stop)
        self.addCleanup(self.coroutine, self.dns.stop)

    async def start_gateway(self, files: Mapping[str, str] = {}, **settings: Any) -> Gateway:
        self.gateway = Gateway(self.mktemp(), **{"dns": self.dns_port, "relay_port": self.sink_port, **settings})
        self.gateway.write_configuration(files)
        self.addCleanup(self.coroutine, self.gateway.kill)
        await self.gateway.start()
        return self.gateway

    async def until(self, condition: Callable[[], bool], limit: float = 20.0) -> None:
        """Wait until something holds that no event of the log tells."""
        for _ in range(int(limit / 0.02)):
            if condition():
                return
            await deferLater(reactor, 0.02)
        self.fail(f"it did not come to hold in {limit} s; the log:\n{self.gateway.output}")

    @staticmethod
    def coroutine(function: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(function())

    def signed(self, message: str) -> bytes:
        """A message of sender.test with its DKIM signature."""
        data = message.replace("\n", "\r\n").encode()
        signature: bytes = dkim.sign(data, b"test", b"sender.test", self.key, include_headers=[b"from", b"subject"])
        return signature + data


async def in_thread(function: Any, *arguments: Any) -> Any:
    """Run a blocking client beside the reactor, which serves DNS and the sink meanwhile."""
    return await deferToThread(function, *arguments)


async def swaks(*arguments: str) -> tuple[str, int]:
    """Run swaks; give its transcript and its exit status."""
    program = shutil.which("swaks")
    assert program is not None
    out, err, status = await getProcessOutputAndValue(program, arguments, env=dict(os.environ))
    return (out + err).decode(errors="replace"), status


def send(
    port: int,
    sender: str,
    recipients: Sequence[str],
    message: bytes,
    *,
    tls: bool = False,
    user: str = "alice@example.test",
    mail_options: Sequence[str] = (),
    rcpt_options: Sequence[str] = (),
) -> None:
    """Send a message as a server or, with `tls`, as a user on the STARTTLS port."""
    with smtplib.SMTP("127.0.0.1", port, "client.test", timeout=60) as client:
        if tls:
            client.starttls(context=unverified())
            client.login(user, PASSWORD)
        client.sendmail(sender, recipients, message, mail_options, rcpt_options)


def unverified() -> ssl.SSLContext:
    """A client's TLS that takes the test certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
