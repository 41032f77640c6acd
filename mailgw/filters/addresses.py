"""The addresses in a field of RFC 5322 3.4: the usual forms fast, all others by the standard library. Never raises."""

from __future__ import annotations

import re
from email.utils import getaddresses

from mailgw.mail.address import AddressError, Mailbox

MAX_FIELD = 8192
"""Characters of a field that are read: the standard library's parser takes it character by character."""

_NAME = r'(?:"(?:[^"\\]|\\.)*+"|[^<>"(),:;@\\]*+)'
_USUAL = re.compile(rf"\s*(?:{_NAME}\s*<([^<>\s\"]+)>|([^<>\s\"(),:;]+))\s*")


def find_addresses(text: str) -> list[Mailbox]:
    """Give the addresses of a field's value that an SMTP server could take; what is none is left out."""
    usual = _USUAL.fullmatch(text)
    if usual:
        specs = [usual.group(1) or usual.group(2)]
    else:
        try:
            specs = [spec for _, spec in getaddresses([text[:MAX_FIELD]])]
        except Exception:  # nested comments exhaust its stack
            return []
    found = []
    for spec in specs:
        try:
            found.append(Mailbox.parse(spec))
        except AddressError:
            continue
    return found
