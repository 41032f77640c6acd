"""A message full of links through a host that rewrites links was compared link by link, each with all others."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters import phishing
from mailgw.filters.anatomy import Anatomies, dissect
from mailgw.filters.domains import registered_domain
from mailgw.filters.phishing import Phishing, PhishingSettings
from mailgw.mail.message import BytesContent
from mailgw.operation.threads import ThreadsInline

LINK = '<a href="https://{host}/?u=http://a{n}.example/">b{n}.com</a>\r\n'


class RedirectorFloodTests(SynchronousTestCase):
    def test_work_grows_with_the_links_and_not_with_their_square(self) -> None:
        settings = PhishingSettings()
        head = "Content-Type: text/html; charset=utf-8\r\n\r\n"
        body = "".join(LINK.format(host=settings.redirectors[0], n=n) for n in range(400))
        anatomy = dissect(BytesContent(f"{head}{body}".encode()))
        calls: list[str] = []

        def counted(name: str) -> str:
            calls.append(name)
            return registered_domain(name)

        found = Phishing(settings, Anatomies(ThreadsInline()), ["example.org"])
        self.patch(phishing, "registered_domain", counted)
        evidence = found._check(anatomy, frozenset())
        self.assertIn("LINK_MISMATCH", [piece.symbol for piece in evidence])
        self.assertLess(len(calls), 10 * len(anatomy.links))
