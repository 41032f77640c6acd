"""What a message says: its readable text, its links and the names of its attachments, within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from attrs import frozen

from mailgw.filters.html import MAX_URL, read_html
from mailgw.filters.mime import Part, find_parts
from mailgw.mail.message import BytesContent, Content, Message

SCAN_SIZE = 1024 * 1024
"""Octets of a message that are looked at (features 4.9). What stands behind them is not."""
INLINE_SIZE = 32 * 1024
"""Octets of a message up to which looking costs less than a thread; larger ones would make the reactor's turn long."""
MAX_URLS = 1024
MAX_HTML = 512 * 1024

_URL_REST = re.compile(r"""[^\s<>"'\x00-\x1f]{1,2000}""")
_SCHEMES = ("https", "http", "ftp")
_PUNCTUATION = ".,;:!?)]}*"
_PARAGRAPH = re.compile(r"\n\s*\n")


@frozen
class Text:
    """`body`: all text parts, HTML as what is shown of it; each run of space one space, paragraphs on a line each.

    `urls`: of links, images, forms and of the text, each once. `attachments`: file names of parts.
    """

    body: str = ""
    urls: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()


def read_text(data: bytes) -> Text:
    """Read the beginning of a message. Never raises; takes time in proportion to the octets."""
    bodies: list[str] = []
    urls: dict[str, None] = {}
    names: list[str] = []
    left = SCAN_SIZE
    for part in find_parts(data[:SCAN_SIZE]):
        if part.filename:
            names.append(part.filename[:255])
        if left > 0 and part.content_type.startswith("text/"):
            body, links = _read_part(part, data, left)
            left -= len(body)
            bodies.append(body)
            _add(urls, links)
            _add(urls, _plain_urls(body))
    return Text("\n".join(map(_spaced, bodies)), tuple(urls), tuple(names))


def beginning(content: Content, size: int = SCAN_SIZE) -> bytes:
    """Give the first octets of a content. Blocks where the content is in a file: run it in a thread then."""
    with content.open() as file:
        return file.read(size)


def is_small(message: Message) -> bool:
    """Whether the message can be looked at here and now: in memory, and soon read."""
    return isinstance(message.content, BytesContent) and message.size <= INLINE_SIZE


def show(text: str, size: int = 60) -> str:
    """Quote text of a message for the detail of evidence: short, one line, without control characters."""
    shown = "".join(c if c.isprintable() else " " for c in text[: size + 1])
    return f'"{shown[:size]}..."' if len(shown) > size else f'"{shown}"'


def _read_part(part: Part, data: bytes, most: int) -> tuple[str, Iterable[str]]:
    text = part.text(data)[:most]
    if part.content_type == "text/html":
        page = read_html(text[:MAX_HTML])
        return page.text, page.urls
    return text, ()


def _plain_urls(text: str) -> Iterator[str]:
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


def _add(urls: dict[str, None], found: Iterable[str]) -> None:
    for url in islice(found, 4 * MAX_URLS):
        if len(urls) >= MAX_URLS:
            return
        urls.setdefault(url[:MAX_URL])


def _spaced(text: str) -> str:
    """Make each run of space one space and each paragraph a line."""
    return "\n".join(" ".join(p.split()) for p in _PARAGRAPH.split(text.replace("\r", "")) if p.strip())
