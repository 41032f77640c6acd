"""What the tests by the paragraphs of RFC 9989 share: a message and the results of SPF and DKIM go in, the result of
DMARC for the field comes out."""

from __future__ import annotations

import time

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailgw.mail.evidence import AuthResult
from mailgw.mail.message import Message
from mailgw.operation.threads import ThreadsInline
from mailgw.senderauth.authenticator import Authenticator, Findings
from tests.fakes import FakeResolver


def spf(domain: str, result: str = "pass") -> AuthResult:
    return AuthResult("spf", result, (("smtp.mailfrom", f"sender@{domain}"),))


def dkim(domain: str, result: str = "pass") -> AuthResult:
    return AuthResult("dkim", result, (("header.d", domain), ("header.s", "s1")))


class DmarcCase(SynchronousTestCase):
    """`publish` records, then ask for the `result` or the `policy` of a message."""

    def setUp(self) -> None:
        self.resolver = FakeResolver()
        clock = Clock()
        clock.advance(time.time())
        self.authenticator = Authenticator(self.resolver, ThreadsInline(), "gw.example", clock)

    def publish(self, domain: str, *texts: str) -> None:
        self.resolver.set(f"_dmarc.{domain}", {"TXT": texts})

    def findings(self, author: str, *auth: AuthResult) -> Findings:
        """`author` is a domain, or the header's fields from `From` on."""
        head = author if ":" in author else f"From: someone@{author}\r\n"
        message = Message.from_bytes(f"{head}Subject: a sample\r\n\r\nHello\r\n".encode())
        return self.successResultOf(Deferred.fromCoroutine(self.authenticator.dmarc(message, auth)))

    def result(self, author: str, *auth: AuthResult) -> str:
        (found,) = self.findings(author, *auth).auth
        return found.result

    def policy(self, author: str, *auth: AuthResult) -> str:
        """Give the policy that is stated; empty when none is."""
        (found,) = self.findings(author, *auth).auth
        return dict(found.properties).get("policy.dmarc", "")

    @property
    def asked(self) -> list[str]:
        """The names whose TXT records were asked for."""
        return [name for name, type in self.resolver.asked if type == "TXT"]
