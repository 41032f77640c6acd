"""The parameters of DSN (RFC 3461 4) as they stand in MAIL and RCPT: xtext, NOTIFY, ENVID, ORCPT (also RFC 6533 3).

Readers take the value and give it decoded; they raise ValueError, with a text for the client.
"""

from __future__ import annotations

import re

# RFC 3461 4.4 and 4.2: characters as they are sent.
MAX_ENVID = 100
MAX_ORCPT = 500

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*+")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9-]+")
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
# RFC 6533 3: QCHAR and EmbeddedUnicodeChar; utf-8-addr-unitext may also hold what is not ASCII.
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-\[\]-~\x80-\U0010ffff]|\\x\{(?:[0-9A-F]{2,5}|10[0-9A-F]{4})\})+")
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]+)\}")


def xtext_decode(text: str) -> str:
    """Undo xtext (RFC 3461 4). Raises ValueError for what is not xtext."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("not xtext")
    return _HEXCHAR.sub(lambda match: chr(int(match.group(1), 16)), text) if "+" in text else text


def xtext_encode(text: str) -> str:
    """Write ASCII text as xtext (RFC 3461 4); other characters become `?`."""
    return "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" if c.isascii() else "?" for c in text)


def printable_xtext(keyword: str, value: str, limit: int = MAX_ORCPT) -> str:
    """Read xtext of at most `limit` characters that holds printable ASCII (RFC 3461 4.2, 4.4)."""
    try:
        text = xtext_decode(value)
    except ValueError:
        text = ""
    # A hidden CRLF would end up in a report's header.
    if not text or len(value) > limit or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{keyword} is xtext of printable characters, {limit} at most")
    return text


def envid(value: str) -> str:
    """Read ENVID (RFC 3461 4.4)."""
    return printable_xtext("ENVID", value, MAX_ENVID)


def ret(value: str) -> str:
    """Read RET: FULL or HDRS (RFC 3461 4.3)."""
    word = value.upper()
    if word not in ("FULL", "HDRS"):
        raise ValueError("RET is FULL or HDRS")
    return word


def notify(value: str) -> frozenset[str]:
    """Read NOTIFY: NEVER alone, or a list of the others (RFC 3461 4.1)."""
    words = frozenset(value.upper().split(","))
    if words != {"NEVER"} and not words <= _NOTIFY:
        raise ValueError("NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY")
    return words


def orcpt(value: str, smtputf8: bool) -> str:
    """Read ORCPT: `address-type;xtext` (RFC 3461 4.2), or `utf-8;address` (RFC 6533 3), which may hold what is not
    ASCII only where MAIL said SMTPUTF8. Gives `address-type;address`, decoded.

    Postfix writes the UTF-8 octets of an address as xtext, of the type rfc822. It is taken for what is meant: it would
    cost the message otherwise.
    """
    kind, semicolon, address = value.partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(kind):
        raise ValueError("ORCPT is address-type;address")
    if kind.lower() == "utf-8":
        return f"{kind};{_utf8_address(address, smtputf8)}"
    octets = _octets(address) if kind.lower() == "rfc822" else ""
    return f"utf-8;{octets}" if octets else f"{kind};{printable_xtext('ORCPT', address)}"


def orcpt_encode(text: str, smtputf8: bool) -> str:
    """Write what `orcpt` gave; where the transaction says SMTPUTF8, an address of the type utf-8 stays readable."""
    kind, _, address = text.partition(";")
    if kind.lower() == "utf-8":
        return f"{kind};{utf8_address_encode(address, ascii_only=not smtputf8)}"
    return f"{kind};{xtext_encode(address)}"


def utf8_address_encode(address: str, *, ascii_only: bool) -> str:
    """Write an address as utf-8-addr-xtext (`ascii_only`) or utf-8-addr-unitext (RFC 6533 3)."""
    return "".join(
        c if ("!" <= c <= "~" and c not in "+=\\") or (not ascii_only and not c.isascii()) else f"\\x{{{ord(c):02X}}}"
        for c in address
    )


def _octets(value: str) -> str:
    """Read xtext of an address in UTF-8; empty when it is not that, or is ASCII."""
    try:
        text = xtext_decode(value).encode("latin-1").decode()
    except ValueError:
        return ""
    return text if not text.isascii() and text.isprintable() and len(value) <= MAX_ORCPT else ""


def _utf8_address(value: str, smtputf8: bool) -> str:
    if not smtputf8 and not value.isascii():
        raise ValueError("ORCPT holds what is not ASCII, which needs SMTPUTF8 with MAIL (RFC 6533 3)")
    text = ""
    if len(value) <= MAX_ORCPT and _UTF8_ADDRESS.fullmatch(value):
        text = _EMBEDDED.sub(lambda match: chr(int(match[1], 16)), value)
    if not text or not text.isprintable():
        raise ValueError(f"ORCPT is an address of printable characters (RFC 6533 3), {MAX_ORCPT} at most")
    return text
