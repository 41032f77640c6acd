"""What TLSA records prove, as OpenSSL's own DANE (RFC 7671) has it: every certificate with every record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from mailgw.delivery.tls.dane import NotAuthentic, authenticate
from mailgw.delivery.tls.tlsa import presented, usable
from mailgw.dns.interface import TlsaRecord
from tests.certificates import FUTURE, PAST, Identity, issue
from tests.delivery.tls.test_dane import record

HOST = "mx.example.org"
ROOT = issue(common_name="Root", authority=True)
BETWEEN = issue(common_name="Between", by=ROOT, authority=True)
LAPSED = issue(common_name="Lapsed", by=ROOT, authority=True, valid=PAST)
PLAIN = issue(["plain.example.org"], ROOT)
GOOD = issue([HOST], BETWEEN)

IDENTITIES = {
    "good": GOOD,
    "without root": Identity(GOOD.certificate, GOOD.key, GOOD.above[:1]),
    "alone": Identity(GOOD.certificate, GOOD.key),
    "just below the root, alone": Identity((below := issue([HOST], ROOT)).certificate, below.key),
    "wildcard": issue(["*.example.org"], ROOT),
    "common name only": issue((), ROOT, common_name=HOST),
    "common name beside another": issue(["other.example"], ROOT, common_name=HOST),
    "other name": issue(["other.example"], BETWEEN),
    "expired": issue([HOST], BETWEEN, valid=PAST),
    "to come": issue([HOST], ROOT, valid=FUTURE),
    "expired above": issue([HOST], LAPSED),
    "signed by no authority": issue([HOST], PLAIN),
    "signed by itself": issue([HOST]),
    "signed by others, root sent along": Identity((own := issue([HOST])).certificate, own.key, (ROOT.certificate,)),
}


def record_sets(identity: Identity) -> Iterator[Sequence[TlsaRecord]]:
    """What its host might publish, rightly or wrongly."""
    for selector in (0, 1):
        yield [record(identity, 3, selector, 1)]
        yield [record(ROOT, 2, selector, 2)]
        yield [record(ROOT, 2, selector, 0)]
    yield [record(BETWEEN, 2, 1, 1)]
    yield [record(BETWEEN, 3, 0, 1), record(ROOT, 3, 1, 1)]
    yield [record(ROOT, 2, 0, 1), record(identity, 3, 1, 2)]
    # RFC 7671 9: the stronger digest alone counts, and it is wrong.
    yield [record(identity, 3, 1, 1), TlsaRecord(3, 1, 2, bytes(64))]


class OpenSslTests(TestCase):
    timeout = 60
    if not shutil.which("openssl"):
        skip = "openssl is not installed"

    def serve(self, identity: Identity) -> int:
        listening = reactor.listenSSL(0, Factory.forProtocol(_Closing), identity.options(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(listening.stopListening)
        port: int = listening.getHost().port
        return port

    async def openssl(self, port: int, records: Sequence[TlsaRecord]) -> bool:
        arguments = ["s_client", "-connect", f"127.0.0.1:{port}", "-brief", "-verify_return_error"]
        # RFC 7672 3.1.1: the name means nothing where the host's own certificate is what is published.
        arguments += ["-dane_tlsa_domain", HOST, "-dane_ee_no_namechecks"]
        for one in records:
            arguments += ["-dane_tlsa_rrdata", presented(one)]
        program = shutil.which("openssl")
        assert program is not None
        out, err, status = await getProcessOutputAndValue(program, arguments, env=dict(os.environ))
        said = (out + err).decode()
        good = "Verification: OK" in said
        self.assertTrue(good or "verify error" in said or "certificate verify failed" in said, said)
        self.assertEqual(status == 0, good, said)
        return good

    async def test_the_same_verdicts(self) -> None:
        verdicts = []
        for name, identity in IDENTITIES.items():
            port = self.serve(identity)
            for records in record_sets(identity):
                try:
                    authenticate(usable(records), identity.chain, [HOST])
                    good = True
                except NotAuthentic:
                    good = False
                verdicts.append(good)
                case = (name, [presented(one)[:24] for one in records])
                self.assertEqual(good, await self.openssl(port, records), case)
        self.assertGreater(verdicts.count(True), 40)
        self.assertGreater(verdicts.count(False), 40)


@implementer(IHandshakeListener)
class _Closing(Protocol):
    """Ends the connection as soon as the client is content with it."""

    transport: Any

    def handshakeCompleted(self) -> None:
        self.transport.loseConnection()
