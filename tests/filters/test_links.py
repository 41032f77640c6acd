"""Links and addresses: where they lead, what they show, and how many are read."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from mailgw.filters.html import read_html
from mailgw.filters.links import MAX_ADDRESSES, MAX_LINKS, Link, Links, find_text_addresses, read_link


class LinkTests(SynchronousTestCase):
    def test_where_a_url_leads(self) -> None:
        for url, host, user_info in (
            ("http://www.example.com/a?b=c", "www.example.com", ""),
            ("https://example.com:8443/", "example.com", ""),
            ("//example.com", "example.com", ""),
            ("www.example.com/x", "www.example.com", ""),
            ("http:\\\\evil.example\\x", "evil.example", ""),
            ("http:evil.example", "evil.example", ""),
            ("https:/evil.example", "evil.example", ""),
            ("http://bank.example@evil.example/", "evil.example", "bank.example"),
            ("http://bank.example:80@evil.example/", "evil.example", "bank.example:80"),
            ("http://a@b@evil.example/", "evil.example", "a@b"),
            ("http://bank.example/@evil.example", "bank.example", ""),
            ("http://bank.example?@evil.example", "bank.example", ""),
            ("http://bank.example#@evil.example", "bank.example", ""),
            ("http://[2001:db8::1]:80/", "[2001:db8::1]", ""),
            ("http://0x7f.1/", "127.0.0.1", ""),
            ("http:///", "", ""),
        ):
            link = read_link(url)
            self.assertEqual((link.host.name, link.user_info), (host, user_info), url)

    def links(self, html: str = "", text: str = "") -> list[Link]:
        links = Links()
        links.add_html(read_html(html))
        links.add_text(text)
        return list(links.found.values())

    def test_shown_and_target_stay_a_pair(self) -> None:
        html = '<a href="http://a.example/">http://b.example/</a><a href="http://a.example/">two</a>'
        found = self.links(html + '<a href="http://a.example/">two</a><img src="http://a.example/">')
        self.assertEqual(
            [(link.kind, link.shown) for link in found],
            [("anchor", "http://b.example/"), ("anchor", "two"), ("resource", "")],
        )

    def test_where_a_redirector_leads(self) -> None:
        for url, inner in (
            ("https://r.example/?u=https%3A%2F%2Fevil.example%2Fx&n=1", "https://evil.example/x"),
            ("https://r.example/http://evil.example/x", "http://evil.example/x"),
            ("https://r.example/?u=HTTPS%3a%2f%2fevil.example", "HTTPS://evil.example"),
        ):
            _outer, link = self.links(text=url)
            self.assertEqual((link.url, link.kind, link.host.name), (inner, "inner", "evil.example"))

    def test_links_are_bounded(self) -> None:
        html = "".join(f'<a href="http://a{n}.example/">x</a>' for n in range(100_000))
        self.assertEqual(len(self.links(html, html)), MAX_LINKS)


class AddressTests(SynchronousTestCase):
    def test_addresses_in_text(self) -> None:
        for text, addresses in (
            ("write to Ann@Example.net, or <bob@example.org>.", ["Ann@example.net", "bob@example.org"]),
            ("a.b+c@sub.example.co.uk", ["a.b+c@sub.example.co.uk"]),
            ("a@b and @x.example and a@", []),
            ("xan@ex.example.", ["xan@ex.example"]),
            ("ü: ann@bücher.example", ["ann@bücher.example"]),
        ):
            self.assertEqual([str(a) for a in find_text_addresses([text])], addresses, text)

    def test_addresses_of_mailto_links(self) -> None:
        page = read_html('<a href="mailto:ann@example.net?subject=x">x</a>')
        self.assertEqual([str(a) for a in find_text_addresses([], page.mailto)], ["ann@example.net"])

    def test_addresses_are_bounded(self) -> None:
        text = " ".join(f"a{n}@example.net" for n in range(100_000))
        self.assertEqual(len(find_text_addresses([text])), MAX_ADDRESSES)
        self.assertEqual(find_text_addresses(["a@" * 500_000]), ())
