"""Mail addresses as RFC 5321 4.1.2 and RFC 6531 3.3 write them."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import idna
from attrs import frozen

# RFC 5321 4.5.3.1: limits in octets, without the angle brackets of the path. Return paths that forwarders rewrite (SRS)
# hold a whole address in their local part: the section asks for no limits where that can be.
MAX_LOCAL_PART = 64
_REWRITTEN = ("SRS0", "SRS1")
MAX_DOMAIN = 255
MAX_ADDRESS = 254

# RFC 5322 3.2.3 atext; RFC 6531 3.3 adds UTF8-non-ascii.
_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_DOT_STRING = re.compile(rf"[{_ATEXT}\x80-\U0010ffff]+(?:\.[{_ATEXT}\x80-\U0010ffff]+)*")
# RFC 5321 4.1.2 Quoted-string: qtextSMTP or a backslash with a printable character.
_QUOTED_STRING = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*)"')
_LABEL = r"[A-Za-z0-9\x80-\U0010ffff](?:[A-Za-z0-9\-\x80-\U0010ffff]*[A-Za-z0-9\x80-\U0010ffff])?"
# Underscores are no let-dig (RFC 5321 4.1.2), yet hosts and DKIM-signed senders with one exist; we do not send to them.
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LITERAL = re.compile(r"\[([^\[\]\\]*)\]")


class AddressError(ValueError):
    """The text is no Mailbox of RFC 5321; the message says why in words a sender understands."""


@frozen
class Mailbox:
    """A local part and a domain. The null reverse-path is None, never a Mailbox.

    `local_part` is held without quoting: `"a b"@x` has the local part `a b`, and `"a"@x` equals `a@x`
    (RFC 5321 4.1.2: the quoting is no part of the value). `domain` is held in lower case, in the form that was
    sent (A-labels or U-labels); an address literal keeps its brackets. An empty domain stands only for the bare
    `postmaster` of RFC 5321 4.5.1, until the session gives it a domain of ours.
    """

    local_part: str
    domain: str

    @classmethod
    def parse(cls, text: str) -> Mailbox:
        """Take `local-part@domain` without angle brackets. Raises AddressError."""
        local, at = _scan_local_part(text)
        if at >= len(text) or text[at] != "@":
            if at >= len(text):
                raise AddressError("the address has no domain: write user@domain")
            raise AddressError(f"unexpected {text[at]!r} in the local part")
        domain = parse_domain(text[at + 1 :])
        if len(text[:at].encode()) > MAX_LOCAL_PART and text[:4].upper() not in _REWRITTEN:
            raise AddressError(f"the local part is longer than {MAX_LOCAL_PART} octets")
        if len(text.encode()) > MAX_ADDRESS:
            raise AddressError(f"the address is longer than {MAX_ADDRESS} octets")
        return cls(local, domain)

    @property
    def is_ascii(self) -> bool:
        """Whether it can be sent to a server without SMTPUTF8 as it stands."""
        return self.local_part.isascii() and self.domain.isascii()

    @property
    def ascii_domain(self) -> str:
        """The domain in lower-case A-labels: the form to compare and to ask DNS for."""
        return ascii_domain(self.domain)

    def __str__(self) -> str:
        """The wire form, quoted where RFC 5321 wants it."""
        local = self.local_part
        if not _DOT_STRING.fullmatch(local):
            local = '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
        return f"{local}@{self.domain}" if self.domain else local


def _scan_local_part(text: str) -> tuple[str, int]:
    """Give the unquoted local part and the offset behind it."""
    quoted = _QUOTED_STRING.match(text)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted.group(1)), quoted.end()
    dotted = _DOT_STRING.match(text)
    if not dotted:
        raise AddressError("the local part is empty or not an atom")
    return dotted.group(), dotted.end()


def parse_domain(text: str) -> str:
    """Take a domain name or an address literal; give it in lower case. Raises AddressError."""
    if not text:
        raise AddressError("the address has no domain: write user@domain")
    if len(text.encode()) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    literal = _LITERAL.fullmatch(text)
    if literal:
        literal_address(text)
        return text.lower()
    if not _DOMAIN.fullmatch(text):
        raise AddressError(f"{text!r} is not a domain name")
    if any(len(label) > 63 for label in text.split(".")):
        raise AddressError("a label of the domain is longer than 63 characters")
    domain = text.lower()
    if not domain.isascii():
        ascii_domain(domain)
    return domain


def literal_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3). Raises AddressError."""
    inner = text[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return ipaddress.IPv6Address(inner[5:])
        return ipaddress.IPv4Address(inner)
    except ValueError:
        raise AddressError(f"{text!r} is not an address literal") from None


@lru_cache(maxsize=4096)
def ascii_domain(domain: str) -> str:
    """Give the A-label form of a domain in lower case (RFC 5890). Raises AddressError."""
    if domain.isascii():
        return domain.lower()
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError as error:
        raise AddressError(f"{domain!r} is not a valid internationalised domain: {error}") from None
