"""What the tests of the doctor share: a site whose DNS is in a table."""

from __future__ import annotations

import datetime
from collections.abc import Coroutine, Sequence
from typing import Any

from attrs import evolve
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mailgw.develop.certificate import make_certificate
from mailgw.doctor.finding import Finding
from mailgw.doctor.site import Site
from tests.fakes import FakeResolver

DOMAIN = "example.org"
HOST = "mail.example.org"
ADDRESS = "192.0.2.1"
NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
SITE = Site(HOST, (DOMAIN,), (ADDRESS,))


def chain(names: Sequence[str] = (HOST,), made: datetime.datetime = NOW) -> tuple[x509.Certificate, ...]:
    """Our own certificate, valid for 397 days from the day before."""
    return (x509.load_pem_x509_certificate(make_certificate(names, made)[0]),)


class DoctorCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.resolver = FakeResolver({HOST: {"A": [ADDRESS]}})
        self.site = SITE

    def change(self, **facts: Any) -> None:
        self.site = evolve(self.site, **facts)

    def text(self, name: str, *texts: str) -> None:
        self.resolver.set(name, {"TXT": texts})

    def run_check(self, check: Coroutine[Any, Any, list[Finding]]) -> list[Finding]:
        return self.successResultOf(Deferred.fromCoroutine(check))

    def assertFinding(self, findings: Sequence[Finding], level: str, fact: str) -> Finding:
        """There is one such finding; what is not ok says what to do."""
        found = [finding for finding in findings if finding.level == level and fact in finding.fact]
        self.assertEqual(len(found), 1, (level, fact, findings))
        if level in ("warning", "error"):
            self.assertNotEqual(found[0].advice, "")
        return found[0]

    def assertAllGood(self, findings: Sequence[Finding]) -> None:
        self.assertEqual({finding.level for finding in findings}, {"ok"}, findings)
