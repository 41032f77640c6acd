"""What a message itself says about TLS: REQUIRETLS and `TLS-Required: No` (RFC 8689)."""

from __future__ import annotations

from attrs import evolve

from mailgw.delivery.classify import Unreachable
from mailgw.delivery.opening import Access
from mailgw.mail.message import Message
from mailgw.queue.item import Delayed, Failed, QueuedMessage
from mailgw.smtp.client import Capabilities


def access_for(message: QueuedMessage, access: Access) -> Access:
    """Give how to speak with a next hop for this message, where it is otherwise spoken to by `access`.

    REQUIRETLS wants TLS with a host that proves its name, by a certificate that we trust or by DANE, and takes
    REQUIRETLS itself (RFC 8689 4.2.1). Whether its name is genuine (DNSSEC, MTA-STS) is not asked: few domains could
    have such mail then. `TLS-Required: No` (RFC 8689 3) puts delivery before security, though never a password in
    clear text, nor clear text where a port speaks TLS only. REQUIRETLS overrules it.
    """
    if message.envelope.requiretls:
        return access if access.tls in ("verified", "implicit") else evolve(access, tls="verified", basis="requiretls")
    if access.tls not in ("none", "implicit") and not access.username and is_tls_optional(message.message):
        return evolve(access, tls="opportunistic", basis="", dane=False)
    return access


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
