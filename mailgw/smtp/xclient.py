"""XCLIENT (Postfix's XCLIENT_README): a trusted proxy says who its client is."""

from __future__ import annotations

import ipaddress
import re

from mailgw.mail.reply import Refuse, Reply
from mailgw.smtp.events import Xclient

_MAX_VALUE = 255
_ATTRIBUTE = re.compile(r"([A-Za-z_]+)=([!-~]*)")
_HEXCHAR = re.compile(r"\+([0-9A-Fa-f]{2})")
_UNKNOWN = ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
_KEYS = {
    "NAME": "name",
    "ADDR": "address",
    "PORT": "port",
    "PROTO": "protocol",
    "HELO": "helo",
    "LOGIN": "",
    "DESTADDR": "local_address",
    "DESTPORT": "local_port",
}


def parse(argument: str) -> Xclient:
    """Take the argument of XCLIENT. Raises Refuse with 501, or 550 for a login."""
    found: dict[str, str | int | None] = {}
    words = argument.split()
    if not words:
        raise _refuse("Syntax: XCLIENT attribute=value ...")
    for word in words:
        match = _ATTRIBUTE.fullmatch(word)
        name = match[1].upper() if match else ""
        if match is None or name not in _KEYS:
            raise _refuse(f"Not an attribute of XCLIENT: {word[:80].encode('ascii', 'replace').decode('ascii')}")
        value = _value(name, match[2])
        if name == "LOGIN":
            if value is not None:
                raise Refuse(Reply(550, "5.7.0", ("LOGIN is not taken from a proxy: users authenticate with AUTH",)))
            continue
        if _KEYS[name] in found:
            raise _refuse(f"Attribute {name} is given twice")
        found[_KEYS[name]] = value
    return Xclient(**found)  # type: ignore[arg-type]  # _value gives each its type


def _value(name: str, text: str) -> str | int | None:
    """Give the value of an attribute, xtext (RFC 3461 4) undone; None when the proxy does not know it."""
    if text.upper() in _UNKNOWN:
        if name == "ADDR":
            # Without it the session would go on with the rights of the proxy itself.
            raise _refuse("ADDR must be an address")
        return None
    value = _HEXCHAR.sub(lambda match: chr(int(match[1], 16)), text)
    if not value or len(value) > _MAX_VALUE or not (value.isascii() and value.isprintable()):
        raise _refuse(f"Bad value of {name}")
    if name in ("ADDR", "DESTADDR"):
        return _address(name, value)
    if name in ("PORT", "DESTPORT"):
        if not value.isdecimal() or len(value) > 5 or int(value) > 65535:
            raise _refuse(f"{name} is a number up to 65535")
        return int(value)
    if name == "PROTO" and value.upper() not in ("SMTP", "ESMTP"):
        raise _refuse("PROTO is SMTP or ESMTP")
    return value


def _address(name: str, text: str) -> str:
    """IPv4, or IPv6 behind `IPV6:`; without the prefix too, as some proxies send it."""
    plain = text[5:] if text[:5].upper() == "IPV6:" else text
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        raise _refuse(f"{name} is no IP address") from None
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or address.compressed.partition("%")[0])
    return str(address)


def _refuse(text: str) -> Refuse:
    return Refuse(Reply(501, "5.5.4", (text,)))
