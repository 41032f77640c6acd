"""What SPF's results are in the Authentication-Results field, and as evidence."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mailgw.mail.address import AddressError, Mailbox
from mailgw.mail.evidence import AuthResult, Evidence
from mailgw.mail.transaction import Client
from mailgw.senderauth.spf import SpfResult

SYMBOLS: Mapping[str, float] = {
    "SPF_PASS": -0.2,
    "SPF_FAIL": 1.0,
    "SPF_SOFTFAIL": 0.3,
    "SPF_NEUTRAL": 0.0,
    "SPF_NONE": 0.0,
    "SPF_PERMERROR": 0.0,
    "SPF_TEMPERROR": 0.0,
    "SPF_PLUS_ALL": 3.0,
    # The name's owner says that this host must not use it. Nobody forwards under the HELO of another.
    "SPF_HELO_FAIL": 1.5,
    "SPF_HELO_SOFTFAIL": 0.5,
}

# Shorter prefixes are no network of anybody: two of /1 are everyone.
_SHORTEST = {"ip4": 8, "ip6": 16}
_NETWORK = re.compile(r"\+?(ip[46]):[^/]+/(\d{1,3})", re.I)


def auth_result(client: Client, reverse_path: Mailbox | None, result: SpfResult) -> AuthResult:
    """Write the result of the MAIL FROM identity, which is that of HELO for the null reverse-path (RFC 8601 2.7.2)."""
    identity = ("smtp.mailfrom", _ascii_address(reverse_path)) if reverse_path else ("smtp.helo", client.helo)
    return AuthResult("spf", result.result, (identity,), result.reason)


def evidence(client: Client, result: SpfResult) -> tuple[Evidence, ...]:
    """State the outcome for the MAIL FROM identity, and a record that lets everybody pass."""
    found = [Evidence(f"SPF_{result.result.upper()}", _detail(client, result), source="spf")]
    if result.result == "pass" and (much := _allows_too_much(result.mechanism)):
        found.append(Evidence("SPF_PLUS_ALL", f"{result.domain} allows {much}", source="spf"))
    return tuple(found)


def of_helo(client: Client, result: SpfResult) -> tuple[tuple[AuthResult, ...], tuple[Evidence, ...]]:
    """Give the result and the evidence of the HELO identity (RFC 7208 2.3). Where HELO names no domain with a record
    nothing was found out, and nothing is said."""
    if result.result == "none":
        return (), ()
    auth = AuthResult("spf", result.result, (("smtp.helo", client.helo),), result.reason)
    symbol = f"SPF_HELO_{result.result.upper()}"
    if symbol not in SYMBOLS:
        return (auth,), ()
    return (auth,), (Evidence(symbol, f"HELO: {_detail(client, result)}", source="spf"),)


def _detail(client: Client, result: SpfResult) -> str:
    detail = {
        "pass": f"{result.domain} allows {client.address} ({result.mechanism})",
        "fail": f"{result.domain} forbids {client.address} ({result.mechanism or 'no term matches'})",
        "softfail": f"{result.domain} does not know {client.address} ({result.mechanism})",
        "neutral": f"{result.domain} says nothing about {client.address}",
        "none": f"{result.domain} has no SPF record",
    }.get(result.result, f"{result.domain}: {result.reason}")
    # RFC 7208 8.4: it has to be clear that these are the words of the domain.
    explained = f'; {result.domain} explains: "{result.explanation}"' if result.explanation else ""
    return (result.reason or detail) + explained


def _allows_too_much(mechanism: str) -> str:
    """Say how much a term allows, when that is too much to mean anything."""
    if mechanism.lower().lstrip("+") == "all":
        return "every address"
    network = _NETWORK.fullmatch(mechanism)
    if network and int(network[2]) < _SHORTEST[network[1].lower()]:
        return f"nearly every address ({mechanism})"
    return ""


def _ascii_address(mailbox: Mailbox) -> str:
    """The address for a field in ASCII; only its domain when the local part is not (RFC 8601 2.7.2 allows it)."""
    try:
        domain = mailbox.ascii_domain
    except AddressError:
        domain = mailbox.domain
    return str(Mailbox(mailbox.local_part, domain)) if mailbox.local_part.isascii() else domain
