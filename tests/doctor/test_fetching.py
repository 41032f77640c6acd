"""The text of a policy, from a web server on loopback."""

from __future__ import annotations

import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet import reactor as installed_reactor
from twisted.internet import ssl
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from mailgw.develop.certificate import make_certificate
from mailgw.doctor import fetching
from mailgw.doctor.fetching import MAX_OCTETS, PolicyFetcher
from mailgw.doctor.mta_sts import FetchError

reactor: Any = installed_reactor


class Page(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        path = request.path.decode()
        if path == "/silent":
            return NOT_DONE_YET
        if path == "/long":
            return b"x" * (MAX_OCTETS + 1)
        if path == "/moved":
            request.redirect(b"/policy")
        if path == "/gone":
            request.setResponseCode(404)
        return b"version: STSv1\r\n"


class FetchTests(TestCase):
    def setUp(self) -> None:
        self.port = reactor.listenTCP(0, Site(Page()), interface="127.0.0.1")
        self.number = self.port.getHost().port
        self.addCleanup(self.port.stopListening)

    async def get(self, path: str) -> bytes:
        return await PolicyFetcher(reactor)(f"http://127.0.0.1:{self.number}{path}")

    async def assertProblem(self, path: str, reason: str) -> None:
        with self.assertRaises(FetchError) as caught:
            await self.get(path)
        self.assertIn(reason, str(caught.exception))

    async def test_text(self) -> None:
        self.assertEqual(await self.get("/policy"), b"version: STSv1\r\n")

    async def test_other_answers(self) -> None:
        """RFC 8461 3.3: a redirect is not followed."""
        await self.assertProblem("/gone", "the answer is 404")
        await self.assertProblem("/moved", "the answer is 302")

    async def test_too_long(self) -> None:
        await self.assertProblem("/long", "longer than")

    async def test_silence(self) -> None:
        self.patch(fetching, "TIME_LIMIT", 0.2)
        await self.assertProblem("/silent", "no answer within 0.2 s")

    async def test_nobody_listens(self) -> None:
        await self.port.stopListening()
        await self.assertProblem("/policy", "refused")

    async def test_a_certificate_that_nobody_has_signed(self) -> None:
        certificate, key = make_certificate(["127.0.0.1"], datetime.datetime.now(datetime.UTC))
        options = ssl.CertificateOptions(
            privateKey=load_pem_private_key(key, None),  # type: ignore[arg-type]  # pyOpenSSL wants cryptography's
            certificate=x509.load_pem_x509_certificate(certificate),  # type: ignore[arg-type]
        )
        port = reactor.listenSSL(0, Site(Page()), options, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        with self.assertRaises(FetchError) as caught:
            await PolicyFetcher(reactor)(f"https://127.0.0.1:{port.getHost().port}/policy")
        self.assertIn("certificate", str(caught.exception))
