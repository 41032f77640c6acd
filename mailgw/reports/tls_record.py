"""Where a domain wants reports on TLS: its TLSRPT record (RFC 8460 3). Nobody else has to agree, as with DMARC."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from attrs import frozen

from mailgw.dns.interface import Resolver
from mailgw.mail.address import Mailbox
from mailgw.reports.destinations import mailbox_of

MAX_URIS = 5
"""That many are looked at: a record may name anybody."""
_VERSION = re.compile(r"v=TLSRPTv1[ \t]*;")
_MAX_URL = 1000


@frozen
class TlsDestinations:
    """Addresses that get the report, URLs that it is posted to, and URIs that cannot be used, each with its reason.

    `asked` is whether there is a record at all.
    """

    mailboxes: tuple[Mailbox, ...] = ()
    urls: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    asked: bool = True


NOT_ASKED = TlsDestinations(asked=False)


async def find_tls_destinations(resolver: Resolver, domain: str) -> TlsDestinations:
    """Ask for the record of a domain, in A-labels. Raises DnsFailure."""
    answer = await resolver.lookup(f"_smtp._tls.{domain}", "TXT")
    texts = [record.decode("ascii", "replace") for record in answer.records if isinstance(record, bytes)]
    records = [text for text in texts if _VERSION.match(text)]
    # "If the number of resulting records is not one, senders MUST assume the recipient domain does not implement
    # TLSRPT."
    return read_tls_record(records[0]) if len(records) == 1 else NOT_ASKED


def read_tls_record(text: str) -> TlsDestinations:
    """Take the URIs of its rua=. Fields that are not known are ignored."""
    fields = (field.strip().partition("=") for field in text.split(";")[1:])
    rua = next((value for name, _, value in fields if name == "rua"), "")
    uris = [uri.strip() for uri in rua.split(",")]  # what is part of a URI is encoded in it
    mailboxes: dict[Mailbox, None] = {}
    urls: dict[str, None] = {}
    refused: list[tuple[str, str]] = []
    for uri in list(filter(None, uris))[:MAX_URIS]:
        mailbox = mailbox_of(uri)
        if mailbox is not None:
            mailboxes[mailbox] = None
        elif _is_https(uri):
            urls[uri] = None
        else:
            refused.append((uri[:100], "it is neither a mailto: URI with an address nor an https: URI"))
    return TlsDestinations(tuple(mailboxes), tuple(urls), tuple(refused))


def _is_https(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    plain = uri.isascii() and uri.isprintable() and " " not in uri and len(uri) <= _MAX_URL
    return plain and parts.scheme == "https" and bool(parts.hostname) and parts.username is None and port != 0
