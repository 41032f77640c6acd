"""Links and addresses in text and HTML, with where they really lead. Linear in time, bounded in number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from attrs import frozen

from mailgw.filters.domains import Host, normalise_host
from mailgw.filters.html import MAX_URL, HtmlText
from mailgw.mail.address import AddressError, Mailbox

MAX_LINKS = 1024
MAX_ADDRESSES = 1024
_MAX_LOOKS = 4 * MAX_LINKS
"""Places that are looked at for these: most of 100,000 links are the same, or nobody reads them."""

_URL_REST = re.compile(r"""[^\s<>"'\x00-\x1f]{1,2000}""")
_SCHEMES = ("https", "http", "ftp")
_PUNCTUATION = ".,;:!?)]}*"
_AUTHORITY = re.compile(r"(?:(?:https?|ftp):)?[/\\]*([^/\\?#]*)", re.IGNORECASE)
# Another URL within one: that of a redirector's target.
_INNER = re.compile(r"(?:https?|ftp)(?::|%3a)(?:/|%2f){2}", re.IGNORECASE)
_LOCAL_PART = re.compile(r"[A-Za-z0-9._%+=-]*", re.ASCII)
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,10}[^\W_][\w-]{0,61}[^\W_]")

Kind = Literal["anchor", "resource", "text", "inner"]


@frozen
class Link:
    """A link. `anchor` is one to click on in HTML; `resource` an image, a form's target or the like; `text` a URL that
    stands in readable text; `inner` one within the query or path of another: where a redirector leads.

    `url` is as written, without line ends. `host` is where it leads; its name is empty where there is none. `shown` is
    the text of an anchor, each run of space one space. `user_info` is what stands before an `@` in front of the host.
    """

    url: str
    kind: Kind
    host: Host
    shown: str = ""
    user_info: str = ""


class Links:
    """Collects links, each pair of URL and shown text once, up to MAX_LINKS; the host of each is read once."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Link] = {}
        self._authorities: dict[str, tuple[Host, str]] = {}
        self._looks = 0

    def add_html(self, page: HtmlText) -> None:
        for anchor in page.anchors:
            if not self._add(anchor.url, "anchor", anchor.shown):
                return
        for url in page.urls:
            if not self._add(url, "resource"):
                return

    def add_text(self, text: str) -> None:
        for url in _text_urls(text):
            if not self._add(url, "text"):
                return

    def _add(self, url: str, kind: Kind, shown: str = "") -> bool:
        """Add a link; say whether there is room for another look."""
        self._looks += 1
        if self._looks > _MAX_LOOKS or len(self.found) >= MAX_LINKS:
            return False
        url = url[:MAX_URL]
        key = (url, shown)
        if key in self.found or (kind == "text" and (url, url) in self.found):
            return True
        match = _AUTHORITY.match(url)
        authority = match.group(1) if match else ""
        read = self._authorities.get(authority)
        if read is None:
            read = self._authorities[authority] = _read_authority(authority)
        self.found[key] = Link(url, kind, read[0], shown, read[1])
        inner = _INNER.search(url, 8)
        if inner and kind != "inner":
            return self._add(_decoded(url[inner.start() :]), "inner")
        return True


def read_link(url: str, shown: str = "") -> Link:
    """Read one URL."""
    match = _AUTHORITY.match(url)
    host, user_info = _read_authority(match.group(1) if match else "")
    return Link(url, "anchor", host, shown, user_info)


def _read_authority(authority: str) -> tuple[Host, str]:
    """Give the host, and what pretends to be it: the user in front of the last `@` (RFC 3986 3.2.1)."""
    user_info, _, rest = authority.rpartition("@")
    host = rest if rest[:1] == "[" else rest.partition(":")[0]
    return normalise_host(host.strip()), user_info


def _decoded(url: str) -> str:
    """Undo the percent encoding of a URL within another one, up to where that one goes on."""
    if "://" in url[:8]:
        return url
    return re.sub("%3a", ":", re.sub("%2f", "/", url.partition("&")[0], flags=re.IGNORECASE), flags=re.IGNORECASE)


def _text_urls(text: str) -> Iterator[str]:
    """Give the URLs in a text, as mail programs make links of them."""
    position = 0
    while (at := text.find("://", position)) >= 0:
        scheme = text[max(at - 5, 0) : at].lower()
        rest = _URL_REST.match(text, at + 3)
        position = rest.end() if rest else at + 3
        if rest and scheme.endswith(_SCHEMES):
            name = next(s for s in _SCHEMES if scheme.endswith(s))
            yield f"{name}://{rest.group().rstrip(_PUNCTUATION)}"
    for start in ("www.", "WWW."):
        position = 0
        while (at := text.find(start, position)) >= 0:
            rest = _URL_REST.match(text, at)
            position = rest.end() if rest else at + 4
            if rest and not text[max(at - 1, 0) : at].strip("\r\n\t <>\"'("):
                yield rest.group().rstrip(_PUNCTUATION)


def find_text_addresses(texts: Iterable[str], mailto: Iterable[str] = ()) -> tuple[Mailbox, ...]:
    """Give the mail addresses in texts and of mailto: links, each once, up to MAX_ADDRESSES."""
    found: dict[Mailbox, None] = {}
    looks = 0
    for text in (*mailto, *texts):
        position = 0
        while (at := text.find("@", position)) >= 0:
            position = at + 1
            looks += 1
            if looks > _MAX_LOOKS or len(found) >= MAX_ADDRESSES:
                return tuple(found)
            domain = _DOMAIN.match(text, position)
            local = _LOCAL_PART.match(text[max(at - 64, 0) : at][::-1])
            if domain and local and local.group():
                position = domain.end()
                try:
                    found[Mailbox.parse(f"{local.group()[::-1].strip('.=')}@{domain.group()}")] = None
                except AddressError:
                    continue
    return tuple(found)
