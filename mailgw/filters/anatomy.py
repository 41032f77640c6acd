"""The anatomy of a message: its parts, readable text, links, addresses and attachments, taken apart once for all.

    anatomy = await self._anatomies.of(transaction)         # in a filter; Anatomies comes with `Services`

The first filter that asks has the message taken apart; for the others of the same transaction it is there. A large
message is taken apart in a thread. Everything in it is bounded: parts and depth (`mime`), octets of text (SCAN_SIZE),
links and addresses (`links`), tags (`html`). A filter that works on it for long (`anatomy.is_large`) does that in a
thread too: `await self._anatomies.run(transaction, work, ...)` does whichever is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from typing import Concatenate, ParamSpec, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mailgw.filters.html import HtmlText, read_html
from mailgw.filters.links import Link, Links, find_text_addresses
from mailgw.filters.mime import Octets, Part, Structure, find_structure
from mailgw.filters.text import SCAN_SIZE, is_small
from mailgw.mail.address import Mailbox
from mailgw.mail.message import BytesContent, Content
from mailgw.mail.transaction import Transaction
from mailgw.operation.threads import Threads

P = ParamSpec("P")
T = TypeVar("T")

MAX_HTML = 512 * 1024
"""Characters of an HTML part that are read."""
_PARAGRAPH = re.compile(r"\n\s*\n")
_NO_STRUCTURE = Structure((), (), ())


@frozen
class TextPart:
    """A text part. `text` is decoded, of HTML what is shown of it; `html` is there for text/html."""

    part: Part
    text: str
    html: HtmlText | None = None


@frozen
class Anatomy:
    """A message, taken apart.

    `structure` holds its parts in their order, whatever their type, what holds them, and what is wrong with them.
    `texts` are the text/* parts, attached ones too, up to SCAN_SIZE octets in all. `body` is their text in one: each
    run of space one space, each paragraph a line. `links` are those of text and HTML, each pair of URL and shown text
    once. `addresses` are the mail addresses in the text and of mailto: links.
    `is_large` says that it was taken apart in a thread, and that work on it belongs there.
    """

    structure: Structure = _NO_STRUCTURE
    texts: tuple[TextPart, ...] = ()
    body: str = ""
    links: tuple[Link, ...] = ()
    addresses: tuple[Mailbox, ...] = ()
    is_large: bool = False
    urls: tuple[str, ...] = field(default=())
    """The URLs of `links`, each once."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.structure.parts

    @property
    def attachments(self) -> tuple[str, ...]:
        """The file names of parts, in their order."""
        return tuple(part.filename[:255] for part in self.structure.parts if part.filename)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that the links lead to, each once, in their order (`domains.Host.name`)."""
        return tuple(dict.fromkeys(link.host.name for link in self.links if link.host.name))


EMPTY = Anatomy()


@contextmanager
def opened(content: Content) -> Iterator[Octets]:
    """Give the octets of a content; those of a file are mapped, not read. Blocks: in a thread for a file."""
    if isinstance(content, BytesContent):
        yield content.data
    elif not content.size:
        yield b""
    else:
        with content.open() as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data


def dissect(content: Content, *, is_large: bool = False) -> Anatomy:
    """Take a message apart. Raises OSError where a file cannot be read, else nothing. Takes time in proportion to the
    octets, and a few times SCAN_SIZE of memory."""
    with opened(content) as data:
        structure = find_structure(data)
        texts = tuple(_read_texts(structure.parts, data))
    links = Links()
    for found in texts:
        if found.html:
            links.add_html(found.html)
        links.add_text(found.text)
    return Anatomy(
        structure,
        texts,
        "\n".join([_spaced(found.text) for found in texts]),
        tuple(links.found.values()),
        find_text_addresses(
            [found.text for found in texts], [a for found in texts if found.html for a in found.html.mailto]
        ),
        is_large,
        tuple(dict.fromkeys(url for url, _ in links.found)),
    )


def _read_texts(parts: tuple[Part, ...], data: Octets) -> Iterator[TextPart]:
    left = SCAN_SIZE
    for part in parts:
        if part.content_type.startswith("text/") and left > 0:
            text = part.text(data, left)
            left -= max(len(text), 1)
            if part.content_type == "text/html":
                page = read_html(text[:MAX_HTML])
                yield TextPart(part, page.text, page)
            else:
                yield TextPart(part, text)


def _spaced(text: str) -> str:
    """Make each run of space one space and each paragraph a line."""
    return "\n".join([" ".join(p.split()) for p in _PARAGRAPH.split(text.replace("\r", "")) if p.strip()])


class Anatomies:
    """Gives the anatomy of a transaction's message. It keeps nothing: what is known is in the transaction's `work`."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    async def of(self, transaction: Transaction) -> Anatomy:
        """Give it: at once when it is known or the message is small. Of no message, an empty one.

        Raises OSError where the content's file cannot be read.
        """
        known = transaction.work.get(Anatomy)
        if isinstance(known, Anatomy):
            return known
        message = transaction.message
        if message is None:
            return EMPTY
        if is_small(message):
            anatomy = transaction.work[Anatomy] = dissect(message.content)
            return anatomy
        if known is None:
            known = transaction.work[Anatomy] = _Waiting()
            work = self._threads.run(dissect, message.content, is_large=True)
            Deferred.fromCoroutine(work).addBoth(known.fire, transaction)
        return await known.wait()

    async def run(
        self,
        transaction: Transaction,
        work: Callable[Concatenate[Anatomy, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Give what `work` gives for the anatomy and these arguments; in a thread when it is large."""
        anatomy = await self.of(transaction)
        if anatomy.is_large:
            return await self._threads.run(work, anatomy, *args, **kwargs)
        return work(anatomy, *args, **kwargs)


class _Waiting:
    """Those who wait for one anatomy. One who gives up does not disturb the others."""

    def __init__(self) -> None:
        self._result: Anatomy | Failure | None = None
        self._waiting: list[Deferred[Anatomy]] = []

    def wait(self) -> Deferred[Anatomy]:
        deferred: Deferred[Anatomy] = Deferred()
        if self._result is not None:
            deferred.callback(self._result)
        else:
            self._waiting.append(deferred)
        return deferred

    def fire(self, result: Anatomy | Failure, transaction: Transaction) -> None:
        self._result = result
        if isinstance(result, Failure):
            del transaction.work[Anatomy]
        else:
            transaction.work[Anatomy] = result
        for deferred in self._waiting:
            if not deferred.called:
                deferred.callback(result)
