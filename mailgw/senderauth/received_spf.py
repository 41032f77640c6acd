"""The Received-SPF field (RFC 7208 9.1): for programs behind us that read SPF's results there and not in
Authentication-Results, which says the same and more."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailgw.mail.evidence import AuthResult
from mailgw.mail.transaction import Client

MAX_VALUE = 320
WIDTH = 76  # RFC 5322 2.1.1: below 78
# RFC 5322 3.2.3: what may stand without quotes.
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_UNSAFE = re.compile(r"[^ -~]")
_NO_CTEXT = re.compile(r"[^!-'*-\[\]-~ ]")
_COMMENTS = {
    "pass": "{domain} designates {address} as permitted sender",
    "fail": "{domain} does not designate {address} as permitted sender",
    "softfail": "{domain} discourages use of {address} as permitted sender",
    "neutral": "{address} is neither permitted nor denied by {domain}",
    "none": "{domain} does not designate permitted sender hosts",
    "temperror": "error in processing during lookup of {domain}",
    "permerror": "permanent error in processing {domain}",
}


def received_spf(results: Iterable[AuthResult], client: Client, receiver: str) -> bytes:
    """Give a field for each identity that SPF checked, with their line ends; empty when there was no check.

    `receiver` is our name. Values are hostile: they are quoted, and no value can end a field or add to it.
    """
    return b"".join(_field(result, client, receiver) for result in results if result.method == "spf")


def _field(result: AuthResult, client: Client, receiver: str) -> bytes:
    properties = dict(result.properties)
    sender = properties.get("smtp.mailfrom", "")
    # For the null reverse-path the identity of MAIL FROM is postmaster at HELO (RFC 7208 2.4).
    identity = "mailfrom" if "smtp.mailfrom" in properties else "helo"
    domain = sender.rpartition("@")[2] if sender else client.helo
    comment = _COMMENTS[result.result].format(domain=domain, address=client.address)
    pairs = [("receiver", receiver), ("identity", identity), ("client-ip", client.address), ("helo", client.helo)]
    if sender:
        pairs.append(("envelope-from", sender))
    if result.reason:
        pairs.append(("problem", result.reason))
    words = [f" {result.result}", f" ({_NO_CTEXT.sub('?', comment[:MAX_VALUE])})"]
    words += [f" {name}={_value(value)};" for name, value in pairs]
    return _folded("Received-SPF:", words).rstrip(";").encode("ascii") + b"\r\n"


def _value(text: str) -> str:
    if len(text) <= MAX_VALUE and _DOT_ATOM.fullmatch(text):
        return text
    safe = _UNSAFE.sub("?", text[:MAX_VALUE])
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _folded(name: str, words: Iterable[str]) -> str:
    text, width = name, len(name)
    for word in words:
        if width + len(word) > WIDTH:
            text, width = text + "\r\n", 0
        text, width = text + word, width + len(word)
    return text
