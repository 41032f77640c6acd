"""Reports by HTTPS over real sockets (RFC 8460 5.4): a web server takes one, and it reads as it was written."""

from __future__ import annotations

import gzip
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from mailgw.https.client import HttpsClient
from mailgw.reports.letter import packed
from mailgw.reports.outbox import Post
from mailgw.reports.posting import Poster
from mailgw.reports.tls_json import to_json
from mailgw.reports.tls_report import read_tls_report
from tests.fakes import FakeResolver
from tests.https.test_client import AUTHORITY, GOOD, HOST, Page
from tests.reports.test_tls_json import EXAMPLE

reactor: Any = installed_reactor


class PosterTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        self.page = Page()
        port = reactor.listenSSL(0, Site(self.page), GOOD.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"https://{HOST}:{port.getHost().port}"
        resolver = FakeResolver({HOST: {"A": ["127.0.0.1"]}})
        self.poster = Poster(HttpsClient(reactor, resolver, 10.0, trust_root=AUTHORITY.root), reactor)

    async def post(self, path: str, report_id: str = "1") -> str:
        return await self.poster.post(
            Post(self.url + path, report_id, packed(to_json(EXAMPLE)), "application/tlsrpt+gzip")
        )

    async def test_it_arrives_as_it_was_written(self) -> None:
        self.assertEqual(await self.post("/v1"), "")
        ((_, kind, body),) = self.page.posted
        self.assertEqual(kind, b"application/tlsrpt+gzip")
        self.assertEqual(read_tls_report(gzip.decompress(body)), EXAMPLE)

    async def test_what_was_refused_is_left_alone_for_a_while(self) -> None:
        """5.5"""
        for _ in range(3):
            self.assertEqual(await self.post("/full"), f"{self.url}/full: the answer is 507")
        self.assertEqual(len(self.page.posted), 1)
        await self.post("/full", "2")  # another report is tried
        self.assertEqual(len(self.page.posted), 2)
