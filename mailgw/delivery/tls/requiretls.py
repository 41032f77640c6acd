"""What a message itself says about TLS: REQUIRETLS and `TLS-Required: No` (RFC 8689)."""

from __future__ import annotations

from attrs import evolve

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.opening import Access
from mailgw.delivery.sessions import NextHops, site_of
from mailgw.mail.address import ascii_domain
from mailgw.mail.message import Message
from mailgw.mta_sts.policy import is_named
from mailgw.queue.item import Delayed, Failed, QueuedMessage
from mailgw.smtp.client import Capabilities


def hops_for(message: QueuedMessage, hops: NextHops) -> NextHops:
    """Give with which of the next hops, and how, to speak for this message. Raises Unreachable.

    A message with REQUIRETLS goes to MX hosts only that are the domain's for certain (RFC 8689 4.2.1): DNSSEC vouches
    for its MX records, or its MTA-STS policy names them; a policy that is only tested is as good for that. Where a
    domain has neither, a postmaster may vouch for what DNS says of it, by [tls_policies] with `verified`.
    """
    spoken_to = hops.spoken_to_by(access_for(message, hops.access))
    if not message.envelope.requiretls or not hops.domain or hops.domain.startswith("[") or hops.proven:
        return spoken_to
    if hops.access.basis == "policy" and hops.access.tls == "verified":
        return spoken_to
    # Without MX records the host is the domain itself (RFC 5321 5.1): its name is the one that was written.
    own = ascii_domain(hops.domain)
    certain = tuple((host, port) for host, port in hops.hosts if host == own or is_named(host, hops.policy.mx_hosts))
    if certain:
        return evolve(spoken_to, hosts=certain, key=(site_of([host for host, _ in certain]), spoken_to.access))
    why = f"its MX records are not signed (DNSSEC), or our resolver does not say so, and {_no_policy(hops)}"
    reason = f"the message may go by verified TLS only, and nothing proves whose MX hosts {hops.domain} has: {why}"
    raise Unreachable(Delayed("4.7.10", reason) if hops.problem else Failed("5.7.10", reason))


def _no_policy(hops: NextHops) -> str:
    if hops.policy.mx_hosts:
        return "its MTA-STS policy names none of them"
    return f"its MTA-STS policy is not known: {hops.problem}" if hops.problem else "it has no MTA-STS policy"


def access_for(message: QueuedMessage, access: Access) -> Access:
    """Give how to speak with a next hop for this message, where it is otherwise spoken to by `access`.

    REQUIRETLS wants TLS with a host that proves its name, by a certificate that we trust or by DANE, and takes
    REQUIRETLS itself (RFC 8689 4.2.1). `TLS-Required: No` (RFC 8689 3) puts delivery before security, though never a
    password in clear text, nor clear text where a port speaks TLS only. REQUIRETLS overrules it.
    """
    if message.envelope.requiretls:
        return access if access.tls in ("verified", "implicit") else evolve(access, tls="verified", basis="requiretls")
    if access.tls not in ("none", "implicit") and not access.username and is_tls_optional(message.message):
        return evolve(access, tls="opportunistic", basis="", dane=False)
    return access


def is_held(message: QueuedMessage) -> bool:
    """Whether it goes only as the recipient domain's policies want, and the domain hears of it. Our reports on TLS are
    not: they go whatever becomes of TLS, and their own sessions are in no report (RFC 8460 3)."""
    return message.envelope.requiretls or not is_tls_optional(message.message)


def is_tls_optional(message: Message) -> bool:
    """Whether the header says `TLS-Required: No`, once; anything else counts as nothing said."""
    if b"tls-required" not in message.head.lower():
        return False
    fields = message.get_all("TLS-Required")
    return len(fields) == 1 and fields[0].text.lower() == "no"


def unreachable(message: QueuedMessage, error: Unreachable) -> Delayed | Failed:
    """Give the outcome for a host that no session could be had with.

    A host without TLS that can be trusted fails a message with REQUIRETLS at once (RFC 8689 5), and only it: other
    mail may go there.
    """
    outcome = error.outcome
    if not (message.envelope.requiretls and error.insecure):
        return outcome
    return Failed("5.7.10", f"the message may go by verified TLS only: {outcome.reason}", outcome.remote, outcome.reply)


def refused(message: QueuedMessage, offered: Capabilities, peer: str) -> Failed | None:
    """Say why a session cannot take the message (RFC 8689 4.2.1), or None when it can."""
    if not message.envelope.requiretls or offered.requiretls:
        return None
    return Failed("5.7.30", f"the sender requires TLS all the way, and {peer} does not offer REQUIRETLS", peer)
